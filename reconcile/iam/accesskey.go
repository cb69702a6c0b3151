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
	"golang.org/x/sync/errgroup"

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

// maxKeys is IAM's limit of keys of a user, inactive ones counted.
const maxKeys = 2

// AccessKey keeps the one key pair that the stack delivers for a user.
//
// AWS tells a secret once and CreateAccessKey has no idempotency token, so a
// run that dies at the wrong moment leaves a key whose secret nobody has. What
// lets the next run heal that is a tag on the user, written in this order:
//
//  1. "creating": the time, and the keys that stood before;
//  2. the key is created, and delivered to every sink;
//  3. "current": the key's id, which takes the place of the mark.
//
// A key that is listed, was not there at 1 and is not committed by 3 is then
// the lost one, and the only kind of key that is ever deleted.
type AccessKey struct {
	api   AccessKeyAPI
	env   reconcile.Env
	user  string
	base  func(context.Context) (*userBase, error) // nil: absent
	sinks []sink.Sink
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
	return k.diff(live)
}

// accessKeys is what IAM has of a user's keys, and what is known of those that
// the record leaves in doubt.
type accessKeys struct {
	record record
	keys   []types.AccessKeyMetadata // by age
	held   map[string]bool           // by id: every sink holds the pair
	used   map[string]bool           // by id, of strays only: somebody has used it
}

func (k *AccessKey) describe(ctx context.Context) (accessKeys, error) {
	live := accessKeys{held: map[string]bool{}, used: map[string]bool{}}
	var base *userBase
	reads, readCtx := errgroup.WithContext(ctx)
	reads.Go(func() (err error) {
		base, err = k.base(readCtx)
		return err
	})
	reads.Go(func() (err error) {
		live.keys, err = k.list(readCtx)
		return err
	})
	if err := reads.Wait(); err != nil {
		return accessKeys{}, err
	}
	if base == nil {
		return accessKeys{}, nil
	}
	var err error
	if live.record, err = parseRecord(base.tags[keyTag]); err != nil {
		return accessKeys{}, err
	}

	// A key that was committed a moment ago and is not listed has not been
	// deleted: the list lags behind.
	if live.record.current != "" && k.env.Now().Sub(live.record.since) < listBudget {
		poll := awsx.Poll{Pause: k.env.Pause, Budget: listBudget}
		for !live.has(live.record.current) && poll.Again(ctx) {
			if live.keys, err = k.list(ctx); err != nil {
				return accessKeys{}, err
			}
		}
	}

	for _, key := range live.keys {
		id := aws.ToString(key.AccessKeyId)
		if live.held[id], err = k.holds(ctx, id); err != nil {
			return accessKeys{}, err
		}
	}
	for _, id := range live.strays() {
		out, err := k.api.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &id})
		if err != nil {
			return accessKeys{}, err
		}
		live.used[id] = out.AccessKeyLastUsed != nil && out.AccessKeyLastUsed.LastUsedDate != nil
	}
	return live, nil
}

// listBudget is how long a key that was committed a moment ago is looked for
// in a list that does not show it.
const listBudget = 30 * time.Second

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

func (k *AccessKey) holds(ctx context.Context, id string) (bool, error) {
	for _, s := range k.sinks {
		held, err := s.Holds(ctx, id)
		if err != nil {
			return false, fmt.Errorf("look into %s: %w", s, err)
		}
		if !held {
			return false, nil
		}
	}
	return true, nil
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

func (k *AccessKey) diff(live accessKeys) (reconcile.Plan, error) {
	strays := live.strays()
	if err := k.checkStrays(live, strays); err != nil {
		return reconcile.Plan{}, err
	}
	if len(strays) == 1 && live.held[strays[0]] {
		// The run died between delivery and commit.
		return reconcile.Plan{Exists: true, Steps: []reconcile.Step{k.commit(&strays[0])}}, nil
	}
	if live.record.creating.IsZero() {
		if key, ok := live.find(live.record.current); ok {
			return k.kept(live, key), nil
		}
		if live.record.current == "" && len(live.keys) > 0 {
			return k.adopted(live), nil
		}
	}

	plan := reconcile.Plan{Exists: len(strays) > 0}
	for _, id := range strays {
		plan.Steps = append(plan.Steps, k.remove(id))
	}
	standing := slices.DeleteFunc(live.ids(), func(id string) bool { return slices.Contains(strays, id) })
	if len(standing) >= maxKeys {
		return reconcile.Plan{}, fmt.Errorf("the user has %d access keys already, %s, which is AWS's limit, and none of them is the stack's; "+
			"delete one that nobody uses (aws iam delete-access-key --user-name %s --access-key-id …) and run again",
			len(standing), strings.Join(standing, " and "), k.user)
	}
	// A mark that is fresh still says all there is to say.
	if len(strays) > 0 || k.env.Now().Sub(live.record.creating) > freshMark || !slices.Equal(live.record.standing, standing) {
		plan.Steps = append(plan.Steps, k.mark(standing))
	}
	var made string
	plan.Steps = append(plan.Steps, k.create(&made), k.commit(&made))
	return plan, nil
}

// skew is how far a key's date may lie from the mark's. SigV4 itself forgives
// a clock of this much.
const skew = 15 * time.Minute

// freshMark is the age up to which a mark is used again.
const freshMark = 5 * time.Minute

// checkStrays refuses to go on where a stray may be somebody's.
func (k *AccessKey) checkStrays(live accessKeys, strays []string) error {
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
		doubt = fmt.Sprintf("%s was made at %s, too far from that", id, made.UTC().Format(time.RFC3339))
	case live.used[id]:
		doubt = fmt.Sprintf("%s has been used, which the lost one cannot have been", id)
	default:
		return nil
	}
	return fmt.Errorf("a run was cut off at %s while it made a key whose secret is lost, and which key that is cannot be told: %s; "+
		"delete the one that nobody uses (aws iam delete-access-key --user-name %s --access-key-id %s), or, if all of them are in use, "+
		"drop the mark (aws iam untag-user --user-name %s --tag-keys %s), and run again",
		live.record.creating.UTC().Format(time.RFC3339), doubt, k.user, id, k.user, keyTag)
}

// kept is the plan for a committed key that is there.
func (k *AccessKey) kept(live accessKeys, key types.AccessKeyMetadata) reconcile.Plan {
	id := aws.ToString(key.AccessKeyId)
	plan := reconcile.Plan{Exists: true, Attrs: map[string]string{"accessKeyId": id}}
	if live.held[id] {
		plan.Attrs["secretAccessKey"] = "delivered to " + k.places()
	} else {
		plan.Attrs["secretAccessKey"] = "not delivered here"
		plan.Notes = append(plan.Notes, fmt.Sprintf("the secret of %s is not in %s here; AWS does not tell it twice, so for a new pair delete the key and run again",
			id, k.places()))
	}
	if key.Status != types.StatusTypeActive {
		plan.Steps = append(plan.Steps, reconcile.Step{
			Call: "iam:UpdateAccessKey", Does: "activate " + k.ID().String(),
			Diffs: []reconcile.Diff{{Path: "status", Before: string(key.Status), After: string(types.StatusTypeActive)}},
			Do: func(ctx context.Context) error {
				_, err := k.api.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &k.user, AccessKeyId: &id, Status: types.StatusTypeActive})
				return err
			},
		})
	}
	return plan
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
	secret := "not delivered here"
	if live.held[id] {
		secret = "delivered to " + k.places()
	}
	return reconcile.Plan{
		Exists: true,
		Attrs:  map[string]string{"accessKeyId": id, "secretAccessKey": secret},
		Notes: []string{fmt.Sprintf("adopted %s, which stood before: its secret was not delivered here, and AWS does not tell it twice; "+
			"for a pair of the stack's own delete it and run again", strings.Join(ids, " and "))},
	}
}

func (k *AccessKey) places() string {
	var places []string
	for _, s := range k.sinks {
		places = append(places, s.String())
	}
	return strings.Join(places, ", ")
}

func (k *AccessKey) remove(id string) reconcile.Step {
	return reconcile.Step{
		Call: "iam:DeleteAccessKey", Does: "delete the lost key " + id + " of " + k.ID().String(),
		Diffs: []reconcile.Diff{{Path: "accessKeyId", Before: id + ", whose secret was lost"}},
		Do: func(ctx context.Context) error {
			_, err := k.api.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &k.user, AccessKeyId: &id})
			return gone(err)
		},
	}
}

func (k *AccessKey) mark(standing []string) reconcile.Step {
	return reconcile.Step{
		Call: "iam:TagUser", Does: "mark the start of " + k.ID().String(),
		Do: func(ctx context.Context) error {
			for _, s := range k.sinks {
				if err := s.Check(ctx); err != nil {
					return fmt.Errorf("%s cannot be written, so no key was made: %w", s, err)
				}
			}
			return k.write(ctx, record{creating: k.env.Now(), standing: standing})
		},
	}
}

func (k *AccessKey) create(made *string) reconcile.Step {
	return reconcile.Step{
		Call: "iam:CreateAccessKey", Does: "create " + k.ID().String(), Once: true,
		Diffs: []reconcile.Diff{{Path: "accessKey", After: "a new pair, delivered to " + k.places()}},
		Do: func(ctx context.Context) error {
			out, err := k.api.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &k.user}, once)
			if err != nil {
				return err
			}
			id := aws.ToString(out.AccessKey.AccessKeyId)
			err = k.deliver(ctx, sink.Key{ID: id, User: k.user, Secret: sink.NewSecret(aws.ToString(out.AccessKey.SecretAccessKey))})
			if err != nil {
				// Nobody has the secret now. If this fails too, the next run
				// finds the key by the mark.
				_, undo := k.api.DeleteAccessKey(context.WithoutCancel(ctx), &iam.DeleteAccessKeyInput{UserName: &k.user, AccessKeyId: &id})
				return errors.Join(err, undo)
			}
			*made = id
			return nil
		},
	}
}

func (k *AccessKey) deliver(ctx context.Context, key sink.Key) error {
	for _, s := range k.sinks {
		if err := s.Deliver(ctx, key); err != nil {
			return fmt.Errorf("deliver %s to %s: %w", key.ID, s, err)
		}
	}
	return nil
}

func (k *AccessKey) commit(made *string) reconcile.Step {
	return reconcile.Step{
		Call: "iam:TagUser", Does: "commit " + k.ID().String(),
		Do: func(ctx context.Context) error {
			return k.write(ctx, record{current: *made, since: k.env.Now()})
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
