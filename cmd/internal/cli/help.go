package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
)

// helpText is a command's help, its lines broken between words at width
// columns; 0: as they are. Cobra's own does not break lines.
func helpText(cmd *cobra.Command, width int) string {
	var b strings.Builder
	line := func(text string, hang int) {
		for _, piece := range view.Wrap(text, width, hang) {
			b.WriteString(piece + "\n")
		}
	}
	lines := func(text string, hang int) {
		for text := range strings.SplitSeq(text, "\n") {
			line(text, hang)
		}
	}
	for paragraph := range strings.SplitSeq(strings.TrimSpace(cmp.Or(cmd.Long, cmd.Short)), "\n\n") {
		// What has an indent has its lines for a reason.
		if !strings.Contains("\n"+paragraph, "\n ") && !strings.Contains("\n"+paragraph, "\n\t") && width > 0 {
			paragraph = strings.ReplaceAll(paragraph, "\n", " ")
		}
		lines(paragraph, 0)
		b.WriteString("\n")
	}
	b.WriteString("Usage:\n")
	line("  "+cmd.UseLine(), 6)
	if cmd.HasAvailableSubCommands() {
		line("  "+cmd.CommandPath()+" [command]", 6)
	}
	if cmd.HasExample() {
		b.WriteString("\nExamples:\n")
		lines(cmd.Example, 6)
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nAvailable Commands:\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				line(fmt.Sprintf("  %-*s %s", sub.NamePadding(), sub.Name(), sub.Short), sub.NamePadding()+3)
			}
		}
	}
	if cmd.HasAvailableLocalFlags() {
		b.WriteString("\nFlags:\n" + strings.TrimRight(cmd.LocalFlags().FlagUsagesWrapped(width), " \n") + "\n")
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\n")
		line("Use \""+cmd.CommandPath()+" [command] --help\" for more information about a command.", 0)
	}
	return b.String()
}
