package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile/export"
	"github.com/churn-reconcile/churn-reconcile/reconcile/export/tfstate"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// stateFlags say which Terraform state to export from.
type stateFlags struct {
	file          string
	account       string
	removedBlocks bool
}

func (f *stateFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.file, "terraform", "", "export what the Terraform state in `FILE` keeps; - is standard input")
	flags.StringVar(&f.account, "account", "", "`ID` of one account, where the state has several; --region parts regions")
	flags.BoolVar(&f.removedBlocks, "removed-blocks", false, "end with removed blocks for Terraform 1.7 in place of commands")
	_ = cmd.MarkFlagFilename("terraform", "tfstate", "json")
}

func (f *stateFlags) check(cmd *cobra.Command, addresses []string) error {
	switch {
	case f.file == "" && cmd.Flags().Changed("terraform"):
		return errors.New("--terraform is given without a value")
	case f.file == "" && f.account != "":
		return errors.New("--account says which part of a Terraform state to export, and there is no --terraform; what is exported else is the account of the credentials")
	case f.file == "" && f.removedBlocks:
		return errors.New("--removed-blocks is about what a Terraform state keeps, and there is no --terraform")
	case f.file != "" && len(addresses) > 0:
		return fmt.Errorf("--terraform takes all of a state, and %s is named beside it; choose one", addresses[0])
	}
	return nil
}

// read reads the state, and picks the part of it that is in one place.
func (f *stateFlags) read(env Env, region string) (*tfstate.Part, error) {
	source, name := env.Stdin, "standard input"
	if f.file != "-" {
		name = f.file
		file, err := os.Open(f.file)
		if err != nil {
			return nil, fmt.Errorf("read the terraform state: %w", err)
		}
		defer file.Close()
		if info, err := file.Stat(); err == nil && info.IsDir() {
			return nil, fmt.Errorf("%s is a folder; in it, this works whatever keeps the state: terraform state pull | churn-reconcile export --terraform -", f.file)
		}
		source = io.Reader(file)
	}
	state, err := tfstate.Read(source)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read as a Terraform state: %w", name, err)
	}
	place, err := state.In(f.account, region)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	part := state.At(place)
	return &part, nil
}

// tellState tells what of a state stays with Terraform, before AWS is asked.
func tellState(w io.Writer, part *tfstate.Part) {
	for _, line := range part.Staying() {
		fmt.Fprintln(w, view.Printable(line))
	}
}

// wantsOfState are what to look for; all takes every field that is live.
func wantsOfState(part *tfstate.Part, all bool) []export.Want {
	wants := part.Wants
	for i := range wants {
		if all {
			wants[i].Fields = nil
		}
	}
	return wants
}

// checkStateAccount stops where the credentials are of another account than the
// state: what is there under the same names is not what Terraform keeps.
func checkStateAccount(part *tfstate.Part, at spec.Identity) error {
	if part.Place.Account == "" || part.Place.Account == at.Account {
		return nil
	}
	return fmt.Errorf("the state is about account %s, and the credentials are of account %s", part.Place.Account, at.Account)
}
