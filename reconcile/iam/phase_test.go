package iam

import (
	"slices"
	"testing"
	"time"
)

// Every phase, each with a twin beside it that differs in the one fact that
// decides.
func TestPhases(t *testing.T) {
	committed := record{current: current, since: ago(10 * day)}
	marked := record{creating: ago(time.Hour)}
	rotating := record{current: current, since: ago(91 * day), creating: ago(time.Hour), standing: []string{current}}
	retiring := record{current: current, since: ago(91 * day), retiring: former, superseded: ago(91 * day)}
	others := func(r record, age time.Duration) record {
		r.creating, r.run = ago(age), "other"
		return r
	}
	gone := retiring
	gone.inactive = ago(day)

	var seen []phase
	for _, tt := range []struct {
		name      string
		live      accessKeys
		rotate    string
		committed record
		want      phase
	}{
		{"nothing", accessKeys{}, "", record{}, phaseAbsent},
		{"a key of before", accessKeys{keys: keys(key(foreign, day))}, "", record{}, phaseAdopted},
		{"a key of before, to be succeeded", accessKeys{keys: keys(key(foreign, day))}, foreign, record{}, phaseAbsent},
		{"two keys of before, one to be succeeded", accessKeys{keys: keys(key(foreign, day), key(foreign2, day))}, foreign, record{}, phaseNoRoom},
		{"a key of before, and a mark", accessKeys{record: record{creating: ago(time.Hour), standing: []string{foreign}}, keys: keys(key(foreign, day))}, "", record{}, phaseAbsent},
		{"the committed key is gone", accessKeys{record: committed, keys: keys(key(foreign, day))}, "", record{}, phaseAbsent},
		{"the committed key is gone, and two of others stand", accessKeys{record: committed, keys: keys(key(foreign, day), key(foreign2, day))}, "", record{}, phaseNoRoom},

		{"a lost key", accessKeys{record: marked, keys: keys(key(stray, time.Hour))}, "", record{}, phaseAbsent},
		{"a lost key that is used", accessKeys{record: marked, keys: keys(key(stray, time.Hour, used(now)))}, "", record{}, phaseInDoubt},
		{"a delivered key without its commit", accessKeys{record: marked, keys: keys(key(stray, time.Hour, delivered))}, "", record{}, phaseDelivered},
		{"a key that may be delivered", accessKeys{record: marked, keys: keys(key(stray, time.Hour, dated))}, "", record{}, phaseAbsent},
		{"a key that is delivered in part", accessKeys{record: marked, keys: keys(key(stray, time.Hour, partly))}, "", record{}, phaseAbsent},

		{"two lost keys", accessKeys{record: marked, keys: keys(key(stray, time.Hour), key(foreign, time.Hour))}, "", record{}, phaseAbsent},
		{"two lost keys, one of them used", accessKeys{record: marked, keys: keys(key(stray, time.Hour), key(foreign, time.Hour, used(now)))}, "", record{}, phaseInDoubt},
		{"two lost keys, one of them delivered", accessKeys{record: marked, keys: keys(key(stray, time.Hour), key(foreign, time.Hour, delivered))}, "", record{}, phaseDelivered},
		{"a lost key of a mark before", accessKeys{record: record{creating: ago(time.Hour), lost: []string{stray}}, keys: keys(key(stray, day))}, "", record{}, phaseAbsent},
		{"a key of a day before", accessKeys{record: marked, keys: keys(key(stray, day))}, "", record{}, phaseInDoubt},

		{"another run is at it", accessKeys{record: others(record{}, time.Minute)}, "", record{}, phaseBusy},
		{"another run has made it", accessKeys{record: others(record{}, time.Minute), keys: keys(key(stray, time.Minute, delivered))}, "", record{}, phaseBusy},
		{"another run was at it", accessKeys{record: others(record{}, patience)}, "", record{}, phaseAbsent},
		{"this run is at it", accessKeys{record: record{creating: now, run: "own"}}, "", record{}, phaseAbsent},
		{"another run rotates what is due", accessKeys{record: others(rotating, time.Minute), keys: keys(key(current, 90*day, delivered))}, "", record{}, phaseBusy},
		{"another run rotates what is not due here", accessKeys{record: others(rotating, time.Minute), keys: keys(key(current, day, delivered), key(stray, time.Minute))}, "", record{}, phaseBusy},
		{"another run has committed one since", accessKeys{record: record{current: foreign, since: now}, keys: keys(key(foreign, 0, delivered))}, "", record{current: current, since: ago(time.Minute)}, phaseCurrent},

		{"committed", accessKeys{record: committed, keys: keys(key(current, 10*day, delivered))}, "", record{}, phaseCurrent},
		{"committed by this run", accessKeys{record: committed, keys: keys(key(current, 10*day, delivered))}, "", record{current: current, since: now}, phaseCurrent},
		{"committed by this run, and not shown", accessKeys{record: marked, keys: keys(key(current, 0, delivered))}, "", record{current: current, since: now}, phaseHidden},

		{"of age", accessKeys{record: committed, keys: keys(key(current, 90*day, delivered))}, "", record{}, phaseDue},
		{"by command", accessKeys{record: committed, keys: keys(key(current, day, delivered))}, current, record{}, phaseDue},
		{"gone from a shared sink", accessKeys{record: committed, keys: keys(key(current, day, partly))}, "", record{}, phaseDue},
		{"cut off in a rotation", accessKeys{record: rotating, keys: keys(key(current, 10*day, delivered), key(stray, time.Hour))}, "", record{}, phaseDue},
		{"rotated up to the commit", accessKeys{record: rotating, keys: keys(key(current, 91*day), key(stray, time.Hour, delivered))}, "", record{}, phaseDelivered},
		{"of age, beside somebody's", accessKeys{record: committed, keys: keys(key(current, 90*day, delivered), key(foreign, day))}, "", record{}, phaseDueNoRoom},
		{"of age, its predecessor inactive", accessKeys{record: gone, keys: keys(inactive(former, 200*day), key(current, 90*day, delivered))}, "", record{}, phaseDueFreed},
		{"of age, its predecessor active", accessKeys{record: retiring, keys: keys(key(former, 200*day), key(current, 90*day, delivered))}, "", record{}, phaseDueWaits},
	} {
		got := tt.live.phase(terms{asOf: now, rotateAfter: 90 * day, retireAfter: day, rotate: tt.rotate, committed: tt.committed, now: now, run: "own"})
		if got != tt.want {
			t.Errorf("%s: phase %d, want %d", tt.name, got, tt.want)
		}
		seen = append(seen, got)
	}
	for p := phaseAbsent; p <= phaseDueWaits; p++ {
		if !slices.Contains(seen, p) {
			t.Errorf("no case for phase %d", p)
		}
	}
}
