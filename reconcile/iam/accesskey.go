package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sink"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// AccessKeyAPI is what an access key needs of IAM.
type AccessKeyAPI interface {
	ListAccessKeys(context.Context, *iam.ListAccessKeysInput, ...func(*iam.Options)) (*iam.ListAccessKeysOutput, error)
	CreateAccessKey(context.Context, *iam.CreateAccessKeyInput, ...func(*iam.Options)) (*iam.CreateAccessKeyOutput, error)
	UpdateAccessKey(context.Context, *iam.UpdateAccessKeyInput, ...func(*iam.Options)) (*iam.UpdateAccessKeyOutput, error)
	DeleteAccessKey(context.Context, *iam.DeleteAccessKeyInput, ...func(*iam.Options)) (*iam.DeleteAccessKeyOutput, error)
	GetAccessKeyLastUsed(context.Context, *iam.GetAccessKeyLastUsedInput, ...func(*iam.Options)) (*iam.GetAccessKeyLastUsedOutput, error)
	TagUser(context.Context, *iam.TagUserInput, ...func(*iam.Options)) (*iam.TagUserOutput, error)
}

var _ AccessKeyAPI = (*iam.Client)(nil)

// A Prove asks AWS who the bearer of a key pair is, with patience for a pair
// that is new.
type Prove func(context.Context, sink.Key) error

// maxKeys is IAM's limit of keys of a user, inactive ones counted.
const maxKeys = 2

// AccessKey keeps the one key pair that the stack delivers for a user.
//
// AWS tells a secret once and CreateAccessKey has no idempotency token, so a
// run that dies at the wrong moment leaves a key whose secret nobody has. What
// lets the next run heal that is a record in a tag on the user, written in
// this order:
//
//  1. "creating": the time, and the keys that stand;
//  2. the key is created, proven to work, and delivered to every sink;
//  3. "current": the key's id, which takes the place of the mark. The key that
//     was current before is "retiring" from then on.
//
// A key that is listed, was not there at 1 and is not committed by 3 is then
// the lost one. Only it, and a key that has retired, is ever deleted.
type AccessKey struct {
	api   AccessKeyAPI
	env   reconcile.Env
	user  string
	base  awsx.Read[*userBase] // nil: absent
	sinks []sink.Sink
	prove Prove

	rotateAfter time.Duration // 0: never
	retireAfter time.Duration

	// asOf is the time by which keys are due or not. It stands still during a
	// run, so that a run does not meet deadlines that it has set itself.
	asOf time.Time

	// rotate makes the key that is current at the first look due. victim is
	// that key, so that its successor is not.
	rotate bool
	victim string

	// What this run has done, which reads may be slow to show.
	marked    bool   // the start of a key
	committed string // the key that was made
}

// ID is the key's address.
func (k *AccessKey) ID() spec.ID { return spec.ID{Kind: spec.AccessKey, Name: k.user} }

// Needs names the key's user.
func (k *AccessKey) Needs() []spec.ID { return []spec.ID{{Kind: spec.User, Name: k.user}} }

// Plan reads the user's keys and the record in its tags, and says what is to
// do.
func (k *AccessKey) Plan(ctx context.Context) (reconcile.Plan, error) {
	live, err := k.describe(ctx)
	if err != nil {
		return reconcile.Plan{}, err
	}
	if k.rotate && k.victim == "" {
		if !live.has(live.record.current) {
			return reconcile.Plan{}, errors.New("there is no key of the stack's to rotate; a run without rotate makes or adopts one")
		}
		k.victim = live.record.current
	}
	return k.diff(live)
}

// accessKeys is what IAM has of a user's keys, and what is known of them
// elsewhere.
type accessKeys struct {
	record record
	ours   bool                      // the user carries the stack's mark
	keys   []types.AccessKeyMetadata // by age
	held   map[string]bool           // by id: every sink holds the pair
	shared map[string]bool           // by id: every shared sink holds the pair
	some   map[string]bool           // by id: a sink holds the pair
	told   map[string]bool           // by id: a sink that can tell pairs apart holds this one
	used   map[string]time.Time      // by id, of strays and the retiring key; zero: never
}

func (k *AccessKey) describe(ctx context.Context) (accessKeys, error) {
	live := accessKeys{held: map[string]bool{}, shared: map[string]bool{}, some: map[string]bool{}, told: map[string]bool{}, used: map[string]time.Time{}}
	poll := awsx.Poll{Pause: k.env.Pause, Budget: lagBudget}
	for {
		if err := k.read(ctx, &live); err != nil {
			return accessKeys{}, err
		}
		if !k.lags(live) || !poll.Again(ctx) {
			break
		}
	}

	for _, id := range live.ids() {
		// What is retiring has left the sinks.
		if id != live.record.retiring {
			if err := k.look(ctx, &live, id); err != nil {
				return accessKeys{}, err
			}
		}
	}
	for _, id := range append(live.strays(), live.record.retiring) {
		if !live.has(id) {
			continue
		}
		out, err := k.api.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &id})
		if awsx.Code(err) == "NoSuchEntity" {
			continue // deleted a moment ago, and still listed
		}
		if err != nil {
			return accessKeys{}, err
		}
		last := out.AccessKeyLastUsed
		if last == nil || last.LastUsedDate == nil {
			continue
		}
		// A run that died between proof and delivery has used the lost key
		// itself, to ask STS who bears it.
		proof := id != live.record.retiring && aws.ToString(last.ServiceName) == "sts" &&
			last.LastUsedDate.Sub(live.record.creating).Abs() <= skew
		if !proof {
			live.used[id] = *last.LastUsedDate
		}
	}
	return live, nil
}

// lagBudget is how long a list of keys and a record that do not fit together
// are read again, where one of them was written a moment ago.
const lagBudget = 5 * time.Second

// lags says that what was read may be older than what was written: the record
// does not tell of the key that this run has committed, a key that was
// committed is not listed, a key was marked a moment ago and is
// not committed, or one was made a moment ago of which a record knows nothing.
// Neither a second key nor a deletion may come of that, nor that the mark is
// taken back.
func (k *AccessKey) lags(l accessKeys) bool {
	now := k.env.Now()
	young := func(t time.Time) bool { return now.Sub(t).Abs() < lagBudget }
	switch {
	case k.committed != "" && l.record.current != k.committed:
		return true
	case l.record.current != "" && !l.has(l.record.current):
		return true
	case young(l.record.creating):
		return true
	}
	// A user that was not the stack's until now has keys of others only.
	return l.ours && slices.ContainsFunc(l.keys, func(key types.AccessKeyMetadata) bool {
		id := aws.ToString(key.AccessKeyId)
		return id != l.record.current && id != l.record.retiring && young(aws.ToTime(key.CreateDate))
	})
}

// read asks for the user's keys and for the record in its tags.
func (k *AccessKey) read(ctx context.Context, live *accessKeys) error {
	var base *userBase
	var reads awsx.Reads
	reads.Go(func() (err error) {
		base, err = k.base(ctx)
		return err
	})
	reads.Go(func() (err error) {
		live.keys, err = k.list(ctx)
		return err
	})
	if err := reads.Wait(); err != nil {
		return err
	}
	if base == nil {
		live.keys = nil
		return nil
	}
	var err error
	if _, _, _, err = k.env.Tags(nil).Diff(base.tags); err != nil {
		return err // another stack's user, and so another stack's key
	}
	live.ours = base.tags[reconcile.Mark] == k.env.Stack
	live.record, err = parseRecord(base.tags[keyTag])
	return err
}

func (k *AccessKey) list(ctx context.Context) ([]types.AccessKeyMetadata, error) {
	var keys []types.AccessKeyMetadata
	pages := iam.NewListAccessKeysPaginator(k.api, &iam.ListAccessKeysInput{UserName: &k.user})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if awsx.Code(err) == "NoSuchEntity" {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, page.AccessKeyMetadata...)
	}
	slices.SortFunc(keys, func(a, b types.AccessKeyMetadata) int {
		if c := aws.ToTime(a.CreateDate).Compare(aws.ToTime(b.CreateDate)); c != 0 {
			return c
		}
		return strings.Compare(aws.ToString(a.AccessKeyId), aws.ToString(b.AccessKeyId))
	})
	return keys, nil
}

// look asks the sinks for a key.
func (k *AccessKey) look(ctx context.Context, live *accessKeys, id string) error {
	key, _ := live.find(id)
	live.held[id], live.shared[id] = true, true
	for _, s := range k.sinks {
		held, err := s.Holds(ctx, id, aws.ToTime(key.CreateDate))
		if err != nil {
			return fmt.Errorf("look into %s: %w", s, awsx.Clean(err))
		}
		live.held[id] = live.held[id] && held
		live.shared[id] = live.shared[id] && (held || !s.Shared())
		live.some[id] = live.some[id] || held
		live.told[id] = live.told[id] || held && s.Tells()
	}
	return nil
}

func (l accessKeys) find(id string) (types.AccessKeyMetadata, bool) {
	i := slices.IndexFunc(l.keys, func(k types.AccessKeyMetadata) bool { return aws.ToString(k.AccessKeyId) == id })
	if i < 0 {
		return types.AccessKeyMetadata{}, false
	}
	return l.keys[i], true
}

func (l accessKeys) has(id string) bool {
	_, ok := l.find(id)
	return ok
}

func (l accessKeys) ids() []string {
	var ids []string
	for _, k := range l.keys {
		ids = append(ids, aws.ToString(k.AccessKeyId))
	}
	return ids
}

// strays are the keys that came to be after a mark that was never followed by
// a commit.
func (l accessKeys) strays() []string {
	if l.record.creating.IsZero() {
		return nil
	}
	return slices.DeleteFunc(l.ids(), func(id string) bool { return slices.Contains(l.record.standing, id) })
}

// standing are the keys that are no strays.
func (l accessKeys) standing() []string {
	strays := l.strays()
	return slices.DeleteFunc(l.ids(), func(id string) bool { return slices.Contains(strays, id) })
}

// without is what is left once the retiring key is deleted and forgotten.
func (l accessKeys) without(retiring string) accessKeys {
	l.keys = slices.DeleteFunc(slices.Clone(l.keys), func(k types.AccessKeyMetadata) bool { return aws.ToString(k.AccessKeyId) == retiring })
	l.record = record{current: l.record.current, since: l.record.since}
	return l
}

func (k *AccessKey) diff(live accessKeys) (reconcile.Plan, error) {
	strays := live.strays()
	if err := k.checkStrays(live); err != nil {
		return reconcile.Plan{}, err
	}
	if k.committed != "" && live.record.current != k.committed {
		// The record is older than what this run has written.
		return reconcile.Plan{Exists: true, Steps: []reconcile.Step{k.commit(live, &k.committed)}}, nil
	}
	if len(strays) == 1 && live.held[strays[0]] && live.told[strays[0]] {
		// The run died between delivery and commit.
		commit := k.commit(live, &strays[0])
		commit.Diffs = []reconcile.Diff{{Path: "accessKey", Before: reconcile.OrNil(live.record.current), After: strays[0] + ", which was delivered already"}}
		return reconcile.Plan{Exists: true, Attrs: k.attrs(live, strays[0]), Steps: []reconcile.Step{commit}}, nil
	}

	current, listed := live.find(live.record.current)
	switch {
	case !listed && live.record.current == "" && live.record.creating.IsZero() && len(live.keys) > 0:
		return k.adopted(live), nil
	case !listed:
		return k.made(live, "")
	}
	why := k.due(live, current)
	if why == "" {
		return k.kept(live, current), nil
	}
	if standing := live.standing(); len(standing) >= maxKeys {
		return k.blocked(live, current, why)
	}
	plan, err := k.made(live, why)
	plan.Exists, plan.Attrs = true, k.attrs(live, aws.ToString(current.AccessKeyId))
	return plan, err
}

// due says why the current key needs a successor, or "".
func (k *AccessKey) due(live accessKeys, current types.AccessKeyMetadata) string {
	id := aws.ToString(current.AccessKeyId)
	switch {
	case len(live.strays()) > 0:
		// Sinks may hold the stray already, and the current key's secret is
		// nowhere to restore them from.
		return "a rotation was cut off"
	case k.rotate && id == k.victim:
		return "asked for"
	case k.rotateAfter > 0 && !k.asOf.Before(aws.ToTime(current.CreateDate).Add(k.rotateAfter)):
		return fmt.Sprintf("older than %s", days(k.rotateAfter))
	case !live.shared[id]:
		return fmt.Sprintf("not in %s, and AWS does not tell its secret twice", k.places(sink.Sink.Shared))
	}
	return ""
}

// blocked is the plan for a successor that there is no room for.
func (k *AccessKey) blocked(live accessKeys, current types.AccessKeyMetadata, why string) (reconcile.Plan, error) {
	id := aws.ToString(current.AccessKeyId)
	retiring := live.record.retiring
	if !live.has(retiring) {
		others := slices.DeleteFunc(live.standing(), func(other string) bool { return other == id })
		return reconcile.Plan{}, fmt.Errorf("%s needs a successor (%s), but the user has a key that is not the stack's, %s, and AWS allows %d; "+
			"delete it if nobody uses it (aws iam delete-access-key --user-name %s --access-key-id %s) and run again",
			id, why, strings.Join(others, " and "), maxKeys, k.user, strings.Join(others, " "))
	}
	plan := k.kept(live, current)
	if k.retired(live) {
		// Its place is free once that is done.
		successor, err := k.made(live.without(retiring), why)
		plan.Steps = append(plan.Steps, successor.Steps...)
		return plan, err
	}
	// Steps bring the retirement on, and with it the day that makes room.
	if len(plan.Steps) == 0 && (k.rotate || !live.shared[id]) {
		return reconcile.Plan{}, fmt.Errorf("%s needs a successor (%s), but %s, which it succeeded itself, is still retiring, and AWS allows %d keys; "+
			"wait until that is through, or delete %s if nobody uses it (aws iam delete-access-key --user-name %s --access-key-id %s), and run again",
			id, why, retiring, maxKeys, retiring, k.user, retiring)
	}
	plan.Notes = append(plan.Notes, fmt.Sprintf("%s is due for rotation (%s), which waits for %s to retire", id, why, retiring))
	return plan, nil
}

// made is the plan for a new pair; why it succeeds the current one, if it does.
func (k *AccessKey) made(live accessKeys, why string) (reconcile.Plan, error) {
	strays, standing := live.strays(), live.standing()
	plan := reconcile.Plan{Exists: len(strays) > 0}
	if len(standing) >= maxKeys {
		return reconcile.Plan{}, fmt.Errorf("the user has %d access keys already, %s, which is AWS's limit, and there is no room for one of the stack's; "+
			"delete one that nobody uses (aws iam delete-access-key --user-name %s --access-key-id …) and run again",
			len(standing), strings.Join(standing, " and "), k.user)
	}
	for _, id := range strays {
		plan.Steps = append(plan.Steps, k.remove(id, "whose secret was lost"))
	}
	// A mark that is fresh still says all there is to say.
	fresh := k.env.Now().Sub(live.record.creating).Abs() <= freshMark || k.marked && !live.record.creating.IsZero()
	if len(strays) > 0 || !fresh || !slices.Equal(live.record.standing, standing) {
		plan.Steps = append(plan.Steps, k.mark(live, standing))
	}
	var id string
	plan.Steps = append(plan.Steps, k.create(live, why, &id), k.commit(live, &id))

	// A sink may hold the stray by now, so not even that goes before there is
	// a way to put another pair in its place.
	first := plan.Steps[0].Do
	plan.Steps[0].Do = func(ctx context.Context) error {
		if err := k.check(ctx); err != nil {
			return err
		}
		return first(ctx)
	}
	return plan, nil
}

// check asks the sinks whether they would take a pair.
func (k *AccessKey) check(ctx context.Context) error {
	for _, s := range k.sinks {
		if err := s.Check(ctx); err != nil {
			return fmt.Errorf("%s cannot be written, so no key was made: %w", s, awsx.Clean(err))
		}
	}
	return nil
}

// skew is how far a key's date may lie from the mark's: the key was made within
// seconds, but by another clock.
const skew = 5 * time.Minute

// freshMark is the age up to which a mark is used again. It is well below
// skew, so that a key that is made after such a mark can still be told by it.
const freshMark = time.Minute

// checkStrays refuses to go on where a stray may be somebody's.
func (k *AccessKey) checkStrays(live accessKeys) error {
	strays := live.strays()
	if len(strays) == 0 {
		return nil
	}
	var doubt string
	id := strays[0]
	key, _ := live.find(id)
	made := aws.ToTime(key.CreateDate)
	switch {
	case len(strays) > 1:
		doubt = fmt.Sprintf("there are %d keys that could be it: %s", len(strays), strings.Join(strays, " and "))
	case live.held[id]:
		return nil
	case made.Before(live.record.creating.Add(-skew)) || made.After(live.record.creating.Add(skew)):
		doubt = fmt.Sprintf("%s was made at %s, too far from that", id, date(made))
	case !live.used[id].IsZero() && !live.some[id]:
		doubt = fmt.Sprintf("%s has been used, at %s, which the lost one cannot have been", id, date(live.used[id]))
	default:
		return nil
	}
	settled := live.record
	settled.creating, settled.standing = time.Time{}, nil
	drop := fmt.Sprintf("aws iam untag-user --user-name %s --tag-keys %s", k.user, keyTag)
	if text := settled.String(); text != "" {
		drop = fmt.Sprintf("aws iam tag-user --user-name %s --tags 'Key=%s,Value=%s'", k.user, keyTag, text)
	}
	return fmt.Errorf("a run was cut off at %s while it made a key whose secret is lost, and which key that is cannot be told: %s; "+
		"if somebody uses it, take the mark back (%s); a key that nobody uses, delete (aws iam delete-access-key --user-name %s --access-key-id …); then run again",
		date(live.record.creating), doubt, drop, k.user)
}

// attrs are what outputs may say of a key.
func (k *AccessKey) attrs(live accessKeys, id string) map[string]string {
	secret := "not delivered here"
	if live.held[id] {
		secret = "delivered to " + k.places(nil)
	}
	return map[string]string{"accessKeyId": id, "secretAccessKey": secret}
}

// kept is the plan for a committed key that stays.
func (k *AccessKey) kept(live accessKeys, key types.AccessKeyMetadata) reconcile.Plan {
	id := aws.ToString(key.AccessKeyId)
	plan := reconcile.Plan{Exists: true, Attrs: k.attrs(live, id)}
	if !live.held[id] {
		plan.Notes = append(plan.Notes, fmt.Sprintf("the secret of %s is not in %s here; AWS does not tell it twice, so for a new pair run churn-reconcile rotate",
			id, k.places(func(s sink.Sink) bool { return !s.Shared() })))
	}
	if !live.record.creating.IsZero() {
		plan.Steps = append(plan.Steps, k.settle(live.record))
	}
	if key.Status != types.StatusTypeActive {
		plan.Steps = append(plan.Steps, k.setStatus("status", id, types.StatusTypeActive))
	}
	if k.rotateAfter > 0 {
		plan.Notes = append(plan.Notes, fmt.Sprintf("next rotation of %s is due at %s", id, date(aws.ToTime(key.CreateDate).Add(k.rotateAfter))))
	}
	k.retire(live, &plan)
	return plan
}

// retire goes on with the key that the current one succeeded: it is made
// inactive once it is idle for retireAfter, and deleted when it has been
// inactive for as long again.
func (k *AccessKey) retire(live accessKeys, plan *reconcile.Plan) {
	r := live.record
	if r.retiring == "" {
		return
	}
	after := r
	after.creating, after.standing = time.Time{}, nil
	key, listed := live.find(r.retiring)
	switch {
	case !listed:
		after.retiring, after.superseded, after.inactive = "", time.Time{}, time.Time{}
		plan.Steps = append(plan.Steps, k.note(r, after, "forget "+r.retiring+", which is gone, for"))
	case key.Status == types.StatusTypeActive && !r.inactive.IsZero():
		// Somebody needed it back.
		after.superseded, after.inactive = k.asOf, time.Time{}
		plan.Steps = append(plan.Steps, k.note(r, after, "begin again to retire "+r.retiring+" of"))
	case key.Status == types.StatusTypeActive:
		idle := r.superseded
		if live.used[r.retiring].After(idle) {
			idle = live.used[r.retiring]
		}
		if until := idle.Add(k.retireAfter); k.asOf.Before(until) {
			plan.Notes = append(plan.Notes, fmt.Sprintf("%s, which was succeeded, becomes inactive if it stays unused until %s", r.retiring, date(until)))
			return
		}
		after.inactive = k.asOf
		plan.Steps = append(plan.Steps, k.setStatus("keys["+r.retiring+"].status", r.retiring, types.StatusTypeInactive), k.note(r, after, "note the retirement of "+r.retiring+" of"))
	case r.inactive.IsZero():
		after.inactive = k.asOf
		plan.Steps = append(plan.Steps, k.note(r, after, "note the retirement of "+r.retiring+" of"))
	case !k.retired(live):
		plan.Notes = append(plan.Notes, fmt.Sprintf("%s, which was succeeded, is inactive and will be deleted from %s on", r.retiring, date(r.inactive.Add(k.retireAfter))))
	default:
		after.retiring, after.superseded, after.inactive = "", time.Time{}, time.Time{}
		plan.Steps = append(plan.Steps, k.remove(r.retiring, "which was succeeded"), k.note(r, after, "forget "+r.retiring+" of"))
	}
}

// retired says that the retiring key has been inactive for long enough.
func (k *AccessKey) retired(live accessKeys) bool {
	r := live.record
	key, listed := live.find(r.retiring)
	return listed && key.Status == types.StatusTypeInactive && !r.inactive.IsZero() && !k.asOf.Before(r.inactive.Add(k.retireAfter))
}

// adopted is the plan for keys that stood before the stack: they serve, and
// are never touched.
func (k *AccessKey) adopted(live accessKeys) reconcile.Plan {
	ids := live.ids()
	id := ids[0]
	for _, key := range live.keys {
		if key.Status == types.StatusTypeActive {
			id = aws.ToString(key.AccessKeyId)
			break
		}
	}
	return reconcile.Plan{
		Exists: true,
		Attrs:  k.attrs(live, id),
		Notes: []string{fmt.Sprintf("adopted %s, which stood before: its secret was not delivered here, and AWS does not tell it twice; "+
			"for a pair of the stack's own delete it and run again", strings.Join(ids, " and "))},
	}
}

// places names the sinks, or those that which picks.
func (k *AccessKey) places(which func(sink.Sink) bool) string {
	var places []string
	for _, s := range k.sinks {
		if which == nil || which(s) {
			places = append(places, s.String())
		}
	}
	return strings.Join(places, ", ")
}

func (k *AccessKey) remove(id, which string) reconcile.Step {
	return reconcile.Step{
		Call: "iam:DeleteAccessKey", Does: "delete " + id + ", " + which + ", of " + k.ID().String(),
		Diffs: []reconcile.Diff{{Path: "keys[" + id + "]", Before: which}},
		Do: func(ctx context.Context) error {
			_, err := k.api.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &k.user, AccessKeyId: &id})
			return gone(err)
		},
	}
}

func (k *AccessKey) setStatus(path, id string, status types.StatusType) reconcile.Step {
	before := types.StatusTypeActive
	if status == types.StatusTypeActive {
		before = types.StatusTypeInactive
	}
	return reconcile.Step{
		Call: "iam:UpdateAccessKey", Does: "make " + id + " " + strings.ToLower(string(status)) + " of " + k.ID().String(),
		Diffs: []reconcile.Diff{{Path: path, Before: string(before), After: string(status)}},
		Do: func(ctx context.Context) error {
			_, err := k.api.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &k.user, AccessKeyId: &id, Status: status})
			return err
		},
	}
}

func (k *AccessKey) mark(live accessKeys, standing []string) reconcile.Step {
	r := live.record
	return reconcile.Step{
		Call: "iam:TagUser", Does: "mark the start of " + k.ID().String(),
		Do: func(ctx context.Context) error {
			r.creating, r.standing = k.env.Now(), standing
			if err := k.write(ctx, r); err != nil {
				return err
			}
			k.marked = true
			return nil
		},
	}
}

// settle takes back a mark that no key followed and none will.
func (k *AccessKey) settle(r record) reconcile.Step {
	after := r
	after.creating, after.standing = time.Time{}, nil
	return k.note(r, after, "take back the mark on")
}

func (k *AccessKey) note(before, after record, does string) reconcile.Step {
	return reconcile.Step{
		Call: "iam:TagUser", Does: does + " " + k.ID().String(),
		Diffs: []reconcile.Diff{{Path: "tags." + keyTag, Before: reconcile.OrNil(before.String()), After: after.String()}},
		Do:    func(ctx context.Context) error { return k.write(ctx, after) },
	}
}

// undoLimit bounds the deletion of a key that nobody has the secret of, which
// not even an interrupt keeps from being tried.
const undoLimit = 10 * time.Second

func (k *AccessKey) create(live accessKeys, why string, made *string) reconcile.Step {
	diff := reconcile.Diff{Path: "accessKey", After: "a new pair, delivered to " + k.places(nil)}
	succeeds := live.has(live.record.current)
	if succeeds {
		diff.Before = fmt.Sprintf("%s, which retires (%s)", live.record.current, why)
	}
	return reconcile.Step{
		Call: "iam:CreateAccessKey", Does: "create " + k.ID().String(), Once: true,
		Diffs: []reconcile.Diff{diff},
		Do: func(ctx context.Context) error {
			var out *iam.CreateAccessKeyOutput
			create := onceVisible(k.env, func(ctx context.Context) (err error) {
				out, err = k.api.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &k.user}, once)
				return err
			})
			if err := create(ctx); err != nil {
				return err
			}
			key := sink.Key{
				ID: aws.ToString(out.AccessKey.AccessKeyId), User: k.user,
				Secret: sink.NewSecret(aws.ToString(out.AccessKey.SecretAccessKey)),
			}
			*made = key.ID
			err := k.prove(ctx, key)
			if err != nil {
				err = fmt.Errorf("prove that %s works: %w", key.ID, awsx.Clean(err))
			} else if err = k.deliver(ctx, key); err == nil || succeeds {
				// A sink that has taken a successor, or a half of it, has lost
				// the current key, so the successor has to live on: the mark
				// tells the next run of it.
				return err
			}
			// Nobody has a use for the pair now. If this fails too, the next
			// run finds the key by the mark.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
			defer cancel()
			if _, undo := k.api.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &k.user, AccessKeyId: &key.ID}); undo != nil {
				err = errors.Join(err, fmt.Errorf("delete %s again: %w", key.ID, awsx.Clean(undo)))
			}
			return err
		},
	}
}

func (k *AccessKey) deliver(ctx context.Context, key sink.Key) error {
	for _, s := range k.sinks {
		if err := s.Deliver(ctx, key); err != nil {
			return fmt.Errorf("deliver %s to %s: %w", key.ID, s, awsx.Clean(err))
		}
	}
	return nil
}

func (k *AccessKey) commit(live accessKeys, made *string) reconcile.Step {
	return reconcile.Step{
		Call: "iam:TagUser", Does: "commit " + k.ID().String(), Follows: true,
		Do: func(ctx context.Context) error {
			r := record{current: *made, since: k.env.Now()}
			switch was := live.record; {
			case live.has(was.current):
				r.retiring, r.superseded = was.current, r.since
			case live.has(was.retiring):
				r.retiring, r.superseded, r.inactive = was.retiring, was.superseded, was.inactive
			}
			if err := k.write(ctx, r); err != nil {
				return err
			}
			k.committed = r.current
			return nil
		},
	}
}

func (k *AccessKey) write(ctx context.Context, r record) error {
	write := onceVisible(k.env, func(ctx context.Context) error {
		_, err := k.api.TagUser(ctx, &iam.TagUserInput{
			UserName: &k.user,
			Tags:     []types.Tag{{Key: aws.String(keyTag), Value: aws.String(r.String())}},
		})
		return err
	})
	return write(ctx)
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// days writes whole days as specs do.
func days(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return d.String()
}
