package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

func newOutputs(env Env) *cobra.Command {
	var (
		f      specFlags
		aws    awsFlags
		log    logFlags
		format string
	)
	cmd := &cobra.Command{
		Use:   "outputs -f FILE [NAME]",
		Short: "Print the spec's outputs; NAME alone prints the bare value",
		Example: `  churn-reconcile outputs -f dev.yaml
  churn-reconcile outputs -f dev.yaml -o json
  churn-reconcile outputs -f dev.yaml bucket_name`,
		ValidArgsFunction: f.complete(env, func(s *spec.Spec) []string {
			var names []string
			for _, o := range s.Outputs {
				names = append(names, o.Name)
			}
			return names
		}),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%s: outputs prints one NAME, or all without any", strings.Join(args, " "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(aws.check(), log.check(), oneOf("-o", format, "text", "json")); err != nil {
				return err
			}
			file, err := f.load(env)
			if err != nil {
				return err
			}
			outputs, err := readOutputs(cmd.Context(), env, aws, log, file, args)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return printOutput(env, outputs[0], format)
			}
			return printOutputs(env, outputs, format)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "text", "`FORMAT`: text or json")
	completeFlag(cmd, "output", "text", "json")
	aws.register(cmd, env)
	log.register(cmd)
	return cmd
}

// readOutputs reads as much of AWS as the outputs speak of, which for most is
// nothing.
func readOutputs(ctx context.Context, env Env, aws awsFlags, log logFlags, file *spec.File, names []string) ([]reconcile.Output, error) {
	aws.warn(env.Stderr, file)
	process, err := start(ctx, env, aws, log.logger(env.Stderr), file.Account(), view.NewProgress(env.Stderr, view.ProgressOptions{}))
	if err != nil {
		return nil, err
	}
	defer process.end()
	st, err := process.open(process.ctx, file, stack.Look{})
	if err != nil {
		return nil, err
	}

	if len(names) == 1 {
		if st.Spec.Outputs, err = named(st.Spec.Outputs, names[0]); err != nil {
			return nil, err
		}
	}
	speakOf := map[spec.ID]bool{}
	for _, o := range st.Spec.Outputs {
		for _, part := range o.Value {
			speakOf[part.ID] = true
		}
	}
	asked := slices.DeleteFunc(slices.Clone(st.Resources), func(r reconcile.Resource) bool { return !speakOf[r.ID()] })
	look := reconcile.Look(process.ctx, asked, reconcile.Options{Stop: process.stop, Pause: env.Pause})
	if err := st.Verify(); err != nil {
		return nil, process.explain(err)
	}
	if process.interrupted() {
		return nil, process.explain(reconcile.ErrInterrupted)
	}
	var errs []error
	for _, res := range look.Results() {
		if res.Status == reconcile.Failed {
			errs = append(errs, res.Err)
		}
	}
	return st.Outputs(look), errors.Join(errs...)
}

func named(outputs []spec.Output, name string) ([]spec.Output, error) {
	var names []string
	for _, o := range outputs {
		if o.Name == name {
			return []spec.Output{o}, nil
		}
		names = append(names, o.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the spec has no outputs")
	}
	return nil, fmt.Errorf("the spec has no output %q; it has %s", name, strings.Join(names, ", "))
}

// printOutput prints a bare value, as it is or not at all: what a terminal would
// act on is for JSON, and a secret is nowhere to be had but where it was delivered.
func printOutput(env Env, o reconcile.Output, format string) error {
	switch {
	case o.Secret && o.Value != nil:
		return fmt.Errorf("output %s is a secret, which is not printed; it was %s", o.Name, *o.Value)
	case o.Value != nil && format != "json" && view.Printable(*o.Value) != *o.Value:
		return fmt.Errorf("output %s has characters that a terminal or a log would act on; -o json prints it", o.Name)
	}
	if format == "json" {
		return printJSON(env, o.Value)
	}
	if o.Value == nil {
		return fmt.Errorf("output %s has no value yet: what it speaks of is not in AWS; run churn-reconcile first", o.Name)
	}
	_, err := fmt.Fprintln(env.Stdout, *o.Value)
	return err
}

func printOutputs(env Env, outputs []reconcile.Output, format string) error {
	if format == "json" {
		type output struct {
			Value     *string `json:"value"`
			Sensitive bool    `json:"sensitive"`
		}
		all := make(map[string]output, len(outputs))
		for _, o := range outputs {
			all[o.Name] = output{o.Value, o.Sensitive}
		}
		return printJSON(env, all)
	}
	for _, o := range outputs {
		value := "(" + string(o.Gap) + ")"
		if o.Value != nil {
			value = *o.Value
		}
		if _, err := fmt.Fprintln(env.Stdout, view.Printable(o.Name+" = "+value)); err != nil {
			return err
		}
	}
	return nil
}

func printJSON(env Env, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(env.Stdout, view.PrintableJSON(b.String()))
	return err
}
