package iam

import (
	"fmt"
	"slices"
	"time"
)

// A userKey is one access key of the user, with all that is known of it.
type userKey struct {
	id      string
	created time.Time
	active  bool

	delivered bool // every sink has the pair
	shared    bool // every shared sink has it
	partly    bool // at least one sink has it
	certain   bool // one that tells pairs apart is among those that have it

	// used is when somebody last used it, of uncommitted and retiring keys
	// only; zero: never. The proof that a new key works is no use.
	used time.Time
}

// accessKeys is what AWS has of a user's keys, and what the sinks have of
// them.
type accessKeys struct {
	absent bool // there is no user
	record record
	ours   bool      // the user carries the stack's mark
	gone   string    // a key that the plan deletes, and that may be listed for a while
	keys   []userKey // by age
}

// find is the key with the id, or nil.
func (l accessKeys) find(id string) *userKey {
	i := slices.IndexFunc(l.keys, func(k userKey) bool { return k.id == id })
	if i < 0 {
		return nil
	}
	return &l.keys[i]
}

func (l accessKeys) has(id string) bool { return l.find(id) != nil }

func ids(keys []userKey) []string {
	var all []string
	for _, k := range keys {
		all = append(all, k.id)
	}
	return all
}

// uncommitted are the keys that came to be after a mark that no commit has
// followed.
func (l accessKeys) uncommitted() []userKey {
	if l.record.creating.IsZero() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(l.keys), func(k userKey) bool { return slices.Contains(l.record.standing, k.id) })
}

// standing are the ids of all other keys.
func (l accessKeys) standing() []string {
	young := ids(l.uncommitted())
	return slices.DeleteFunc(ids(l.keys), func(id string) bool { return slices.Contains(young, id) })
}

// own are the ids that a sink may have of the stack, and that may be
// overwritten.
func (l accessKeys) own() []string {
	own := ids(l.uncommitted())
	for _, id := range []string{l.record.current, l.record.retiring} {
		if id != "" {
			own = append(own, id)
		}
	}
	return own
}

// A phase is where in its life the stack's key is.
type phase int

const (
	phaseAbsent    phase = iota // there is none, and room for one
	phaseNoRoom                 // there is none, and no room either
	phaseAdopted                // keys stood before the stack, and serve
	phaseInDoubt                // a run was cut off, and which key it made cannot be told
	phaseDelivered              // all that lacks is the commit
	phaseBusy                   // another run is making it
	phaseHidden                 // this run has committed it, and the record does not show it yet
	phaseCurrent                // committed, and stays
	phaseDue                    // committed, and needs a successor
	phaseDueNoRoom              // needs a successor, and a key of somebody's is in the way
	phaseDueFreed               // needs a successor, and its predecessor can go to make room
	phaseDueWaits               // needs a successor, which waits until its predecessor has retired
)

// terms is what decides a phase beside the facts.
type terms struct {
	asOf        time.Time
	rotateAfter time.Duration // 0: never
	retireAfter time.Duration
	rotate      string    // the key that is due by command; "": none
	now         time.Time // by AWS's clock
	run         string    // this run
	outwaited   string    // the mark for whose commit this run has waited in vain; "": none
	committed   record    // what this run has committed; zero: nothing
	sharedSinks string    // their names, for reasons
}

// phase says where the keys are in their life. It looks at nothing but the
// facts.
func (l accessKeys) phase(t terms) phase {
	uncommitted := l.uncommitted()
	current := l.find(l.record.current)
	switch {
	case l.hidden(t):
		return phaseHidden
	case l.busy(t):
		return phaseBusy
	case l.doubt() != "":
		return phaseInDoubt
	case slices.ContainsFunc(uncommitted, isDelivered):
		return phaseDelivered
	case current == nil && l.record.current == "" && l.record.creating.IsZero() && len(l.keys) > 0 && t.rotate == "":
		return phaseAdopted
	case current == nil && len(l.standing()) >= maxKeys:
		return phaseNoRoom
	case current == nil:
		return phaseAbsent
	case l.due(t) == "":
		return phaseCurrent
	case len(l.standing()) < maxKeys:
		return phaseDue
	case !l.has(l.record.retiring):
		return phaseDueNoRoom
	case l.retired(t):
		return phaseDueFreed
	}
	return phaseDueWaits
}

// isDelivered says that nothing of a key is missing but its commit.
func isDelivered(k userKey) bool { return k.delivered && k.certain }

// hidden says that the record is older than what this run has committed. It is
// not where another run has committed a key since.
func (l accessKeys) hidden(t terms) bool {
	return t.committed.current != "" && l.record.current != t.committed.current && !l.record.since.After(t.committed.since)
}

// patience is how long a mark of another run is left alone. A run that makes a
// key renews its mark before that.
const patience = 2 * time.Minute

// busy says that another run is at it, for all that is known.
func (l accessKeys) busy(t terms) bool {
	r := l.record
	return !r.creating.IsZero() && r.run != "" && r.run != t.run &&
		r.String() != t.outwaited && t.now.Sub(r.creating).Abs() < patience
}

// strangers are keys that are neither the stack's nor may be: nobody here knows
// them.
func (l accessKeys) strangers() []string {
	return slices.DeleteFunc(l.standing(), func(id string) bool {
		return id == l.record.current || id == l.record.retiring
	})
}

// due says why the current key needs a successor, or "".
func (l accessKeys) due(t terms) string {
	key := l.find(l.record.current)
	switch {
	case len(l.uncommitted()) > 0:
		// Sinks may have the uncommitted key already, and the current key's
		// secret is nowhere to restore them from.
		return "a rotation was cut off"
	case t.rotate == key.id:
		return "asked for"
	case t.rotateAfter > 0 && !t.asOf.Before(key.created.Add(t.rotateAfter)):
		return fmt.Sprintf("older than %s", days(t.rotateAfter))
	case !key.shared:
		return fmt.Sprintf("not in %s, and AWS does not tell its secret twice", t.sharedSinks)
	}
	return ""
}

// skew is how far a key's date may lie from the mark's.
const skew = 5 * time.Minute

// doubt says why an uncommitted key may be somebody's, or "".
func (l accessKeys) doubt() string {
	uncommitted := l.uncommitted()
	if len(uncommitted) == 0 {
		return ""
	}
	for _, key := range uncommitted {
		if why := l.doubtOf(key); why != "" {
			return why
		}
	}
	return ""
}

func (l accessKeys) doubtOf(key userKey) string {
	lost := slices.Contains(l.record.lost, key.id)
	switch {
	case key.delivered:
		return ""
	case !lost && (key.created.Before(l.record.creating.Add(-skew)) || key.created.After(l.record.creating.Add(skew))):
		return fmt.Sprintf("%s was made at %s, too far from that", key.id, date(key.created))
	case !key.used.IsZero() && !key.partly:
		return fmt.Sprintf("%s has been used, at %s, which the lost one cannot have been", key.id, date(key.used))
	}
	return ""
}

// retired says that the retiring key has been inactive for long enough.
func (l accessKeys) retired(t terms) bool {
	r := l.record
	key := l.find(r.retiring)
	return key != nil && !key.active && !r.inactive.IsZero() && !t.asOf.Before(r.inactive.Add(t.retireAfter))
}

// without is what is left once the retiring key is deleted and forgotten.
func (l accessKeys) without(retiring string) accessKeys {
	l.keys = slices.DeleteFunc(slices.Clone(l.keys), func(k userKey) bool { return k.id == retiring })
	l.record, l.gone = record{current: l.record.current, since: l.record.since}, retiring
	return l
}
