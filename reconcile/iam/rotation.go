package iam

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

// A key that is due gets a successor, which is delivered in its place. The
// former key then retires: it is made inactive once it is idle for
// retireAfter, and deleted when it has been inactive for as long again.

// successor is the plan for a key that is due.
func (k *AccessKey) successor(live accessKeys, why string) reconcile.Plan {
	plan := k.made(live, why)
	plan.Exists, plan.Attrs = true, k.attrs(live, live.record.current)
	return plan
}

// freed is the plan for a key that is due where its predecessor's place is
// free once that is deleted.
func (k *AccessKey) freed(live accessKeys, why string) reconcile.Plan {
	plan := k.kept(live)
	plan.Steps = append(plan.Steps, k.made(live.without(live.record.retiring), why).Steps...)
	return plan
}

// waits is the plan for a key that is due while its predecessor retires. Steps
// bring the retirement on, and with it the day that makes room.
func (k *AccessKey) waits(live accessKeys, why string) (reconcile.Plan, error) {
	id, retiring := live.record.current, live.record.retiring
	plan := k.kept(live)
	if len(plan.Steps) == 0 && (k.terms.rotate != "" || !live.find(id).shared) {
		return reconcile.Plan{}, fmt.Errorf("%s needs a successor (%s), but %s, which it succeeded itself, is still retiring, and AWS allows %d keys; "+
			"wait until that is through, or delete %s if nobody uses it (aws iam delete-access-key --user-name %s --access-key-id %s), and run again",
			id, why, retiring, maxKeys, retiring, k.user, retiring)
	}
	plan.Notes = append(plan.Notes, fmt.Sprintf("%s is due for rotation (%s), which waits for %s to retire", id, why, retiring))
	return plan, nil
}

// noRoom is the error where a key is due and somebody's takes the place of a
// successor.
func (k *AccessKey) noRoom(live accessKeys, why string) error {
	id := live.record.current
	others := slices.DeleteFunc(live.standing(), func(other string) bool { return other == id })
	return fmt.Errorf("%s needs a successor (%s), but the user has a key that is not the stack's, %s, and AWS allows %d; "+
		"delete it if nobody uses it (aws iam delete-access-key --user-name %s --access-key-id %s) and run again",
		id, why, and(others), maxKeys, k.user, and(others))
}

// pick makes the key that is current due by command, so that its successor is
// not.
func (k *AccessKey) pick(live accessKeys) error {
	if !k.rotate || k.terms.rotate != "" {
		return nil
	}
	switch {
	case live.has(live.record.current):
		k.terms.rotate = live.record.current
	case live.ours && live.phase(k.terms) == phaseAdopted:
		k.terms.rotate = live.served().id
	default:
		return errors.New("there is no key of the stack's to rotate; a run without rotate makes or adopts one")
	}
	return nil
}

// retire goes on with the key that the current one succeeded.
func (k *AccessKey) retire(live accessKeys, plan *reconcile.Plan) {
	r := live.record
	if r.retiring == "" {
		return
	}
	after := r.unmarked()
	forgotten := record{current: r.current, since: r.since}
	key := live.find(r.retiring)
	switch {
	case key == nil:
		plan.Steps = append(plan.Steps, k.note(r, forgotten, "forget "+r.retiring+", which is gone, for"))
	case key.active && !r.inactive.IsZero():
		// Somebody needed it back.
		after.superseded, after.inactive = k.terms.asOf, time.Time{}
		plan.Steps = append(plan.Steps, k.note(r, after, "begin again to retire "+r.retiring+" of"))
	case key.active:
		idle := r.superseded
		if key.used.After(idle) {
			idle = key.used
		}
		if until := idle.Add(k.terms.retireAfter); k.terms.asOf.Before(until) {
			plan.Notes = append(plan.Notes, fmt.Sprintf("%s, which was succeeded, becomes inactive if it stays unused until %s", r.retiring, date(until)))
			return
		}
		after.inactive = k.terms.asOf
		plan.Steps = append(plan.Steps, k.setStatus("keys["+r.retiring+"].status", r.retiring, false), k.note(r, after, "note the retirement of "+r.retiring+" of"))
	case r.inactive.IsZero():
		after.inactive = k.terms.asOf
		plan.Steps = append(plan.Steps, k.note(r, after, "note the retirement of "+r.retiring+" of"))
	case !live.retired(k.terms):
		plan.Notes = append(plan.Notes, fmt.Sprintf("%s, which was succeeded, is inactive and will be deleted from %s on", r.retiring, date(r.inactive.Add(k.terms.retireAfter))))
	default:
		plan.Steps = append(plan.Steps, k.remove(r.retiring, "which was succeeded"), k.note(r, forgotten, "forget "+r.retiring+" of"))
	}
}
