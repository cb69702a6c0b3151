package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/view"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// stacksAtATime is how many stacks are worked on side by side: enough that one
// that waits holds up no other, and few enough that hundreds fit into memory.
const stacksAtATime = 16

// runAll makes a run of each of several stacks, side by side. What goes wrong
// with one is that one's failure.
func runAll(ctx context.Context, env Env, f runFlags, command []string, which stack.Look, paths []string, sinks []reportSink) error {
	stacks := make([]view.Stack, len(paths))
	files := make([]*spec.File, len(paths))
	var specs []*spec.Spec
	account := ""
	names := map[string]string{}
	for i, path := range paths {
		stacks[i].Spec = path
		file, err := f.spec.read(env, path)
		if err != nil {
			stacks[i].Err = errors.Join(err, annotate(env, sinks, err))
			continue
		}
		if err := protect(sinks, path, file, f.aws.sandbox); err != nil {
			return err
		}
		preview, err := file.Preview()
		if err != nil {
			stacks[i].Err = err
			continue
		}
		if other, ok := names[preview.Stack()]; ok {
			return fmt.Errorf("%s and %s are both the stack %s: two runs of one stack side by side are not made", other, path, preview.Stack())
		}
		names[preview.Stack()] = path
		files[i], specs = file, append(specs, preview)
		f.aws.warn(env.Stderr, file)
		if account == "" {
			account = file.Account()
		}
	}

	progress := newProgress(env, f.log)
	defer progress.Stop()
	process, err := start(ctx, env, f.aws, f.log.logger(progress), account, progress)
	if err != nil {
		return err
	}
	defer process.end()
	var runs errgroup.Group
	runs.SetLimit(stacksAtATime)
	which.Batch = stack.NewBatch(specs)
	all := f.runner(env, process, progress, which)
	for i, file := range files {
		if file == nil {
			continue
		}
		runs.Go(func() error {
			stacks[i].Report, stacks[i].Err = all.reconcile(process.ctx, file, f.dryRun, nil, progress.Of(paths[i]))
			return nil
		})
	}
	_ = runs.Wait() // what went wrong stands beside each stack
	progress.Stop()
	err = writeEach(env, f.log, sinks, formats{
		"json":     func(w io.Writer, _ view.TextOptions) error { return view.StacksJSON(w, stacks) },
		"markdown": func(w io.Writer, _ view.TextOptions) error { return view.StacksMarkdown(w, stacks) },
		"text":     func(w io.Writer, o view.TextOptions) error { return view.StacksText(w, stacks, o) },
	})
	if err := errors.Join(err, tellGitHub(process.ctx, env, sinks, stacks)); err != nil {
		return err
	}
	return statusOf(stacks, process.interrupted(), f.detailed)
}

// statusOf is the exit code that several stacks deserve: the worst of theirs.
func statusOf(stacks []view.Stack, interrupted, detailed bool) error {
	if interrupted {
		return &exitStatus{code: exitInterrupted}
	}
	var worst error
	for _, s := range stacks {
		err := s.Err
		if s.Report != nil && err == nil {
			err = status(s.Report, detailed)
		}
		code, ok := errors.AsType[*exitStatus](err)
		switch {
		case err == nil:
		case !ok || code.code == exitError:
			return &exitStatus{code: exitError}
		default:
			worst = err
		}
	}
	return worst
}
