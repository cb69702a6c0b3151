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

	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
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
	// attempts. Tests set them, so that no test waits. nil: as it should be.
	Pause   awsx.Pause
	Backoff retry.BackoffDelayer
}

// OS is the Env of a real process.
func OS() Env {
	return Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv, Now: time.Now}
}

// Main runs a command line and answers with the exit code.
func Main(args []string, env Env) int {
	root := newRoot(env)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return exitOK
	}
	code := exitError
	if status, ok := errors.AsType[*exitStatus](err); ok {
		code, err = status.code, status.err
	}
	if err != nil {
		fmt.Fprintf(env.Stderr, "Error: %v\n", err)
	}
	return code
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
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w%s\nRun '%s --help' for what there is", err, nearestFlag(cmd, err), cmd.CommandPath())
	})
	root.AddCommand(newValidate(env), newOutputs(env), newGraph(env), newSchema(env), newSandbox(env), newVersion(env))
	return root
}

// isTerminal says whether w is one.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// noArgs refuses words that no flag stands for, which are mistyped commands
// or flags without their dashes.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if near := cmd.Root().SuggestionsFor(args[0]); len(near) > 0 && !cmd.HasParent() {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("%q is no command%s\nRun '%s --help' for what there is", args[0], hint, cmd.CommandPath())
}
