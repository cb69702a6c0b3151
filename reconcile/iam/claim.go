package iam

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
)

// A claim is a run's right to make the user's key, which only one run has at a
// time. It is the mark in the record, with the run's id.
//
// Where the run makes the user, the mark is among CreateUser's own tags: that
// call has one winner, whose claim holds at once. Where the user stands
// already, a tag has no condition to be written under, so runs go by Fischer's
// algorithm: write the mark, wait for longer than a tag takes to show, read
// again. The mark that stands is the last one, and its run goes on. The others
// wait for its commit, and adopt the key.
type claim struct {
	run    string
	mark   record // as this run has written it last; zero: not, or committed since
	before string // the record that the mark took the place of
	won    bool   // the mark stands
	tagged bool   // it was written by TagUser
}

const (
	// claimBudget is how long a tag's write takes to show, at most.
	claimBudget = 10 * time.Second

	// claimLife is how long a claim holds. Others are patient for longer, by
	// the time that it takes to deliver a key.
	claimLife = time.Minute
)

func (c *claim) marked() bool { return !c.mark.creating.IsZero() }

func (c *claim) holds(now time.Time) bool {
	return c.won && c.marked() && now.Sub(c.mark.creating).Abs() < claimLife
}

// release ends the claim, which a commit has taken the place of.
func (c *claim) release() { c.mark, c.before, c.won = record{}, "", false }

// made is the mark of a user that this run has made.
func (c *claim) made(mark record) { c.mark, c.before, c.won = mark, "", true }

// seen reads the record, in which this run's own mark may not show yet.
func (c *claim) seen(text string) (record, error) {
	if c.marked() && text == c.before {
		return c.mark, nil
	}
	r, err := parseRecord(text)
	if err == nil && r.run == c.run && !c.marked() && !c.tagged && !r.creating.IsZero() {
		// The answer to CreateUser was lost.
		c.made(r)
	}
	return r, err
}

// mark claims the key.
func (k *AccessKey) mark(live accessKeys, standing []string) reconcile.Step {
	return reconcile.Step{
		Call: "iam:TagUser", Does: "mark the start of " + k.ID().String(),
		Do: func(ctx context.Context) error {
			mark := live.record
			mark.creating, mark.run = k.env.AWSNow(), k.env.Run
			mark.standing, mark.lost = standing, ids(live.uncommitted())
			k.claim.release()
			k.claim.tagged = true
			if err := k.write(ctx, mark); err != nil {
				return err
			}
			return k.contend(ctx, mark, live.record.String())
		},
	}
}

// contend waits until the mark of this run, or that of one that came after it,
// is sure to show. Before is the record that the mark took the place of.
func (k *AccessKey) contend(ctx context.Context, mark record, before string) error {
	var at accessKeys
	overtaken := func() bool {
		strange := func(key userKey) bool {
			return !slices.Contains(mark.standing, key.id) && !slices.Contains(mark.lost, key.id)
		}
		return slices.ContainsFunc(at.keys, strange) // one that was faster has made its key
	}
	look := awsx.Poll{Pause: k.env.Pause, Budget: claimBudget}
	for look.Again(ctx) && !overtaken() {
		at = accessKeys{}
		if err := k.read(ctx, &at); err != nil {
			return err
		}
	}
	late := awsx.Poll{Pause: k.env.Pause, Budget: visibleBudget}
	for at.record.String() == before && !overtaken() && late.Again(ctx) {
		at = accessKeys{}
		if err := k.read(ctx, &at); err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if at.record.String() != mark.String() || overtaken() {
		return reconcile.ErrOvertaken
	}
	k.claim.mark, k.claim.before, k.claim.won = mark, before, true
	return nil
}

// abandon takes this run's mark back where nothing has come of it, so that the
// next run does not wait for this one. Where that fails it does.
func (k *AccessKey) abandon(ctx context.Context) {
	if !k.claim.holds(k.env.AWSNow()) {
		return
	}
	if k.write(ctx, k.claim.mark.unmarked()) == nil {
		k.claim.release()
	}
}

// renew writes the mark again where the making of a key takes long, so that
// the patience of others begins anew.
func (k *AccessKey) renew(ctx context.Context) error {
	if k.claim.holds(k.env.AWSNow()) {
		return nil
	}
	var at accessKeys
	if err := k.read(ctx, &at); err != nil {
		return err
	}
	if at.record.String() != k.claim.mark.String() {
		k.claim.release()
		return reconcile.ErrOvertaken
	}
	mark := k.claim.mark
	mark.creating = k.env.AWSNow()
	if err := k.write(ctx, mark); err != nil {
		return err
	}
	k.claim.before, k.claim.mark = k.claim.mark.String(), mark
	return nil
}

// busy is the plan while another run makes the key: to wait for it. Where that
// comes to nothing the plan is made anew, with a key to make or a mark to take
// back.
func (k *AccessKey) busy(live accessKeys) reconcile.Plan {
	plan := reconcile.Plan{
		Exists: live.has(live.record.current),
		Notes:  []string{fmt.Sprintf("another run has been making a key since %s, which this one waits for", date(live.record.creating))},
	}
	if plan.Exists {
		wait := k.unmark(live.record)
		plan.Attrs, plan.Steps = k.attrs(live, live.record.current), []reconcile.Step{wait}
	} else {
		var id string
		wait := reconcile.Step{Call: "iam:TagUser", Does: "mark the start of " + k.ID().String()}
		plan.Steps = []reconcile.Step{wait, k.create(live, "", &id), k.commit(live, &id)}
	}
	plan.Steps[0].Do = func(ctx context.Context) error { return k.await(ctx, live.record) }
	return plan
}

// await waits until a mark of another run is gone, or has outlived everybody's
// patience. Either way the plan does not hold any longer.
func (k *AccessKey) await(ctx context.Context, mark record) error {
	poll := awsx.Poll{Pause: k.env.Pause, Budget: patience - k.env.AWSNow().Sub(mark.creating).Abs()}
	for poll.Again(ctx) {
		var at accessKeys
		if err := k.read(ctx, &at); err != nil {
			return err
		}
		if at.record.String() != mark.String() {
			return reconcile.ErrOvertaken
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	k.terms.outwaited = mark.String()
	return reconcile.ErrOvertaken
}

// unmoved makes the first of the steps look once more, right before it writes,
// whether another run has changed what they were planned from: a record is
// written whole, and must not take another run's away.
func (k *AccessKey) unmoved(live accessKeys, steps []reconcile.Step) []reconcile.Step {
	if len(steps) == 0 {
		return nil
	}
	first := steps[0].Do
	steps[0].Do = func(ctx context.Context) error {
		if err := k.mustBe(ctx, live); err != nil {
			return err
		}
		return first(ctx)
	}
	return steps
}

// mustBe wants the keys to be as they were when the plan was made.
func (k *AccessKey) mustBe(ctx context.Context, was accessKeys) error {
	var is accessKeys
	if err := k.read(ctx, &is); err != nil {
		return err
	}
	k.terms.now = k.env.AWSNow()
	strange := func(id string) bool { return id != was.gone && !was.has(id) }
	if is.busy(k.terms) || is.record.current != was.record.current || slices.ContainsFunc(ids(is.keys), strange) {
		return reconcile.ErrOvertaken
	}
	return nil
}
