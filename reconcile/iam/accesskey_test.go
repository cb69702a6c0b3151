package iam

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sink"
)

const (
	day = 24 * time.Hour

	current  = "AKIACURRENT"
	former   = "AKIAFORMER"
	stray    = "AKIASTRAY"
	foreign  = "AKIAFOREIGN"
	foreign2 = "AKIAFOREIGN2"
)

// A place is a sink that has a name and nothing else: what it holds is given
// to diff.
type place struct {
	sink.Sink
	name   string
	shared bool
}

func (p place) String() string { return p.name }
func (p place) Shared() bool   { return p.shared }
func (p place) Tells() bool    { return true }

// now is when the plans of this file are made.
var now = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// A fact is what else is known of a key.
type fact func(*userKey)

var (
	delivered fact = func(k *userKey) { k.delivered, k.shared, k.partly, k.certain = true, true, true, true }
	// Every sink has it, or another pair of its date.
	dated fact = func(k *userKey) { k.delivered, k.shared, k.partly = true, true, true }
	// It may be in the files of another machine.
	elsewhere fact = func(k *userKey) { k.shared = true }
	vaulted   fact = func(k *userKey) { k.shared, k.partly, k.certain = true, true, true }
	partly    fact = func(k *userKey) { k.partly = true }
)

func used(at time.Time) fact { return func(k *userKey) { k.used = at } }

func key(id string, age time.Duration, facts ...fact) userKey {
	k := userKey{id: id, created: ago(age), active: true}
	for _, is := range facts {
		is(&k)
	}
	return k
}

func inactive(id string, age time.Duration, facts ...fact) userKey {
	k := key(id, age, facts...)
	k.active = false
	return k
}

func env() reconcile.Env {
	at := func() time.Time { return now }
	return reconcile.Env{Now: at, AWSNow: at, Run: "own"}
}

func keys(k ...userKey) []userKey { return k }

// Each case has a twin beside it that differs in the one thing that decides.
func TestAccessKeyDiff(t *testing.T) {
	committed := record{current: current, since: ago(10 * day)}
	retires := func(superseded, inactive time.Duration) record {
		r := record{current: current, since: ago(superseded), retiring: former, superseded: ago(superseded)}
		if inactive > 0 {
			r.inactive = ago(inactive)
		}
		return r
	}
	marked := func(age time.Duration, standing ...string) record {
		r := record{creating: ago(age), standing: standing}
		if len(standing) > 0 && standing[0] == current {
			r.current, r.since = current, ago(10*day)
		}
		return r
	}
	next := func(age time.Duration) string {
		return "next rotation of AKIACURRENT is due at " + date(now.Add(90*day-age))
	}
	const (
		deleteStray  = "delete AKIASTRAY, whose secret was lost, of"
		deleteFormer = "delete AKIAFORMER, which was succeeded, of"
		mark         = "mark the start of"
		create       = "create"
		commit       = "commit"
	)
	successor := []string{mark, create, commit}
	const stranger = "the user has a key that is not the stack's, AKIAFOREIGN, and nobody here knows its secret; " +
		"if nobody uses it, delete it (aws iam delete-access-key --user-name ci --access-key-id AKIAFOREIGN)"

	for _, tt := range []struct {
		name    string
		live    accessKeys
		rotate  bool   // the current key, by command
		never   bool   // no rotateAfter
		claimed bool   // the mark is known to be this run's
		id      string // the id for outputs
		secret  string // what outputs say of the secret; "": delivered
		steps   []string
		notes   []string
		err     []string
	}{
		{name: "no key", steps: successor},
		{
			name: "a key that stood before, adopted", live: accessKeys{keys: keys(key(foreign, day))},
			id: foreign, secret: "not delivered here",
			notes: []string{"adopted AKIAFOREIGN, which stood before: its secret was not delivered here, and AWS does not tell it twice; for a pair of the stack's own run churn-reconcile rotate"},
		},
		{
			name: "a key that stood before, in the sinks", live: accessKeys{keys: keys(key(foreign, day, delivered))},
			id:    foreign,
			notes: []string{"adopted AKIAFOREIGN, which stood before: its secret was not delivered here, and AWS does not tell it twice; for a pair of the stack's own run churn-reconcile rotate"},
		},
		{
			name: "two keys that stood before, the older inactive",
			live: accessKeys{keys: keys(inactive(foreign, 2*day), key(foreign2, day))},
			id:   foreign2, secret: "not delivered here",
			notes: []string{"adopted AKIAFOREIGN and AKIAFOREIGN2, which stood before: its secret was not delivered here, and AWS does not tell it twice; for a pair of the stack's own run churn-reconcile rotate"},
		},
		{
			name: "an adopted key is not due, however old", live: accessKeys{keys: keys(key(foreign, 900*day))},
			id: foreign, secret: "not delivered here",
			notes: []string{"adopted AKIAFOREIGN, which stood before: its secret was not delivered here, and AWS does not tell it twice; for a pair of the stack's own run churn-reconcile rotate"},
		},
		{
			name: "an adopted key gets a successor by command", live: accessKeys{ours: true, keys: keys(key(foreign, day))}, rotate: true,
			steps: successor, notes: []string{stranger},
		},
		{
			name: "two adopted keys leave no room for one", live: accessKeys{ours: true, keys: keys(key(foreign, day), key(foreign2, day))}, rotate: true,
			err: []string{"the user has 2 access keys already, AKIAFOREIGN and AKIAFOREIGN2, which is AWS's limit"},
		},
		{
			name: "a key of a user that is not the stack's", live: accessKeys{keys: keys(key(foreign, day))}, rotate: true,
			err: []string{"there is no key of the stack's to rotate; a run without rotate makes or adopts one"},
		},

		{
			name: "committed", live: accessKeys{record: committed, keys: keys(key(current, 10*day, delivered))},
			id: current, notes: []string{next(10 * day)},
		},
		{
			name: "committed, and never to be rotated", never: true,
			live: accessKeys{record: committed, keys: keys(key(current, 900*day, delivered))},
			id:   current,
		},
		{
			name: "committed, beside a key of somebody's",
			live: accessKeys{record: committed, keys: keys(key(current, 10*day, delivered), key(foreign, day))},
			id:   current, notes: []string{next(10 * day), stranger},
		},
		{
			name: "committed and inactive", live: accessKeys{record: committed, keys: keys(inactive(current, 10*day, delivered))},
			id: current, steps: []string{"make AKIACURRENT active of"}, notes: []string{next(10 * day)},
		},
		{
			name: "committed, delivered on another machine",
			live: accessKeys{record: committed, keys: keys(key(current, 10*day, elsewhere))},
			id:   current, secret: "not delivered here",
			notes: []string{
				"the secret of AKIACURRENT is not in credentials here; AWS does not tell it twice, so for a new pair run churn-reconcile rotate",
				next(10 * day),
			},
		},
		{
			id: current, secret: "not delivered here",
			name: "committed, and gone from a shared sink",
			live: accessKeys{record: committed, keys: keys(key(current, 10*day))}, steps: successor,
		},
		{
			name: "deleted by hand", live: accessKeys{record: committed}, steps: successor,
		},
		{
			name:  "deleted by hand, beside a key of somebody's",
			live:  accessKeys{record: committed, keys: keys(key(foreign, day))},
			steps: successor, notes: []string{stranger},
		},
		{
			name: "deleted by hand, and no room",
			live: accessKeys{record: committed, keys: keys(key(foreign, day), key(foreign2, day))},
			err:  []string{"2 access keys already, AKIAFOREIGN and AKIAFOREIGN2", "--user-name ci"},
		},

		{
			name: "a day before it is due", live: accessKeys{record: committed, keys: keys(key(current, 89*day, delivered))},
			id: current, notes: []string{next(89 * day)},
		},
		{
			name: "a second before it is due", live: accessKeys{record: committed, keys: keys(key(current, 90*day-time.Second, delivered))},
			id: current, notes: []string{next(90*day - time.Second)},
		},
		{
			id:   current,
			name: "due by its age", live: accessKeys{record: committed, keys: keys(key(current, 90*day, delivered))},
			steps: successor,
		},
		{
			id:   current,
			name: "due by command", live: accessKeys{record: committed, keys: keys(key(current, time.Hour, delivered))},
			rotate: true, steps: successor,
		},
		{
			name: "due by its age, and no room for a successor",
			live: accessKeys{record: committed, keys: keys(key(current, 90*day, delivered), key(foreign, day))},
			err: []string{
				"AKIACURRENT needs a successor (older than 90d)", "a key that is not the stack's, AKIAFOREIGN, ",
				"aws iam delete-access-key --user-name ci --access-key-id AKIAFOREIGN)",
			},
		},

		{
			name: "marked long ago without a key", live: accessKeys{record: marked(time.Hour)}, steps: successor,
		},
		{
			name: "marked by this run", claimed: true, live: accessKeys{record: marked(time.Second)}, steps: []string{create, commit},
		},
		{
			name: "marked by this run, whose claim is over", claimed: true, live: accessKeys{record: marked(time.Minute)}, steps: successor,
		},
		{
			name: "marked by this run, and not known to stand", live: accessKeys{record: marked(time.Second)}, steps: successor,
		},
		{
			name: "marked by this run, beside a key of somebody's", claimed: true,
			live: accessKeys{record: marked(time.Second, foreign), keys: keys(key(foreign, day))}, steps: []string{create, commit}, notes: []string{stranger},
		},
		{
			name: "marked by this run, which has lost what it made", claimed: true,
			live: accessKeys{record: marked(time.Second), keys: keys(key(stray, 0))}, steps: []string{deleteStray, create, commit},
		},
		{
			name: "marked by this run, and what stood then is gone", claimed: true,
			live: accessKeys{record: marked(time.Second, foreign)}, steps: successor,
		},
		{
			name: "marked for a successor that is due no more",
			live: accessKeys{record: marked(time.Hour, current), keys: keys(key(current, 10*day, delivered))},
			id:   current, steps: []string{"take back the mark on"}, notes: []string{next(10 * day)},
		},
		{
			id:    current,
			name:  "marked for a successor that is still due",
			live:  accessKeys{record: marked(time.Hour, current), keys: keys(key(current, 91*day, delivered))},
			steps: successor,
		},
		{
			name: "lost after it was made", live: accessKeys{record: marked(time.Hour), keys: keys(key(stray, time.Hour))},
			steps: []string{mark, deleteStray, create, commit},
		},
		{
			name:  "lost after it was delivered to one sink",
			live:  accessKeys{record: marked(time.Hour), keys: keys(key(stray, time.Hour, vaulted))},
			steps: []string{mark, deleteStray, create, commit},
		},
		{
			name: "perhaps delivered to sinks that only tell dates, and not committed",
			live: accessKeys{record: marked(time.Hour), keys: keys(key(stray, time.Hour, dated))},
			steps: []string{
				"mark the start of", "delete AKIASTRAY, whose secret was lost, of", "create", "commit",
			},
		},
		{
			id:    stray,
			name:  "delivered to every sink, and not committed",
			live:  accessKeys{record: marked(time.Hour), keys: keys(key(stray, time.Hour, delivered))},
			steps: []string{commit},
		},
		{
			name: "lost, beside a key of somebody's that stood",
			live: accessKeys{record: marked(time.Hour, foreign), keys: keys(key(foreign, day), key(stray, time.Hour))}, steps: []string{mark, deleteStray, create, commit}, notes: []string{stranger},
		},
		{
			name: "lost, made within the skew of clocks", live: accessKeys{record: marked(time.Hour), keys: keys(key(stray, time.Hour-skew))},
			steps: []string{mark, deleteStray, create, commit},
		},
		{
			name: "lost, made too long after the mark", live: accessKeys{record: marked(time.Hour), keys: keys(key(stray, time.Hour-skew-time.Second))},
			err: []string{"AKIASTRAY was made at", "too far from that", "aws iam untag-user --user-name ci --tag-keys " + keyTag},
		},
		{
			name: "lost, made too long before the mark", live: accessKeys{record: marked(time.Hour), keys: keys(key(stray, time.Hour+skew+time.Second))},
			err: []string{"too far from that"},
		},
		{
			name: "lost, and used", live: accessKeys{record: marked(time.Hour), keys: keys(key(stray, time.Hour, used(ago(time.Minute))))},
			err: []string{"AKIASTRAY has been used", "aws iam delete-access-key --user-name ci --access-key-id …"},
		},
		{
			name: "lost, and used out of a sink",
			live: accessKeys{
				record: marked(time.Hour), keys: keys(key(stray, time.Hour, partly, used(ago(time.Minute)))),
			},
			steps: []string{mark, deleteStray, create, commit},
		},
		{
			name:  "two that are lost",
			live:  accessKeys{record: marked(time.Hour), keys: keys(key(stray, time.Hour), key(foreign, time.Hour))},
			steps: []string{mark, deleteStray, "delete AKIAFOREIGN, whose secret was lost, of", create, commit},
		},
		{
			name: "two that may be lost, one of them used",
			live: accessKeys{record: marked(time.Hour), keys: keys(key(stray, time.Hour), key(foreign, time.Hour, used(ago(time.Minute))))},
			err:  []string{"AKIAFOREIGN has been used"},
		},
		{
			name: "two that may be lost, one of them delivered", id: stray,
			live:  accessKeys{record: marked(time.Hour), keys: keys(key(stray, time.Hour, delivered), key(foreign, time.Hour))},
			steps: []string{"delete AKIAFOREIGN, whose secret was lost, of", commit},
		},
		{
			name:  "lost before a mark that was written anew",
			live:  accessKeys{record: record{creating: ago(time.Hour), lost: []string{stray}}, keys: keys(key(stray, 3*day))},
			steps: []string{mark, deleteStray, create, commit},
		},
		{
			name: "another run is at it", live: accessKeys{record: record{creating: ago(time.Minute), run: "other"}}, steps: successor,
			notes: []string{"another run has been making a key since 2026-11-23T17:59:00Z, which this one waits for"},
		},

		{
			id:   current,
			name: "a rotation cut off after the successor was made",
			live: accessKeys{
				record: marked(time.Hour, current), keys: keys(key(current, 10*day, delivered), key(stray, time.Hour)),
			},
			steps: []string{mark, deleteStray, create, commit},
		},
		{
			id:   stray,
			name: "a rotation cut off before its commit",
			live: accessKeys{
				record: marked(time.Hour, current), keys: keys(key(current, 91*day), key(stray, time.Hour, delivered)),
			},
			steps: []string{commit},
		},

		{
			name: "succeeded an hour ago",
			live: accessKeys{record: retires(time.Hour, 0), keys: keys(key(former, 91*day), key(current, time.Hour, delivered))},
			id:   current,
			notes: []string{
				next(time.Hour),
				"AKIAFORMER, which was succeeded, becomes inactive if it stays unused until " + date(now.Add(23*time.Hour)),
			},
		},
		{
			name: "succeeded a day ago",
			live: accessKeys{record: retires(day, 0), keys: keys(key(former, 91*day), key(current, day, delivered))},
			id:   current, steps: []string{"make AKIAFORMER inactive of", "note the retirement of AKIAFORMER of"}, notes: []string{next(day)},
		},
		{
			name: "succeeded ten days ago, and used since",
			live: accessKeys{
				record: retires(10*day, 0), keys: keys(key(former, 100*day, used(ago(time.Hour))), key(current, 10*day, delivered)),
			},
			id: current,
			notes: []string{
				next(10 * day),
				"AKIAFORMER, which was succeeded, becomes inactive if it stays unused until " + date(now.Add(23*time.Hour)),
			},
		},
		{
			name: "used for the last time a day ago",
			live: accessKeys{
				record: retires(10*day, 0), keys: keys(key(former, 100*day, used(ago(day))), key(current, 10*day, delivered)),
			},
			id: current, steps: []string{"make AKIAFORMER inactive of", "note the retirement of AKIAFORMER of"}, notes: []string{next(10 * day)},
		},
		{
			name: "made inactive by hand before its time",
			live: accessKeys{record: retires(time.Hour, 0), keys: keys(inactive(former, 91*day), key(current, time.Hour, delivered))},
			id:   current, steps: []string{"note the retirement of AKIAFORMER of"}, notes: []string{next(time.Hour)},
		},
		{
			name: "inactive for an hour",
			live: accessKeys{record: retires(2*day, time.Hour), keys: keys(inactive(former, 91*day), key(current, 2*day, delivered))},
			id:   current,
			notes: []string{
				next(2 * day),
				"AKIAFORMER, which was succeeded, is inactive and will be deleted from " + date(now.Add(23*time.Hour)) + " on",
			},
		},
		{
			name: "inactive for a day",
			live: accessKeys{record: retires(2*day, day), keys: keys(inactive(former, 91*day), key(current, 2*day, delivered))},
			id:   current, steps: []string{deleteFormer, "forget AKIAFORMER of"}, notes: []string{next(2 * day)},
		},
		{
			name: "made active again by hand",
			live: accessKeys{record: retires(2*day, day), keys: keys(key(former, 91*day), key(current, 2*day, delivered))},
			id:   current, steps: []string{"begin again to retire AKIAFORMER of"}, notes: []string{next(2 * day)},
		},
		{
			name: "the retiring key deleted by hand",
			live: accessKeys{record: retires(2*day, day), keys: keys(key(current, 2*day, delivered))},
			id:   current, steps: []string{"forget AKIAFORMER, which is gone, for"}, notes: []string{next(2 * day)},
		},

		{
			name: "due while its predecessor retires",
			live: accessKeys{record: retires(90*day, time.Hour), keys: keys(inactive(former, 180*day), key(current, 90*day, delivered))},
			id:   current,
			notes: []string{
				next(90 * day),
				"AKIAFORMER, which was succeeded, is inactive and will be deleted from " + date(now.Add(23*time.Hour)) + " on",
				"AKIACURRENT is due for rotation (older than 90d), which waits for AKIAFORMER to retire",
			},
		},
		{
			name: "due while its predecessor can become inactive",
			live: accessKeys{record: retires(90*day, 0), keys: keys(key(former, 180*day), key(current, 90*day, delivered))},
			id:   current, steps: []string{"make AKIAFORMER inactive of", "note the retirement of AKIAFORMER of"},
			notes: []string{next(90 * day), "AKIACURRENT is due for rotation (older than 90d), which waits for AKIAFORMER to retire"},
		},
		{
			name: "due while its predecessor can be deleted",
			live: accessKeys{record: retires(90*day, day), keys: keys(inactive(former, 180*day), key(current, 90*day, delivered))},
			id:   current, steps: []string{deleteFormer, "forget AKIAFORMER of", mark, create, commit}, notes: []string{next(90 * day)},
		},
		{
			name: "due by command while its predecessor retires", rotate: true,
			live: accessKeys{record: retires(time.Hour, 0), keys: keys(key(former, 91*day), key(current, time.Hour, delivered))},
			err: []string{
				"AKIACURRENT needs a successor (asked for), but AKIAFORMER, which it succeeded itself, is still retiring",
				"aws iam delete-access-key --user-name ci --access-key-id AKIAFORMER",
			},
		},
		{
			name: "gone from a shared sink while its predecessor retires",
			live: accessKeys{record: retires(time.Hour, 0), keys: keys(key(former, 91*day), key(current, time.Hour))},
			err:  []string{"AKIACURRENT needs a successor (not in vault, and AWS does not tell its secret twice), but AKIAFORMER"},
		},
		{
			name: "gone from a shared sink while its predecessor can become inactive",
			live: accessKeys{record: retires(day, 0), keys: keys(key(former, 91*day), key(current, day))},
			id:   current, secret: "not delivered here", steps: []string{"make AKIAFORMER inactive of", "note the retirement of AKIAFORMER of"},
			notes: []string{
				"the secret of AKIACURRENT is not in credentials here; AWS does not tell it twice, so for a new pair run churn-reconcile rotate",
				next(day),
				"AKIACURRENT is due for rotation (not in vault, and AWS does not tell its secret twice), which waits for AKIAFORMER to retire",
			},
		},
		{
			name: "deleted by hand while its predecessor retires",
			live: accessKeys{record: retires(time.Hour, 0), keys: keys(key(former, 91*day))}, steps: successor,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &AccessKey{
				env: env(), user: "ci", claim: &claim{run: "own"},
				sinks: []sink.Sink{place{name: "credentials"}, place{name: "vault", shared: true}},
				terms: terms{asOf: now, run: "own", rotateAfter: 90 * day, retireAfter: day, sharedSinks: "vault"},
			}
			k.rotate = tt.rotate
			if tt.claimed {
				tt.live.record.run = "own"
				k.claim.made(tt.live.record)
			}
			if tt.never {
				k.terms.rotateAfter = 0
			}
			var plan reconcile.Plan
			err := k.pick(tt.live)
			if err == nil {
				plan, err = k.diff(tt.live)
			}
			if err != nil || tt.err != nil {
				if err == nil || len(plan.Steps) > 0 {
					t.Fatalf("error %v with the steps %v", err, does(plan))
				}
				if tt.err == nil {
					t.Fatal(err)
				}
				for _, want := range tt.err {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("the error does not say %q: %v", want, err)
					}
				}
				return
			}
			if diff := cmp.Diff(tt.steps, does(plan), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.notes, plan.Notes, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
			attrs := map[string]string{}
			if tt.id != "" {
				attrs["accessKeyId"], attrs["secretAccessKey"] = tt.id, "delivered to credentials, vault"
			}
			if tt.secret != "" {
				attrs["secretAccessKey"] = tt.secret
			}
			if diff := cmp.Diff(attrs, plan.Attrs, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			if want := len(tt.live.keys) > 0 && (tt.id != "" || tt.live.has(tt.live.record.current) || len(tt.live.uncommitted()) > 0); plan.Exists != want {
				t.Errorf("the key exists: %v, want %v", plan.Exists, want)
			}
		})
	}
}

// does lists what a plan's steps do to iam.access-key/ci.
func does(plan reconcile.Plan) []string {
	var all []string
	for _, s := range plan.Steps {
		all = append(all, strings.TrimSuffix(s.Does, " iam.access-key/ci"))
	}
	return all
}

// A deletion is planned of nothing but the lost key and the retired one,
// whatever the record says.
func TestAccessKeyNeverDeletesOthers(t *testing.T) {
	users := []string{current, former, foreign}
	ages := []time.Duration{time.Minute, 2 * day, 200 * day}
	records := []record{
		{},
		{current: current, since: ago(2 * day)},
		{creating: ago(time.Minute), standing: []string{foreign}},
		{current: current, since: ago(2 * day), creating: ago(time.Minute), standing: []string{current, foreign}},
		{current: current, since: ago(2 * day), retiring: former, superseded: ago(2 * day), inactive: ago(2 * day)},
		{current: current, since: ago(2 * day), retiring: former, superseded: ago(2 * day)},
	}
	var plans, deletions int
	for _, r := range records {
		for _, a := range users {
			for _, b := range users {
				for _, age := range ages {
					for _, status := range []func(string, time.Duration, ...fact) userKey{key, inactive} {
						for _, in := range [][2][]fact{{}, {{dated}}, {{dated}, {dated}}} {
							live := accessKeys{record: r, keys: keys(status(a, age, in[0]...))}
							if a != b {
								live.keys = append(live.keys, key(b, age, in[1]...))
							}
							k := &AccessKey{
								env: env(), user: "ci", claim: &claim{run: "own"},
								sinks: []sink.Sink{place{name: "vault", shared: true}},
								terms: terms{asOf: now, run: "own", rotateAfter: 90 * day, retireAfter: day, sharedSinks: "vault"},
							}
							plan, err := k.diff(live)
							if err != nil {
								continue
							}
							plans++
							for _, s := range plan.Steps {
								if s.Call != "iam:DeleteAccessKey" {
									continue
								}
								deletions++
								ours := ids(live.uncommitted())
								if r.retiring != "" && !r.inactive.IsZero() {
									ours = append(ours, r.retiring)
								}
								allowed := false
								for _, id := range ours {
									allowed = allowed || strings.Contains(s.Does, "delete "+id+",")
								}
								if !allowed {
									t.Errorf("with %q and the keys %v: %s", r, ids(live.keys), s.Does)
								}
							}
						}
					}
				}
			}
		}
	}
	if plans == 0 || deletions == 0 {
		t.Errorf("%d plans with %d deletions prove nothing", plans, deletions)
	}
}

// A sink that cannot be written stops a plan before its first write, even
// where a lost key would have to go first: another sink may hold that.
func TestAccessKeyChecksFirst(t *testing.T) {
	for name, live := range map[string]accessKeys{
		"no key":   {},
		"marked":   {record: record{creating: ago(time.Second)}},
		"lost key": {record: record{creating: ago(time.Hour)}, keys: keys(key(stray, time.Hour))},
	} {
		k := &AccessKey{
			api: noKeys{}, env: env(), user: "ci", claim: &claim{run: "own"},
			base:  func(context.Context) (liveUser, error) { return liveUser{}, nil },
			sinks: []sink.Sink{place{name: "vault", shared: true, Sink: refusing{}}}, terms: terms{asOf: now},
		}
		plan, err := k.diff(live)
		if err != nil {
			t.Fatal(err)
		}
		// Any call but the list would panic.
		if err := plan.Steps[0].Do(t.Context()); err == nil || !strings.Contains(err.Error(), "vault cannot be written, so no key was made: sealed") {
			t.Errorf("%s: %s: %v", name, plan.Steps[0].Does, err)
		}
	}
}

// noKeys is an IAM that has no keys, and no other call.
type noKeys struct{ AccessKeyAPI }

func (noKeys) ListAccessKeys(context.Context, *iam.ListAccessKeysInput, ...func(*iam.Options)) (*iam.ListAccessKeysOutput, error) {
	return &iam.ListAccessKeysOutput{}, nil
}

type refusing struct{ sink.Sink }

func (refusing) Check(context.Context, []string) error { return errors.New("sealed") }
