package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile/iam"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

func resources(n int) string {
	if n == 1 {
		return "1 resource"
	}
	return fmt.Sprintf("%d resources", n)
}

func newValidate(env Env) *cobra.Command {
	var (
		f      specFlags
		format string
		color  string
	)
	cmd := &cobra.Command{
		Use:   "validate -f FILE",
		Short: "Check the spec without a network",
		Example: `  churn-reconcile validate -f dev.yaml
  churn-reconcile validate -f dev.yaml -o json      for programs: valid, and problems with file, line and column
  churn-reconcile validate -f dev.yaml -o github    annotations of GitHub Actions`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			err := errors.Join(oneOf("-o", format, "text", "json", "github"), oneOf("--color", color, "auto", "always", "never"))
			if err == nil && format == "github" {
				err = checkActions(env)
			}
			if err != nil {
				return err
			}
			return validate(env, f, format)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "text", "`FORMAT`: text, json or github")
	cmd.Flags().StringVar(&color, "color", "auto", "`WHEN` to colour: auto, always or never; NO_COLOR is honoured")
	return cmd
}

func validate(env Env, f specFlags, format string) error {
	s, err := f.preview(env)
	if err == nil {
		err = checkAccess(env, s)
	}
	problems, wrong := errors.AsType[spec.Problems](err)
	switch {
	case err != nil && !wrong:
		return err
	case format == "json":
		file := f.file
		if s != nil {
			file = s.File
		}
		if err := view.ProblemsJSON(env.Stdout, file, problems); err != nil || !wrong {
			return err
		}
		return &exitStatus{code: exitError} // it has told it all
	case wrong && format == "github":
		// The log shows an annotation without its place, so the text follows.
		return errors.Join(view.ProblemsGitHub(env.Stdout, problems), err)
	case wrong:
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "%s is valid: %s.\n", view.Printable(s.File), resources(len(s.IDs())))
	return err
}

// checkAccess says which assertions of the spec do not hold by its policies.
// What a document decides that is not in the spec is no mistake of the spec: a
// run reads it.
func checkAccess(env Env, s *spec.Spec) error {
	assertions, err := iam.NewAssertions(s)
	if err != nil {
		return err
	}
	broken, undecided := assertions.Decide()
	for _, line := range undecided {
		fmt.Fprintln(env.Stderr, view.Printable("Warning: "+line+"; a run reads it and decides"))
	}
	if len(broken) > 0 {
		return broken
	}
	return nil
}

// preview is the spec as it is without credentials.
func (f *specFlags) preview(env Env) (*spec.Spec, error) {
	file, err := f.load(env)
	if err != nil {
		return nil, err
	}
	return file.Preview()
}
