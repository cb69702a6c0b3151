// Package cli is the command line: a file for each command.
//
// Standard output carries the result and nothing else, standard error the
// rest. An error is told once, by Main; nothing below it prints one or exits.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// Exit codes.
const (
	exitOK          = 0
	exitError       = 1
	exitDifferences = 2   // with --detailed-exitcode
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

// Env is what a command gets from the process that it runs in.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	LookupEnv      func(string) (string, bool)
	Now            func() time.Time

	// Pause and Backoff wait: between looks at AWS, and between the SDK's
	// attempts. Tests set them, so that no test waits. Without a Backoff the SDK
	// has its own.
	Pause   awsx.Pause
	Backoff retry.BackoffDelayer
}

// get is a variable of the environment, "" where it is not set.
func (e Env) get(name string) string {
	value, _ := e.LookupEnv(name)
	return value
}

// asks says that there is somebody to be asked.
func (e Env) asks() bool { return isTerminal(e.Stdin) && isTerminal(e.Stderr) }

// OS is the Env of a real process.
func OS() Env {
	return Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv, Now: time.Now, Pause: awsx.Wait}
}

// Main runs a command line and answers with the exit code.
func Main(args []string, env Env) int {
	noCore()
	root := newRoot(env)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(context.Background())
	if err == nil {
		return exitOK
	}
	code := exitError
	if status, ok := errors.AsType[*exitStatus](err); ok {
		code, err = status.code, status.err
	}
	if err != nil {
		tell(env, cmd, err)
	}
	return code
}

// tell writes an error to standard error. The mistakes of a spec each begin on
// a line of their own, which editors can jump to.
func tell(env Env, cmd *cobra.Command, err error) {
	problems, ok := errors.AsType[spec.Problems](err)
	if !ok {
		fmt.Fprintln(env.Stderr, view.Printable(fmt.Sprintf("Error: %v", err)))
		return
	}
	when := "auto"
	if flag := cmd.Flags().Lookup("color"); flag != nil {
		when = flag.Value.String()
	}
	headline := "the spec has a mistake"
	if len(problems) > 1 {
		headline = fmt.Sprintf("the spec has %d mistakes", len(problems))
	}
	fmt.Fprintf(env.Stderr, "Error: %s\n", headline)
	_ = view.Problems(env.Stderr, problems, colorful(env, when, env.Stderr)) // whom could that be told?
}

// exitStatus ends a command with a code of its own. err may be nil where the
// report has told it all.
type exitStatus struct {
	code int
	err  error
}

func (e *exitStatus) Error() string { return fmt.Sprint(e.err) }
func (e *exitStatus) Unwrap() error { return e.err }

func newRoot(env Env) *cobra.Command {
	root := newRun(env)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SuggestionsMinimumDistance = 2
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(badFlag)
	root.AddCommand(newValidate(env), newExplain(env), newInit(env), newOutputs(env), newExport(env), newRotate(env), newDestroy(env), newUnlock(env), newWatch(env), newPermissions(env), newGraph(env), newSchema(env), newSandbox(env), newVersion(env))

	root.AddCommand(newElsewhere()...)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprint(env.Stdout, helpText(cmd, columns(env.Stdout)))
	})

	// Of itself cobra answers a shell that it does not know with the help and
	// success, which a script would write into its completion file.
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Short = "Print the completion script for bash, zsh, fish or powershell"
			cmd.Example = "  churn-reconcile completion bash >/etc/bash_completion.d/churn-reconcile"
			for _, shell := range cmd.Commands() {
				shell.Example = "  churn-reconcile completion " + shell.Name()
			}
			cmd.Args = noArgs
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	return root
}

// newElsewhere answers the words that users of Terraform type first. They are
// commands, so that flags of Terraform's behind them are not what is told.
func newElsewhere() []*cobra.Command {
	const dryRun = "a dry run says what would be done: churn-reconcile -f FILE --dry-run"
	var all []*cobra.Command
	for word, way := range map[string]string{
		"plan":   dryRun,
		"diff":   dryRun,
		"apply":  "a run does it: churn-reconcile -f FILE",
		"import": "an existing resource is adopted by listing it in the spec: churn-reconcile -f FILE --dry-run shows what a run would then change",
	} {
		all = append(all, &cobra.Command{
			Use: word, Hidden: true, DisableFlagParsing: true,
			RunE: func(*cobra.Command, []string) error { return fmt.Errorf("%q is no command; %s", word, way) },
		})
	}
	return all
}

// isTerminal says whether a stream is one.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// columns is how wide a terminal is; 0 where w is none or does not say.
func columns(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// noArgs refuses words that no flag stands for: a mistyped command, or a value
// whose flag was forgotten.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	sandbox := cmd.Flags().Lookup("sandbox")
	switch near := cmd.SuggestionsFor(args[0]); {
	case len(near) > 0:
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	case sandbox != nil && sandbox.Changed && sandbox.Value.String() == defaultSandboxFile:
		hint = "; a file for the sandbox follows an equals sign, as in --sandbox=" + args[0]
	case cmd.Flags().Lookup("file") != nil && !cmd.Flags().Changed("file"):
		hint = "; a spec is named with -f, as in -f " + args[0]
	}
	return fmt.Errorf("%q is no command%s\nRun '%s --help' for what there is", args[0], hint, cmd.CommandPath())
}
