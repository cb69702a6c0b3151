package iam

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

const (
	actions = "token.actions.githubusercontent.com"
	print1  = "6938fd4d98bab03faadb97b34396831e3780aea1"
	print2  = "1c58a3a8518e8759bf075b76b750d4f2df264fcd"
)

// A providerAccount is IAM on a sandbox.
type providerAccount struct {
	server *sandbox.Server
	api    *iam.Client
}

func newProviderAccount(t *testing.T) *providerAccount {
	t.Helper()
	server, err := sandbox.New(sandbox.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	endpoint := httptest.NewServer(server)
	t.Cleanup(endpoint.Close)
	return &providerAccount{server, iam.New(iam.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint.URL,
		Credentials: credentials.NewStaticCredentialsProvider("operator", "operator", ""),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		}),
	})}
}

func noPause(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// run keeps the provider for a stack, and answers with what it said of it and
// the writes that it made.
func (a *providerAccount) run(t *testing.T, stack string, want spec.IAMOIDCProvider) (reconcile.Result, []string) {
	t.Helper()
	before := len(a.server.Calls())
	env := reconcile.Env{
		Account: "123456789012", Partition: "aws", Stack: stack, IgnoreTags: []string{"org:*"}, Pause: noPause, Now: func() time.Time { return now },
	}
	p := reconcile.Declare(OIDCProviders{api: a.api, env: env}, env, want)
	run := reconcile.Look(t.Context(), []reconcile.Resource{p}, reconcile.Options{Pause: noPause})
	run.Apply(t.Context())
	var writes []string
	for _, c := range a.server.Calls()[before:] {
		if c.Mutates {
			writes = append(writes, c.Operation)
		}
	}
	return run.Results()[0], writes
}

func (a *providerAccount) create(t *testing.T, clientIDs, thumbprints []string, tags map[string]string) {
	t.Helper()
	if _, err := a.api.CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{
		Url: aws.String("https://" + actions), ClientIDList: clientIDs, ThumbprintList: thumbprints, Tags: tagList(tags),
	}); err != nil {
		t.Fatal(err)
	}
}

// providerState is what IAM has of the provider.
type providerState struct {
	ClientIDs, Thumbprints []string
	Tags                   map[string]string
}

func (a *providerAccount) state(t *testing.T) providerState {
	t.Helper()
	out, err := a.api.GetOpenIDConnectProvider(t.Context(), &iam.GetOpenIDConnectProviderInput{
		OpenIDConnectProviderArn: aws.String("arn:aws:iam::123456789012:oidc-provider/" + actions),
	})
	if err != nil {
		t.Fatal(err)
	}
	tags := tagMap(out.Tags)
	delete(tags, reconcile.Applied)
	return providerState{slices.Sorted(slices.Values(out.ClientIDList)), slices.Sorted(slices.Values(out.ThumbprintList)), tags}
}

func TestOIDCProvider(t *testing.T) {
	const sts, other = "sts.amazonaws.com", "another.audience"
	ours := func(tags ...string) map[string]string {
		m := map[string]string{reconcile.Mark: "churn/dev"}
		for _, key := range tags {
			m[key] = "value"
		}
		return m
	}
	theirs := map[string]string{reconcile.Mark: "churn/prod", "Team": "theirs"}

	for _, tt := range []struct {
		name   string
		stands func(t *testing.T, a *providerAccount)
		want   spec.IAMOIDCProvider
		action reconcile.Action
		writes []string
		diffs  []string // paths
		after  providerState
		note   string
	}{
		{
			name: "created",
			want: spec.IAMOIDCProvider{ClientIDList: []string{sts}, ThumbprintList: []string{print1}, Meta: spec.Meta{Tags: map[string]string{"Team": "value"}}},

			action: reconcile.Create, writes: []string{"CreateOpenIDConnectProvider"},
			diffs: []string{"url", "clientIDList[sts.amazonaws.com]", "thumbprintList." + print1, "tags.Team", "tags." + reconcile.Mark},
			after: providerState{[]string{sts}, []string{print1}, ours("Team")},
		},
		{
			name:   "adopted",
			stands: func(t *testing.T, a *providerAccount) { a.create(t, []string{sts}, []string{print1}, nil) },
			want:   spec.IAMOIDCProvider{ClientIDList: []string{sts}},
			action: reconcile.Update, writes: []string{"TagOpenIDConnectProvider"}, diffs: []string{"tags." + reconcile.Mark},
			after: providerState{[]string{sts}, []string{print1}, ours()},
		},
		{
			name: "in sync, in another order",
			stands: func(t *testing.T, a *providerAccount) {
				a.create(t, []string{sts, other}, []string{print1, print2}, ours())
			},
			want:   spec.IAMOIDCProvider{ClientIDList: []string{other, sts}, ThumbprintList: []string{print2, print1}},
			action: reconcile.None,
			after:  providerState{[]string{other, sts}, []string{print2, print1}, ours()},
		},
		{
			name:   "a client id added, one too many taken away",
			stands: func(t *testing.T, a *providerAccount) { a.create(t, []string{other}, []string{print1}, ours()) },
			want:   spec.IAMOIDCProvider{ClientIDList: []string{sts}},
			action: reconcile.Update, writes: []string{"AddClientIDToOpenIDConnectProvider", "RemoveClientIDFromOpenIDConnectProvider", "TagOpenIDConnectProvider"},
			diffs: []string{"clientIDList[sts.amazonaws.com]", "clientIDList[another.audience]"},
			after: providerState{[]string{sts}, []string{print1}, ours()},
		},
		{
			name:   "thumbprints set",
			stands: func(t *testing.T, a *providerAccount) { a.create(t, []string{sts}, []string{print1}, ours()) },
			want:   spec.IAMOIDCProvider{ClientIDList: []string{sts}, ThumbprintList: []string{print2}},
			action: reconcile.Update, writes: []string{"UpdateOpenIDConnectProviderThumbprint", "TagOpenIDConnectProvider"},
			diffs: []string{"thumbprintList." + print2, "thumbprintList." + print1},
			after: providerState{[]string{sts}, []string{print2}, ours()},
		},
		{
			name: "tags set and taken away, those of others left",
			stands: func(t *testing.T, a *providerAccount) {
				a.create(t, []string{sts}, []string{print1}, ours("Old", "org:unit"))
			},
			want:   spec.IAMOIDCProvider{ClientIDList: []string{sts}, Meta: spec.Meta{Tags: map[string]string{"Team": "value"}}},
			action: reconcile.Update, writes: []string{"TagOpenIDConnectProvider", "UntagOpenIDConnectProvider"},
			diffs: []string{"tags.Team", "tags.Old"},
			after: providerState{[]string{sts}, []string{print1}, ours("Team", "org:unit")},
		},
		{
			name:   "another stack's, which lacks nothing",
			stands: func(t *testing.T, a *providerAccount) { a.create(t, []string{sts, other}, []string{print1}, theirs) },
			want:   spec.IAMOIDCProvider{ClientIDList: []string{sts}, ThumbprintList: []string{print2}, Meta: spec.Meta{Tags: map[string]string{"Team": "value"}}},
			action: reconcile.None,
			after:  providerState{[]string{other, sts}, []string{print1}, theirs},
			note:   `shared with the stack "churn/prod"`,
		},
		{
			name:   "another stack's, which lacks a client id",
			stands: func(t *testing.T, a *providerAccount) { a.create(t, []string{other}, []string{print1}, theirs) },
			want:   spec.IAMOIDCProvider{ClientIDList: []string{sts}, ThumbprintList: []string{print2}},
			action: reconcile.Update, writes: []string{"AddClientIDToOpenIDConnectProvider"}, diffs: []string{"clientIDList[sts.amazonaws.com]"},
			after: providerState{[]string{other, sts}, []string{print1}, theirs},
			note:  `shared with the stack "churn/prod"`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newProviderAccount(t)
			if tt.stands != nil {
				tt.stands(t, a)
			}
			tt.want.URL = actions
			r, writes := a.run(t, "churn/dev", tt.want)
			if r.Err != nil || r.Action != tt.action {
				t.Fatalf("%s %s: %v", r.Action, r.Status, r.Err)
			}
			if diff := cmp.Diff(tt.writes, writes); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			var paths []string
			for _, d := range r.Diffs {
				paths = append(paths, d.Path)
			}
			inAnyOrder := cmpopts.SortSlices(func(a, b string) bool { return a < b })
			if diff := cmp.Diff(tt.diffs, paths, inAnyOrder); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.after, a.state(t), inAnyOrder); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, tt.note) || (tt.note == "") != (notes == "") {
				t.Errorf("notes: %q", notes)
			}

			again, writes := a.run(t, "churn/dev", tt.want)
			if again.Err != nil || again.Action != reconcile.None || len(writes) > 0 {
				t.Errorf("a second run: %s %v, %v", again.Action, again.Err, writes)
			}
		})
	}
}

// Two stacks that want different client ids of the one provider come to rest.
func TestOIDCProviderShared(t *testing.T) {
	a := newProviderAccount(t)
	dev := spec.IAMOIDCProvider{URL: actions, ClientIDList: []string{"sts.amazonaws.com"}}
	prod := spec.IAMOIDCProvider{URL: actions, ClientIDList: []string{"sts.amazonaws.com"}, Meta: spec.Meta{Tags: map[string]string{"Team": "prod"}}}
	a.run(t, "churn/dev", dev)
	for stack, want := range map[string]spec.IAMOIDCProvider{"churn/dev": dev, "churn/prod": prod} {
		for range 2 {
			if r, writes := a.run(t, stack, want); r.Err != nil || len(writes) > 0 {
				t.Errorf("%s: %v, %v", stack, r.Err, writes)
			}
		}
	}
	if got := a.state(t).Tags[reconcile.Mark]; got != "churn/dev" {
		t.Errorf("the provider belongs to %s", got)
	}
}
