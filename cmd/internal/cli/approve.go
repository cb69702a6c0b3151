package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// permitFlags say what a run may do of what there is to do.
type permitFlags struct {
	approved             string
	maxChanges, removals int
	yes                  bool

	given *pflag.FlagSet
}

func (f *permitFlags) register(cmd *cobra.Command) {
	f.registerLimits(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.approved, "approved", "", "do only what a dry run's JSON `REPORT` shows, or exactly the plan with this digest (sha256:…)")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	_ = cmd.MarkFlagFilename("approved", "json")
}

func (f *permitFlags) registerLimits(cmd *cobra.Command) {
	f.given = cmd.Flags()
	f.given.IntVar(&f.maxChanges, "max-changes", 0, "write nothing where more than `N` resources have anything to do; wins over the spec's limits")
	f.given.IntVar(&f.removals, "max-removals", 0, "write nothing where more than `N` things are taken away; wins over the spec's limits")
}

// approval is what may be done, nil: whatever there is.
func (f *permitFlags) approval() (*reconcile.Approval, error) {
	if err := f.checkLimits(); err != nil {
		return nil, err
	}
	switch {
	case !f.given.Changed("approved"):
		return nil, nil
	case f.approved == "":
		return nil, errors.New("--approved is given without a value")
	case reconcile.IsDigest(f.approved):
		return &reconcile.Approval{Digest: f.approved}, nil
	case strings.HasPrefix(f.approved, "sha256:"):
		return nil, fmt.Errorf("--approved %s: a digest is sha256: and 64 digits of 0-9a-f", f.approved)
	}
	text, err := os.ReadFile(f.approved)
	if err != nil {
		return nil, fmt.Errorf("--approved: %w", err)
	}
	approval, err := view.ReadPlan(text)
	if err != nil {
		return nil, fmt.Errorf("--approved %s is no plan: %w", f.approved, err)
	}
	return approval, nil
}

func (f *permitFlags) checkLimits() error {
	for _, name := range []string{"max-changes", "max-removals"} {
		if flag := f.given.Lookup(name); strings.HasPrefix(flag.Value.String(), "-") {
			return fmt.Errorf("--%s %s: a number is wanted; 0 is the least, and allows none", name, flag.Value)
		}
	}
	return nil
}

// limits are the spec's, and the flags' over them.
func (f *permitFlags) limits(s *spec.Spec) reconcile.Limits {
	limit := func(flag string, given int, declared *int32) *int {
		switch {
		case f.given.Changed(flag):
			return &given
		case declared != nil:
			n := int(*declared)
			return &n
		}
		return nil
	}
	return reconcile.Limits{
		Changes:  limit("max-changes", f.maxChanges, s.Limits.Changes),
		Removals: limit("max-removals", f.removals, s.Limits.Removals),
	}
}

// permit says whether a run may do what its look has found. Where it may not,
// everything is held.
func (f *permitFlags) permit(look *reconcile.Run, approval *reconcile.Approval, s *stack.Stack) error {
	if approval != nil {
		if err := look.Approve(approval, s.Scope()); err != nil {
			return err
		}
	}
	return look.Limit(f.limits(s.Spec))
}

// confirm asks before the first run of a stack in an account that the spec does
// not name, where there is somebody to ask: credentials of another account
// would make everything there.
func (r *runner) confirm(ctx context.Context, st *stack.Stack, look *reconcile.Run) error {
	pending := reconcile.Pending(look.Results())
	if st.Spec.AccountGiven || len(pending) == 0 || r.process.interrupted() ||
		!r.env.asks() || !st.First(look) {
		return nil
	}
	counts := map[reconcile.Action]int{}
	for _, c := range pending {
		counts[c.Action]++
	}
	of := st.Spec
	word, err := r.question(ctx, fmt.Sprintf(`This is the first run of %s in this account, which the spec does not name.

  account  %s
  region   %s
  caller   %s
  to do    %d to create, %d to update

Go on? [y/N] `, of.Stack(), of.Account, of.Region, st.Caller, counts[reconcile.Create], counts[reconcile.Update]))
	if err == nil && !isYes(word) {
		err = errors.New("not confirmed: nothing was written")
	}
	return err
}

func isYes(word string) bool { return strings.EqualFold(word, "y") || strings.EqualFold(word, "yes") }

// again is the command line that makes a plan once more: what has a part in
// what there is to do, and where.
func again(command []string, given *pflag.FlagSet) string {
	words := command
	for _, name := range []string{"file", "var", "target", "region", "profile", "endpoint-url", "sandbox", "allow-github", "prune"} {
		flag := given.Lookup(name)
		if flag == nil || !flag.Changed {
			continue
		}
		values := []string{flag.Value.String()}
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, value := range values {
			if name == "file" {
				words = append(words, "-f", value)
				continue
			}
			words = append(words, "--"+name+"="+value)
		}
	}
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = shellQuote(word)
	}
	return strings.Join(quoted, " ")
}

// shellQuote writes a word as a POSIX shell takes it for one.
func shellQuote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r)
	}
	if word != "" && strings.TrimLeftFunc(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
