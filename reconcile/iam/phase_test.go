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
	gone := retiring
	gone.inactive = ago(day)

	var seen []phase
	for _, tt := range []struct {
		name      string
		live      accessKeys
		rotate    string
		committed string
		want      phase
	}{
		{"nothing", accessKeys{}, "", "", phaseAbsent},
		{"a key of before", accessKeys{keys: keys(key(foreign, day))}, "", "", phaseAdopted},
		{"a key of before, and a mark", accessKeys{record: record{creating: ago(time.Hour), standing: []string{foreign}}, keys: keys(key(foreign, day))}, "", "", phaseAbsent},
		{"the committed key is gone", accessKeys{record: committed, keys: keys(key(foreign, day))}, "", "", phaseAbsent},
		{"the committed key is gone, and two of others stand", accessKeys{record: committed, keys: keys(key(foreign, day), key(foreign2, day))}, "", "", phaseNoRoom},

		{"a lost key", accessKeys{record: marked, keys: keys(key(stray, time.Hour))}, "", "", phaseAbsent},
		{"a lost key that is used", accessKeys{record: marked, keys: keys(key(stray, time.Hour, used(now)))}, "", "", phaseInDoubt},
		{"a delivered key without its commit", accessKeys{record: marked, keys: keys(key(stray, time.Hour, delivered))}, "", "", phaseDelivered},
		{"a key that may be delivered", accessKeys{record: marked, keys: keys(key(stray, time.Hour, dated))}, "", "", phaseAbsent},
		{"a key that is delivered in part", accessKeys{record: marked, keys: keys(key(stray, time.Hour, partly))}, "", "", phaseAbsent},

		{"committed", accessKeys{record: committed, keys: keys(key(current, 10*day, delivered))}, "", "", phaseCurrent},
		{"committed by this run", accessKeys{record: committed, keys: keys(key(current, 10*day, delivered))}, "", current, phaseCurrent},
		{"committed by this run, and not shown", accessKeys{record: marked, keys: keys(key(current, 0, delivered))}, "", current, phaseHidden},

		{"of age", accessKeys{record: committed, keys: keys(key(current, 90*day, delivered))}, "", "", phaseDue},
		{"by command", accessKeys{record: committed, keys: keys(key(current, day, delivered))}, current, "", phaseDue},
		{"gone from a shared sink", accessKeys{record: committed, keys: keys(key(current, day, partly))}, "", "", phaseDue},
		{"cut off in a rotation", accessKeys{record: rotating, keys: keys(key(current, 10*day, delivered), key(stray, time.Hour))}, "", "", phaseDue},
		{"rotated up to the commit", accessKeys{record: rotating, keys: keys(key(current, 91*day), key(stray, time.Hour, delivered))}, "", "", phaseDelivered},
		{"of age, beside somebody's", accessKeys{record: committed, keys: keys(key(current, 90*day, delivered), key(foreign, day))}, "", "", phaseDueNoRoom},
		{"of age, its predecessor inactive", accessKeys{record: gone, keys: keys(inactive(former, 200*day), key(current, 90*day, delivered))}, "", "", phaseDueFreed},
		{"of age, its predecessor active", accessKeys{record: retiring, keys: keys(key(former, 200*day), key(current, 90*day, delivered))}, "", "", phaseDueWaits},
	} {
		got := tt.live.phase(terms{asOf: now, rotateAfter: 90 * day, retireAfter: day, rotate: tt.rotate, committed: tt.committed})
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
