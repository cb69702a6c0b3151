package cli

import (
	"bufio"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// completeFlag lets a shell offer the values of a flag that has a few.
func completeFlag(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// complete lets a shell offer what names answers of the spec. A spec that is
// wrong, or that would be read from standard input, has nothing to offer.
func (f *specFlags) complete(env Env, names func(*spec.Spec) []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const noFiles = cobra.ShellCompDirectiveNoFileComp
		f.files = slices.Compact(f.files) // cobra has parsed the flags twice
		if len(args) > 0 || f.resolve() != nil || f.file == "-" {
			return nil, noFiles
		}
		file, err := f.load(env)
		if err != nil {
			return nil, noFiles
		}
		s, err := file.Preview()
		if err != nil {
			return nil, noFiles
		}
		return names(s), noFiles
	}
}

func addresses(s *spec.Spec) []string {
	var all []string
	for _, id := range s.IDs() {
		all = append(all, id.String())
	}
	return all
}

// profiles lists the profiles of the AWS configuration. In the one file a
// section is called "profile NAME", in the other NAME; "default" has its name in
// both (https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html).
func profiles(env Env) []string {
	path := func(variable, otherwise string) string {
		if v, ok := env.LookupEnv(variable); ok && v != "" {
			return v
		}
		return otherwise
	}
	var names []string
	for _, section := range sections(path("AWS_CONFIG_FILE", config.DefaultSharedConfigFilename())) {
		name, isProfile := strings.CutPrefix(section, "profile ")
		if isProfile || section == "default" {
			names = append(names, strings.TrimSpace(name))
		}
	}
	names = append(names, sections(path("AWS_SHARED_CREDENTIALS_FILE", config.DefaultSharedCredentialsFilename()))...)
	slices.Sort(names)
	return slices.Compact(names)
}

func sections(path string) []string {
	file, err := os.Open(path)
	if err != nil {
		return nil // nothing to offer
	}
	defer file.Close()
	var names []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "["); ok {
			if name, _, ok := strings.Cut(rest, "]"); ok {
				names = append(names, strings.TrimSpace(name))
			}
		}
	}
	return names
}
