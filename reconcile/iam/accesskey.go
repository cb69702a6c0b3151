package iam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
//  1. the mark: "creating", the run's own id, and the keys that stand;
//  2. the key is created, proven to work, and delivered to every sink;
//  3. "current": the key's id, which takes the place of the mark. The key that
//     was current before is "retiring" from then on.
//
// A key that is listed, was not there at 1 and is not committed by 3 is then
// a lost one. Only such a key, and one that has retired, is ever deleted.
//
// The mark also keeps two runs from making a key each; see claim.
type AccessKey struct {
	api     AccessKeyAPI
	env     reconcile.Env
	user    string
	userARN string
	base    func(context.Context) (liveUser, error)
	sinks   []sink.Sink
	prove   Prove

	// terms.asOf stands still during a run, so that a run does not meet
	// deadlines that it has set itself. terms.committed is what this run has
	// done, which reads may be slow to show.
	terms  terms
	rotate bool // the key that is current at the first look is due
	claim  *claim
}

// ID is the key's address.
func (k *AccessKey) ID() spec.ID { return spec.ID{Kind: spec.AccessKey, Name: k.user} }

// Needs names the key's user.
func (k *AccessKey) Needs() []spec.ID { return []spec.ID{{Kind: spec.User, Name: k.user}} }

// Permissions are what the calls of the key and of its sinks need. IAM's
// resource of all that is done to a key is its user.
func (k *AccessKey) Permissions() []reconcile.Permission {
	p := reconcile.Permissions{On: []string{k.userARN}}
	p.Read("iam:GetUser", "iam:ListAccessKeys", "iam:GetAccessKeyLastUsed")
	p.Write("iam:CreateAccessKey", "iam:UpdateAccessKey", "iam:DeleteAccessKey", "iam:TagUser")
	p.Delete("iam:DeleteAccessKey")
	for _, s := range k.sinks {
		if s, ok := s.(*sink.SecretsManager); ok {
			p.List = append(p.List, s.Permissions(k.env)...)
		}
	}
	return p.List
}

// Plan reads the user's keys and the record in its tags, and says what is to
// do.
func (k *AccessKey) Plan(ctx context.Context) (reconcile.Plan, error) {
	live, err := k.describe(ctx)
	if err != nil {
		return reconcile.Plan{}, err
	}
	if err := k.pick(live); err != nil {
		return reconcile.Plan{}, err
	}
	return k.diff(live)
}

func (k *AccessKey) describe(ctx context.Context) (accessKeys, error) {
	var live accessKeys
	poll := awsx.Poll{Pause: k.env.Pause}
	for {
		if err := k.read(ctx, &live); err != nil {
			return accessKeys{}, err
		}
		poll.Budget = k.lag(live)
		if !poll.Again(ctx) {
			break
		}
	}
	return live, k.inspect(ctx, &live)
}

// inspect looks for the keys in the sinks, and who uses those that may be lost.
func (k *AccessKey) inspect(ctx context.Context, live *accessKeys) error {
	for i := range live.keys {
		key := &live.keys[i]
		if key.id == live.record.retiring {
			continue // it has left the sinks
		}
		if err := k.look(ctx, key); err != nil {
			return err
		}
	}
	uncommitted := ids(live.uncommitted())
	for i := range live.keys {
		key := &live.keys[i]
		retiring := key.id == live.record.retiring
		if !retiring && !slices.Contains(uncommitted, key.id) {
			continue
		}
		out, err := k.api.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &key.id})
		if awsx.Code(err) == "NoSuchEntity" {
			continue // deleted a moment ago, and still listed
		}
		if err != nil {
			return err
		}
		last := out.AccessKeyLastUsed
		if last == nil || last.LastUsedDate == nil {
			continue
		}
		// A run that died between proof and delivery has used the lost key
		// itself, to ask STS who bears it.
		proof := !retiring && aws.ToString(last.ServiceName) == "sts" &&
			last.LastUsedDate.Sub(key.created).Abs() <= skew
		if !proof {
			key.used = *last.LastUsedDate
		}
	}
	return nil
}

const (
	// lagBudget is how long a list of keys and a record that do not fit
	// together are read again, where one of them was written a moment ago.
	lagBudget = 5 * time.Second

	// listBudget is how long a key that was committed within that time may be
	// missing from the list of keys: ListAccessKeys lags behind as well.
	listBudget = 2 * time.Minute
)

// lag is for how long what was read may be older than what was written: the
// record does not tell of the key that this run has committed, a key that was
// committed is not listed, a key was marked a moment ago by another run and is
// not committed, or one was made a moment ago of which a record knows nothing.
// Neither a second key nor a deletion may come of that, nor that the mark is
// taken back.
func (k *AccessKey) lag(l accessKeys) time.Duration {
	now := k.env.AWSNow()
	young := func(t time.Time) bool { return now.Sub(t).Abs() < lagBudget }
	unknown := func(key userKey) bool {
		return key.id != l.record.current && key.id != l.record.retiring && young(key.created)
	}
	switch {
	case l.record.current != "" && !l.has(l.record.current) && now.Sub(l.record.since).Abs() < listBudget:
		return listBudget
	case l.hidden(k.terms),
		l.record.current != "" && !l.has(l.record.current),
		l.record.run != k.env.Run && young(l.record.creating),
		// A user that was not the stack's until now has keys of others only.
		l.ours && slices.ContainsFunc(l.keys, unknown):
		return lagBudget
	}
	return 0
}

// read asks for the user's keys and for the record in its tags.
func (k *AccessKey) read(ctx context.Context, live *accessKeys) error {
	var base liveUser
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
	if live.absent = !base.Exists && !k.claim.marked(); live.absent {
		live.keys = nil
		return nil
	}
	if !base.Exists {
		live.record = k.claim.mark // made by this run, and not shown yet
		return nil
	}
	var err error
	if _, err = k.env.Tags(nil).Changes(base.Is.Tags); err != nil {
		return err // another stack's user, and so another stack's key
	}
	live.ours = base.Is.Tags[reconcile.Mark] == k.env.Stack
	live.record, err = k.claim.seen(base.Is.Tags[keyTag])
	return err
}

func (k *AccessKey) list(ctx context.Context) ([]userKey, error) {
	var keys []userKey
	pages := iam.NewListAccessKeysPaginator(k.api, &iam.ListAccessKeysInput{UserName: &k.user})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if awsx.Code(err) == "NoSuchEntity" {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, key := range page.AccessKeyMetadata {
			keys = append(keys, userKey{
				id: aws.ToString(key.AccessKeyId), created: aws.ToTime(key.CreateDate),
				active: key.Status == types.StatusTypeActive,
			})
		}
	}
	slices.SortFunc(keys, func(a, b userKey) int {
		return cmp.Or(a.created.Compare(b.created), strings.Compare(a.id, b.id))
	})
	return keys, nil
}

// look asks the sinks for a key.
func (k *AccessKey) look(ctx context.Context, key *userKey) error {
	key.delivered, key.shared = true, true
	for _, s := range k.sinks {
		has, err := s.Holds(ctx, key.id, key.created)
		if err != nil {
			return fmt.Errorf("look into %s: %w", s, awsx.Clean(err))
		}
		key.delivered = key.delivered && has
		key.shared = key.shared && (has || !s.Shared())
		key.partly = key.partly || has
		key.certain = key.certain || has && s.Tells()
	}
	return nil
}

func (k *AccessKey) diff(live accessKeys) (reconcile.Plan, error) {
	k.terms.now = k.env.AWSNow()
	phase := live.phase(k.terms)
	plan, err := k.plan(live, phase)
	if phase != phaseAdopted && err == nil {
		for _, id := range live.strangers() {
			plan.Notes = append(plan.Notes, fmt.Sprintf("the user has a key that is not the stack's, %s, and nobody here knows its secret; "+
				"if nobody uses it, delete it (aws iam delete-access-key --user-name %s --access-key-id %s)", id, k.user, id))
		}
	}
	return plan, err
}

func (k *AccessKey) plan(live accessKeys, phase phase) (reconcile.Plan, error) {
	switch phase {
	case phaseInDoubt:
		return reconcile.Plan{}, k.inDoubt(live)
	case phaseHidden:
		return reconcile.Plan{Exists: true, Steps: []reconcile.Step{k.commit(live, &k.terms.committed.current)}}, nil
	case phaseBusy:
		return k.busy(live), nil
	case phaseDelivered:
		return k.delivered(live), nil
	case phaseAdopted:
		return k.adopted(live), nil
	case phaseNoRoom:
		standing := live.standing()
		return reconcile.Plan{}, fmt.Errorf("the user has %d access keys already, %s, which is AWS's limit, and there is no room for one of the stack's; "+
			"delete one that nobody uses (aws iam delete-access-key --user-name %s --access-key-id …) and run again",
			len(standing), and(standing), k.user)
	case phaseAbsent:
		why := ""
		if adopted := live.find(k.terms.rotate); adopted != nil && adopted.id != live.record.current {
			why = adopted.id + ", which stood before, was not delivered here"
		}
		return k.made(live, why), nil
	case phaseCurrent:
		return k.kept(live), nil
	case phaseDue:
		return k.successor(live, live.due(k.terms)), nil
	case phaseDueNoRoom:
		return reconcile.Plan{}, k.noRoom(live, live.due(k.terms))
	case phaseDueFreed:
		return k.freed(live, live.due(k.terms)), nil
	default: // phaseDueWaits
		return k.waits(live, live.due(k.terms))
	}
}

// delivered is the plan for a key whose run died between delivery and commit.
func (k *AccessKey) delivered(live accessKeys) reconcile.Plan {
	var id string
	var steps []reconcile.Step
	for _, key := range live.uncommitted() {
		if id == "" && isDelivered(key) {
			id = key.id
		} else {
			steps = append(steps, k.remove(key.id, "whose secret was lost"))
		}
	}
	commit := k.commit(live, &id)
	commit.Diffs = []reconcile.Diff{{Path: "accessKey", Before: reconcile.OrNil(live.record.current), After: id + ", which was delivered already"}}
	return reconcile.Plan{Exists: true, Attrs: k.attrs(live, id), Steps: k.unmoved(live, append(steps, commit))}
}

// made is the plan for a new pair; why it succeeds the current one, if it does.
func (k *AccessKey) made(live accessKeys, why string) reconcile.Plan {
	uncommitted, standing := live.uncommitted(), live.standing()
	plan := reconcile.Plan{Exists: len(uncommitted) > 0}
	marks := !live.absent && (!k.claim.holds(k.terms.now) || !slices.Equal(live.record.standing, standing))
	if marks {
		plan.Steps = append(plan.Steps, k.mark(live, standing))
	}
	for _, key := range uncommitted {
		plan.Steps = append(plan.Steps, k.remove(key.id, "whose secret was lost"))
	}
	var id string
	plan.Steps = append(plan.Steps, k.create(live, why, &id), k.commit(live, &id))

	// A sink may have the uncommitted key by now, so not even that goes before
	// there is a way to put another pair in its place. And it may have the key
	// of a run that was faster, which is no reason to complain.
	first := plan.Steps[0].Do
	plan.Steps[0].Do = func(ctx context.Context) error {
		if marks {
			if err := k.mustBe(ctx, live); err != nil {
				return err
			}
		} else if !k.claim.holds(k.env.AWSNow()) {
			return reconcile.ErrOvertaken
		}
		if err := k.check(ctx, live.own()); err != nil {
			k.abandon(ctx)
			return err
		}
		return first(ctx)
	}
	return plan
}

// check asks the sinks whether they would take a pair.
func (k *AccessKey) check(ctx context.Context, own []string) error {
	for _, s := range k.sinks {
		if err := s.Check(ctx, own); err != nil {
			return fmt.Errorf("%s cannot be written, so no key was made: %w", s, awsx.Clean(err))
		}
	}
	return nil
}

// inDoubt is the error where an uncommitted key may be somebody's.
func (k *AccessKey) inDoubt(live accessKeys) error {
	unmarked := live.record.unmarked()
	drop := fmt.Sprintf("aws iam untag-user --user-name %s --tag-keys %s", k.user, keyTag)
	if text := unmarked.String(); text != "" {
		drop = fmt.Sprintf("aws iam tag-user --user-name %s --tags 'Key=%s,Value=%s'", k.user, keyTag, text)
	}
	return fmt.Errorf("a run was cut off at %s while it made a key whose secret is lost, and which key that is cannot be told: %s; "+
		"if somebody uses it, take the mark back (%s); a key that nobody uses, delete (aws iam delete-access-key --user-name %s --access-key-id …); then run again",
		date(live.record.creating), live.doubt(), drop, k.user)
}

// attrs are what outputs may say of a key.
func (k *AccessKey) attrs(live accessKeys, id string) map[string]string {
	secret := "not delivered here"
	if key := live.find(id); key != nil && key.delivered {
		secret = "delivered to " + k.places(nil)
	}
	return map[string]string{"accessKeyId": id, "secretAccessKey": secret}
}

// kept is the plan for a committed key that stays.
func (k *AccessKey) kept(live accessKeys) reconcile.Plan {
	key := live.find(live.record.current)
	plan := reconcile.Plan{Exists: true, Attrs: k.attrs(live, key.id)}
	if !key.delivered {
		plan.Notes = append(plan.Notes, fmt.Sprintf("the secret of %s is not in %s here; AWS does not tell it twice, so for a new pair run churn-reconcile rotate",
			key.id, k.places(func(s sink.Sink) bool { return !s.Shared() })))
	}
	if !live.record.creating.IsZero() {
		plan.Steps = append(plan.Steps, k.unmark(live.record))
	}
	if !key.active {
		plan.Steps = append(plan.Steps, k.setStatus("status", key.id, true))
	}
	if k.terms.rotateAfter > 0 {
		plan.Notes = append(plan.Notes, fmt.Sprintf("next rotation of %s is due at %s", key.id, date(key.created.Add(k.terms.rotateAfter))))
	}
	k.retire(live, &plan)
	plan.Steps = k.unmoved(live, plan.Steps)
	return plan
}

// adopted is the plan for keys that stood before the stack: they serve, and
// are never touched.
func (k *AccessKey) adopted(live accessKeys) reconcile.Plan {
	return reconcile.Plan{
		Exists: true,
		Attrs:  k.attrs(live, live.served().id),
		Notes: []string{fmt.Sprintf("adopted %s, which stood before: its secret was not delivered here, and AWS does not tell it twice; "+
			"for a pair of the stack's own run churn-reconcile rotate", and(ids(live.keys)))},
	}
}

// served is the key that serves among those that stood before: the first that is
// active.
func (l accessKeys) served() userKey {
	if i := slices.IndexFunc(l.keys, func(k userKey) bool { return k.active }); i >= 0 {
		return l.keys[i]
	}
	return l.keys[0]
}

// places names the sinks, or those that which picks.
func (k *AccessKey) places(which func(sink.Sink) bool) string { return places(k.sinks, which) }

func places(sinks []sink.Sink, which func(sink.Sink) bool) string {
	var names []string
	for _, s := range sinks {
		if which == nil || which(s) {
			names = append(names, s.String())
		}
	}
	return strings.Join(names, ", ")
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

func (k *AccessKey) setStatus(path, id string, active bool) reconcile.Step {
	before, after := types.StatusTypeActive, types.StatusTypeInactive
	if active {
		before, after = after, before
	}
	return reconcile.Step{
		Call: "iam:UpdateAccessKey", Does: "make " + id + " " + strings.ToLower(string(after)) + " of " + k.ID().String(),
		Diffs: []reconcile.Diff{{Path: path, Before: string(before), After: string(after)}},
		Do: func(ctx context.Context) error {
			_, err := k.api.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &k.user, AccessKeyId: &id, Status: after})
			return err
		},
	}
}

// unmark takes back a mark that no key followed and none will.
func (k *AccessKey) unmark(r record) reconcile.Step {
	return k.note(r, r.unmarked(), "take back the mark on")
}

func (k *AccessKey) note(before, after record, does string) reconcile.Step {
	return reconcile.Step{
		Call: "iam:TagUser", Does: does + " " + k.ID().String(),
		Diffs: []reconcile.Diff{{Path: "tags." + keyTag, Before: reconcile.OrNil(before.String()), After: after.line(before)}},
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
			if !k.claim.holds(k.env.AWSNow()) {
				return reconcile.ErrOvertaken
			}
			var out *iam.CreateAccessKeyOutput
			create := onceVisible(k.env, func(ctx context.Context) (err error) {
				out, err = k.api.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &k.user}, once)
				return err
			})
			if err := create(ctx); err != nil {
				if !awsx.Unclear(err) {
					k.abandon(ctx)
				}
				return err
			}
			pair := out.AccessKey
			if pair == nil || aws.ToString(pair.AccessKeyId) == "" || aws.ToString(pair.SecretAccessKey) == "" {
				return &awsx.CallError{Call: "iam:CreateAccessKey", Message: "the answer has no key pair", Attempts: 1, Err: io.ErrUnexpectedEOF}
			}
			key := sink.Key{
				ID: aws.ToString(pair.AccessKeyId), User: k.user, Ours: live.own(),
				Secret: sink.NewSecret(aws.ToString(pair.SecretAccessKey)),
			}
			*made = key.ID
			err := k.prove(ctx, key)
			if err != nil {
				err = fmt.Errorf("prove that %s works: %w", key.ID, awsx.Clean(err))
			} else if err = k.renew(ctx); err != nil {
				err = fmt.Errorf("keep the mark: %w", awsx.Clean(err))
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
				return errors.Join(err, fmt.Errorf("delete %s again: %w", key.ID, awsx.Clean(undo)))
			}
			k.abandon(ctx)
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
			r := record{current: *made, since: k.env.AWSNow()}
			switch was := live.record; {
			case live.has(was.current):
				r.retiring, r.superseded = was.current, r.since
			case live.has(was.retiring):
				r.retiring, r.superseded, r.inactive = was.retiring, was.superseded, was.inactive
			}
			if err := k.write(ctx, r); err != nil {
				return err
			}
			k.terms.committed = r
			k.claim.release()
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

func and(words []string) string { return strings.Join(words, " and ") }

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// days writes whole days as specs do.
func days(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return d.String()
}
