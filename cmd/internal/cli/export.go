package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/export"
	"github.com/churn-reconcile/churn-reconcile/reconcile/export/tfstate"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// exportFlags say what to export.
type exportFlags struct {
	aws                  awsFlags
	log                  logFlags
	state                stateFlags
	project, environment string
	stack, tag           string
	all                  bool
}

func newExport(env Env) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export [ADDRESS...]",
		Short: "Print a spec of what AWS has",
		Long: `Print a spec of resources that AWS has, by their addresses, by a stack's mark, by
a tag, or because a Terraform state keeps them. It reads as if a person had
written it: what refers is a reference, what AWS gives to everything is left out,
and so are the tags of this program. A group of IAM carries no tags: it is named
by its address.

A dry run of the spec then has this program's tags to add and nothing else. What
cannot be read is told and left out, and ends with exit status 1.

A state is one of version 4, as "terraform state pull" or "tofu state pull"
prints it, or what "terraform show -json" does. It only says what to look for,
and which fields Terraform looks after; it gives the outputs. What stays with
Terraform is told at once and at the spec's end, where the commands stand that
make Terraform forget the rest. A secret of the state is never written.`,
		Example: `  churn-reconcile export s3.bucket/data iam.role/training --project churn --environment dev > dev.yaml
  churn-reconcile export --stack churn/dev > dev.yaml
  churn-reconcile export --tag Team=ml --project churn --environment dev > dev.yaml
  terraform state pull | churn-reconcile export --terraform - --project churn --environment dev > dev.yaml`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var kinds []string
			for _, kind := range spec.Kinds() {
				kinds = append(kinds, string(kind)+"/")
			}
			return kinds, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			_, _, err := f.tagged()
			if err := errors.Join(f.aws.check(), f.log.check(), f.state.check(cmd, args), err); err != nil {
				return err
			}
			if f.state.file != "" {
				part, err := f.state.read(env, f.aws.region)
				if err != nil {
					return err
				}
				tellState(env.Stderr, part)
				return runExport(cmd.Context(), env, f, wantsOfState(part, f.all), part)
			}
			wants, err := f.wants(args)
			if err != nil {
				return err
			}
			return runExport(cmd.Context(), env, f, wants, nil)
		},
	}
	cmd.Flags().StringVar(&f.project, "project", "", "`NAME` of the project that the spec is for; without, what the resources' marks say")
	cmd.Flags().StringVar(&f.environment, "environment", "", "`NAME` of the environment")
	cmd.Flags().StringVar(&f.stack, "stack", "", "what carries the mark of `PROJECT/ENVIRONMENT`, beside what is named")
	cmd.Flags().StringVar(&f.tag, "tag", "", "what carries the tag `KEY=VALUE`, beside what is named")
	cmd.Flags().BoolVar(&f.all, "all", false, "write all that is live, AWS's defaults too")
	f.state.register(cmd)
	f.aws.register(cmd, env)
	f.log.register(cmd)
	return cmd
}

// wants are the resources that are asked for by their addresses.
func (f *exportFlags) wants(addresses []string) ([]export.Want, error) {
	if len(addresses) == 0 && f.stack == "" && f.tag == "" {
		return nil, errors.New("export what? Name resources by their addresses, as in s3.bucket/NAME iam.role/NAME; " +
			"--stack PROJECT/ENVIRONMENT takes all of a stack, --tag KEY=VALUE all that carries a tag, --terraform FILE all of a state")
	}
	var wants []export.Want
	var errs []error
	for _, address := range addresses {
		id, err := spec.ParseID(address)
		errs = append(errs, err)
		wants = append(wants, export.Want{ID: id})
	}
	return wants, errors.Join(errs...)
}

// tagged is the tag that is looked for; no key where none is.
func (f *exportFlags) tagged() (key, value string, err error) {
	switch {
	case f.stack != "" && f.tag != "":
		return "", "", errors.New("--stack and --tag are two ways to say what to export; choose one")
	case f.state.file != "" && f.stack+f.tag != "":
		return "", "", errors.New("--terraform takes all of a state; it goes with neither --stack nor --tag")
	case f.stack != "":
		project, environment, ok := strings.Cut(f.stack, "/")
		if !ok || project == "" || environment == "" || strings.Contains(environment, "/") {
			return "", "", fmt.Errorf("--stack %s: PROJECT/ENVIRONMENT is wanted, as in churn/dev", f.stack)
		}
		return reconcile.Mark, f.stack, nil
	case f.tag != "":
		key, value, ok := strings.Cut(f.tag, "=")
		if !ok || key == "" {
			return "", "", fmt.Errorf("--tag %s: KEY=VALUE is wanted, as in Team=ml", f.tag)
		}
		return key, value, nil
	}
	return "", "", nil
}

// find adds what carries the tag that flags name.
func (f *exportFlags) find(ctx context.Context, account *export.Account, wants []export.Want) ([]export.Want, error) {
	key, value, err := f.tagged()
	if err != nil || key == "" {
		return wants, err
	}
	found, err := account.Tagged(ctx, key, value)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("nothing in account %s, region %s carries the tag %s=%s", account.Account, account.Region, key, value)
	}
	return append(wants, found...), err
}

// runExport prints a spec of what is wanted, and tells what is not in it. part is
// the part of a Terraform state that says so; nil where none does.
func runExport(ctx context.Context, env Env, f exportFlags, wants []export.Want, part *tfstate.Part) error {
	if part != nil {
		f.aws.region = part.Place.Region // whatever the environment says
	}
	progress := newProgress(env, f.log)
	defer progress.Stop()
	process, err := start(ctx, env, f.aws, f.log.logger(progress), "", progress)
	if err != nil {
		return err
	}
	defer process.end()
	reading, done := reconcile.UntilStopped(process.ctx, process.stop)
	defer done()
	account, err := process.session.Account(reading, "")
	if err != nil {
		return process.explain(err)
	}
	if part != nil {
		if err := checkStateAccount(part, account.Identity); err != nil {
			return err
		}
	}
	if wants, err = f.find(reading, account, wants); err != nil {
		return process.explain(err)
	}
	progress.Looking(len(wants))
	draft, left := account.Export(reading, wants, export.Options{All: f.all, Read: progress.Looked})
	progress.Stop()
	if process.interrupted() {
		return process.explain(reconcile.ErrInterrupted)
	}
	if part != nil {
		left = append(left, part.Complete(&draft, f.state.removedBlocks)...)
	}
	for _, l := range left {
		fmt.Fprintln(env.Stderr, view.Printable(fmt.Sprintf("Left out %s: %v", l.ID, l.Err)))
	}
	if len(draft.Resources) == 0 {
		return errors.New("nothing of what was asked for is there, so there is no spec to write")
	}
	if draft.Project, draft.Environment, err = f.name(draft.Resources); err != nil {
		return err
	}
	draft.Head = []string{
		"What AWS has of " + draft.Project + "/" + draft.Environment + ", as export found it. A field that is left out",
		"here is left alone: not read, not changed.",
	}
	text := draft.YAML()
	if part != nil && part.Tells(string(text)) {
		return errors.New("nothing is written: a secret of an access key that the state holds would stand in the spec")
	}
	if _, err := env.Stdout.Write(text); err != nil {
		return fmt.Errorf("write the spec: %w", err)
	}
	if err := loads(text); err != nil {
		return fmt.Errorf("what AWS has does not pass as a spec; mend it before a run:\n%w", err)
	}
	if len(left) > 0 {
		return &exitStatus{code: exitError}
	}
	return nil
}

// name is the stack that the spec is for: as flags say, or as the resources'
// marks do.
func (f *exportFlags) name(resources []spec.Resource) (project, environment string, err error) {
	if f.stack != "" {
		p, e, _ := strings.Cut(f.stack, "/")
		return cmp.Or(f.project, p), cmp.Or(f.environment, e), nil
	}
	marks := map[string]bool{}
	for _, r := range resources {
		if mark := r.Common().Tags[reconcile.Mark]; mark != "" {
			marks[mark] = true
		}
	}
	project, environment = f.project, f.environment
	switch {
	case project != "" && environment != "":
		return project, environment, nil
	case len(marks) == 1:
		for mark := range marks {
			p, e, _ := strings.Cut(mark, "/")
			return cmp.Or(project, p), cmp.Or(environment, e), nil
		}
	case len(marks) > 1:
		return "", "", fmt.Errorf("the resources carry the marks of several stacks (%s), and a spec is about one: export one of them, or say --project and --environment",
			strings.Join(slices.Sorted(maps.Keys(marks)), ", "))
	}
	return "", "", errors.New("whose spec is it? No resource carries a stack's mark: say --project NAME and --environment NAME")
}

// loads says what is wrong with a spec that was written: AWS may have what a
// spec refuses, such as a policy that was put there before a rule of today.
func loads(text []byte) error {
	file, err := spec.Load("-", spec.Options{Stdin: bytes.NewReader(text)})
	if err != nil {
		return err
	}
	return file.Check()
}
