package stack_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sink/sinktest"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
)

const (
	day = 24 * time.Hour

	keyUser    = "ci"
	keyAddress = "iam.access-key/" + keyUser
	keySecret  = "ci/key"
	keyRecord  = "churn-reconcile:access-key"
	keyScope   = "repos/acme/churn/environments/production"

	githubURLVar   = "CHURN_TEST_GITHUB_URL"
	githubTokenVar = "CHURN_TEST_GITHUB_TOKEN"
)

func githubOf(url, token string) option {
	return func(o *stack.Options, _ *stack.Look, _ *reconcile.Options) { o.GitHubURL, o.GitHubToken = url, token }
}

// rotateNow makes the keys of all users due.
func rotateNow(_ *stack.Options, o *stack.Look, _ *reconcile.Options) {
	o.Rotate = func(string) bool { return true }
}

// A keyring is an account with a user whose key goes to every kind of sink,
// and what tells whether the pairs in them are whole.
type keyring struct {
	*account
	github  *sinktest.GitHub
	pairs   *sinktest.Pairs
	secrets *secretsmanager.Client
	path    string // of the spec
}

func newKeyring(t *testing.T) *keyring {
	t.Helper()
	return keyringOn(t, newAccount(t))
}

func sandboxKeyring(t *testing.T, o sandbox.Options) *keyring {
	t.Helper()
	return keyringOn(t, sandboxAccount(t, o))
}

func keyringOn(t *testing.T, a *account) *keyring {
	t.Helper()
	k := &keyring{account: a, pairs: &sinktest.Pairs{}, github: sinktest.NewGitHub(t, a.clock.Now, keyScope)}
	server := httptest.NewServer(k.pairs.Watch(a.handler))
	t.Cleanup(server.Close)
	a.url = server.URL
	a.connect()
	k.secrets = secretsmanager.New(secretsmanager.Options{
		Region: region, BaseEndpoint: &a.url, Credentials: credentials.NewStaticCredentialsProvider("byhand", "byhand", ""),
	})
	k.path = a.stack(t, `
iam:
  users:
    - name: `+keyUser+`
      tags: {Team: data}
      accessKey:
        rotateAfter: 90d
        retireAfter: 24h
        deliver:
          - file: {path: "SINK"}
          - file: {path: "SINK.env", format: env}
          - github: {repository: acme/churn, environment: production}
          - secretsManager: {name: `+keySecret+`}
outputs:
  id: ${iam.user/`+keyUser+`.accessKeyId}
  secret: ${iam.user/`+keyUser+`.secretAccessKey}
`)
	return k
}

func (k *keyring) with(opts []option) []option {
	return append([]option{githubOf(k.github.URL, k.github.Token)}, opts...)
}

func (k *keyring) apply(opts ...option) outcome { return k.account.apply(k.path, k.with(opts)...) }
func (k *keyring) look(opts ...option) outcome  { return k.account.look(k.path, k.with(opts)...) }

func (k *keyring) mustApply(t testing.TB, opts ...option) outcome {
	t.Helper()
	return k.account.mustApply(t, k.path, k.with(opts)...)
}

// mustBeInSync wants a run to find nothing to do, and neither AWS nor GitHub to
// be written to.
func (k *keyring) mustBeInSync(t testing.TB) {
	t.Helper()
	heard := len(k.github.Calls())
	k.account.mustBeInSync(t, k.path, k.with(nil)...)
	for _, c := range k.github.Calls()[heard:] {
		if c.Method != http.MethodGet {
			t.Errorf("the second run made the call %s", c)
		}
	}
}

// sinks are the places of the spec, in its order. Each tells the pair that it
// holds.
func (k *keyring) sinks() []struct {
	name string
	pair func(context.Context) (id, secret string, err error)
} {
	return []struct {
		name string
		pair func(context.Context) (id, secret string, err error)
	}{
		{"file", func(ctx context.Context) (string, string, error) {
			p, err := config.LoadSharedConfigProfile(ctx, keyUser, func(o *config.LoadSharedConfigOptions) {
				o.CredentialsFiles, o.ConfigFiles = []string{k.sink()}, []string{}
			})
			return p.Credentials.AccessKeyID, p.Credentials.SecretAccessKey, err
		}},
		{"env", func(context.Context) (id, secret string, err error) {
			text, err := os.ReadFile(k.sink() + ".env")
			for line := range strings.Lines(string(text)) {
				switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
				case "AWS_ACCESS_KEY_ID":
					id = value
				case "AWS_SECRET_ACCESS_KEY":
					secret = value
				}
			}
			return id, secret, err
		}},
		{"github", func(context.Context) (string, string, error) {
			id, _ := k.github.Secret(keyScope, "AWS_ACCESS_KEY_ID")
			secret, _ := k.github.Secret(keyScope, "AWS_SECRET_ACCESS_KEY")
			return id.Value, secret.Value, nil
		}},
		{"secretsmanager", func(ctx context.Context) (string, string, error) {
			out, err := k.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(keySecret)})
			if err != nil {
				return "", "", err
			}
			var pair struct {
				ID     string `json:"aws_access_key_id"`
				Secret string `json:"aws_secret_access_key"`
			}
			err = json.Unmarshal([]byte(*out.SecretString), &pair)
			return pair.ID, pair.Secret, err
		}},
	}
}

// status is the status of the user's keys, by id.
func (k *keyring) status(ctx context.Context) (map[string]types.StatusType, error) {
	out, err := k.iam.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: aws.String(keyUser)})
	if _, gone := errors.AsType[*types.NoSuchEntityException](err); gone {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	keys := map[string]types.StatusType{}
	for _, key := range out.AccessKeyMetadata {
		keys[*key.AccessKeyId] = key.Status
	}
	return keys, nil
}

// usable wants every sink but those that are left out to hold a whole pair of
// a key that stands and is active.
func (k *keyring) usable(ctx context.Context, keys map[string]types.StatusType, except ...string) error {
	var errs []error
	for _, s := range k.sinks() {
		if slices.Contains(except, s.name) {
			continue
		}
		id, secret, err := s.pair(ctx)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s cannot be read: %w", s.name, err))
		case keys[id] != types.StatusTypeActive:
			errs = append(errs, fmt.Errorf("%s holds %q, whose status is %q", s.name, id, keys[id]))
		case secret == "" || secret != k.pairs.Secret(id):
			errs = append(errs, fmt.Errorf("%s does not hold the secret of %s", s.name, id))
		}
	}
	return errors.Join(errs...)
}

// mustHold wants the user to have exactly these keys, the first of them in
// every sink and in the record, and no secret or temporary file anywhere else.
func (k *keyring) mustHold(t testing.TB, current string, others ...string) {
	t.Helper()
	keys, err := k.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(append([]string{current}, others...)))
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(keys))); diff != "" {
		t.Errorf("the user's keys (-want +got):\n%s", diff)
	}
	if err := k.usable(t.Context(), keys); err != nil {
		t.Error(err)
	}
	for _, s := range k.sinks() {
		if id, _, _ := s.pair(t.Context()); id != current {
			t.Errorf("%s holds %q, want %q", s.name, id, current)
		}
	}
	record := k.record(t)
	if !strings.HasPrefix(record, "current="+current+" ") || strings.Contains(record, "creating") ||
		strings.Contains(record, "retiring") != (len(others) > 0) {
		t.Errorf("the record is %q", record)
	}
	if names := k.github.Names(keyScope); !slices.Equal(names, []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}) {
		t.Errorf("GitHub has the secrets %v", names)
	}
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains([]string{"spec.yaml", "credentials", "credentials.env"}, e.Name()) {
			t.Errorf("the file %s is left behind", e.Name())
		}
		if info, err := e.Info(); err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %o", e.Name(), info.Mode().Perm())
		}
	}
	k.mustBeSecret(t)
}

// mustBeSecret wants no secret to stand where it has no business.
func (k *keyring) mustBeSecret(t testing.TB) {
	t.Helper()
	secrets := k.pairs.All()
	if len(secrets) == 0 {
		t.Fatal("no secret was ever told, so none can leak")
	}
	heard := k.github.Heard()
	record := k.record(t)
	for id, secret := range secrets {
		if strings.Contains(heard, secret) {
			t.Errorf("the secret of %s was sent to GitHub in the clear", id)
		}
		if strings.Contains(record, secret) {
			t.Errorf("the secret of %s is in the user's tags", id)
		}
	}
}

func (k *keyring) record(t testing.TB) string {
	t.Helper()
	out, err := k.iam.ListUserTags(t.Context(), &iam.ListUserTagsInput{UserName: aws.String(keyUser)})
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range out.Tags {
		if *tag.Key == keyRecord {
			return *tag.Value
		}
	}
	return ""
}

// currentKey is the key of the record.
func (k *keyring) currentKey(t testing.TB) string {
	t.Helper()
	record := k.record(t)
	id, _, _ := strings.Cut(strings.TrimPrefix(record, "current="), " ")
	if id == "" || id == record {
		t.Fatalf("the record is %q", record)
	}
	return id
}

// watch checks after every write of AWS and GitHub that no user has more than
// two keys and that every sink holds a pair that works, save the one that is
// being delivered to. It answers with the number of writes that it has seen.
func (k *keyring) watch(t *testing.T) *atomic.Int64 {
	var seen atomic.Int64
	var mu sync.Mutex
	half := false // GitHub has one half of a pair
	check := func(call string) {
		seen.Add(1)
		mu.Lock()
		defer mu.Unlock()
		// Not the test's own context, so that what is seen last is seen whole.
		ctx := context.WithoutCancel(t.Context())
		keys, err := k.status(ctx)
		if err != nil {
			t.Errorf("after %s: %v", call, err)
		}
		if len(keys) > 2 {
			t.Errorf("after %s: the user has the keys %v", call, keys)
		}
		var except []string
		if half {
			except = append(except, "github")
		}
		if err := k.usable(ctx, keys, except...); err != nil {
			t.Errorf("after %s: %v", call, err)
		}
	}
	k.setFault(func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
		if p == sandbox.After && c.Mutates {
			check(operation(c))
		}
		return sandbox.None
	})
	k.github.SetFault(func(c sinktest.Call, p sinktest.Phase) sinktest.Fault {
		if p == sinktest.After && c.Method != http.MethodGet {
			mu.Lock()
			switch c.Name {
			case "AWS_SECRET_ACCESS_KEY":
				half = true
			case "AWS_ACCESS_KEY_ID":
				half = false
			}
			mu.Unlock()
			check(c.String())
		}
		return sinktest.Fault{}
	})
	return &seen
}

// A key's whole life, with a run and a second one at each turn. On AWS itself
// this takes a quarter of a year.
func TestRotation(t *testing.T) {
	alone(t)
	k := newKeyring(t)
	first := k.mustApply(t)
	if r := first.result(t, keyAddress); r.Action != reconcile.Create || r.Status != reconcile.Done {
		t.Errorf("the key is %s %s", r.Action, r.Status)
	}
	one := k.currentKey(t)
	k.mustHold(t, one)
	k.mustBeInSync(t)
	made := k.created(t, one)
	seen := k.watch(t)

	notes := func(o outcome, want ...string) {
		t.Helper()
		got := strings.Join(o.result(t, keyAddress).Notes, "\n")
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("the notes do not say %q: %s", w, got)
			}
		}
	}
	at := func(when time.Time) { k.clock.advance(when.Sub(k.clock.Now())) }
	due := made.Add(90 * day)
	dueNote := "next rotation of " + one + " is due at " + due.UTC().Format(time.RFC3339)

	at(due.Add(-day))
	notes(k.look(), dueNote)
	k.mustBeInSync(t)
	k.mustHold(t, one)
	at(due.Add(-time.Second))
	k.mustBeInSync(t)

	at(due)
	planned := k.look()
	wantChanges(t, `
iam.access-key/ci: update
  iam:TagUser
  iam:CreateAccessKey
  iam:TagUser
  accessKey: AKIA, which retires (older than 90d) -> a new pair, delivered to `+k.sink()+` (profile ci), `+k.sink()+`.env, GitHub acme/churn (environment production), Secrets Manager ci/key
`, planned.changes())
	if w := planned.writes(); len(w) > 0 {
		t.Errorf("the dry run wrote: %v", w)
	}
	k.mustHold(t, one)
	k.mustApply(t)
	two := k.currentKey(t)
	if two == one {
		t.Fatal("the key has no successor")
	}
	k.mustHold(t, two, one)
	k.mustBeInSync(t)

	succeeded := k.clock.Now()
	at(succeeded.Add(day - time.Second))
	notes(k.look(), one+", which was succeeded, becomes inactive if it stays unused until "+succeeded.Add(day).UTC().Format(time.RFC3339))
	k.mustBeInSync(t)
	at(succeeded.Add(day))
	k.mustApply(t)
	k.mustHold(t, two, one)
	if keys, err := k.status(t.Context()); err != nil || keys[one] != types.StatusTypeInactive || keys[two] != types.StatusTypeActive {
		t.Errorf("the keys are %v (%v)", keys, err)
	}
	k.mustBeInSync(t)

	at(succeeded.Add(2*day - time.Second))
	notes(k.look(), one+", which was succeeded, is inactive and will be deleted from "+succeeded.Add(2*day).UTC().Format(time.RFC3339)+" on")
	k.mustBeInSync(t)
	at(succeeded.Add(2 * day))
	k.mustApply(t)
	k.mustHold(t, two)
	k.mustBeInSync(t)
	if k.sandbox != nil && seen.Load() < 10 {
		t.Errorf("only %d writes were watched", seen.Load())
	}
}

// created is the date that IAM has of a key.
func (k *keyring) created(t testing.TB, id string) time.Time {
	t.Helper()
	out, err := k.iam.ListAccessKeys(t.Context(), &iam.ListAccessKeysInput{UserName: aws.String(keyUser)})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range out.AccessKeyMetadata {
		if *key.AccessKeyId == id {
			return *key.CreateDate
		}
	}
	t.Fatalf("no key %s", id)
	return time.Time{}
}

// A key that somebody still works with stays active, and one that was needed
// back does as well.
func TestRotationOfKeyInUse(t *testing.T) {
	alone(t)
	k := sandboxKeyring(t, sandbox.Options{})
	k.mustApply(t)
	one := k.currentKey(t)
	use := func(id string) {
		t.Helper()
		as := func(o *iam.Options) {
			o.Credentials = credentials.NewStaticCredentialsProvider(id, k.pairs.Secret(id), "")
		}
		done(t)(k.iam.GetUser(t.Context(), &iam.GetUserInput{UserName: aws.String(keyUser)}, as))
	}
	k.watch(t)
	k.clock.advance(90 * day)
	k.mustApply(t)
	two := k.currentKey(t)
	for range 5 {
		k.clock.advance(20 * time.Hour)
		use(one)
		k.clock.advance(4 * time.Hour)
		k.mustBeInSync(t)
	}
	k.clock.advance(20 * time.Hour)
	k.mustApply(t)
	if keys, _ := k.status(t.Context()); keys[one] != types.StatusTypeInactive {
		t.Fatalf("the keys are %v a day after the last use of %s", keys, one)
	}

	done(t)(k.iam.UpdateAccessKey(t.Context(), &iam.UpdateAccessKeyInput{UserName: aws.String(keyUser), AccessKeyId: &one, Status: types.StatusTypeActive}))
	k.clock.advance(day)
	k.mustApply(t)
	k.mustHold(t, two, one)
	k.mustBeInSync(t)
	use(one)

	for range 2 {
		k.clock.advance(day)
		k.mustApply(t)
	}
	k.mustHold(t, two)
	k.mustBeInSync(t)
}

// What a shared sink has lost cannot be put back, so the key gets a successor;
// what is missing from a file may be on another machine.
func TestKeyGoneFromSink(t *testing.T) {
	alone(t)
	for _, tt := range []struct {
		name   string
		lose   func(t *testing.T, k *keyring)
		rotate bool
	}{
		{"a secret of GitHub", func(_ *testing.T, k *keyring) { k.github.Remove(keyScope, "AWS_ACCESS_KEY_ID") }, true},
		{"the other secret of GitHub", func(_ *testing.T, k *keyring) { k.github.Remove(keyScope, "AWS_SECRET_ACCESS_KEY") }, true},
		{"a secret of GitHub that is older than the key", func(t *testing.T, k *keyring) {
			s, _ := k.github.Secret(keyScope, "AWS_ACCESS_KEY_ID")
			s.Updated = k.clock.Now().Add(-time.Hour)
			k.github.Set(keyScope, "AWS_ACCESS_KEY_ID", s)
		}, true},
		{"a secret of GitHub that was written again", func(t *testing.T, k *keyring) {
			k.clock.advance(time.Hour)
			s, _ := k.github.Secret(keyScope, "AWS_ACCESS_KEY_ID")
			s.Updated = k.clock.Now()
			k.github.Set(keyScope, "AWS_ACCESS_KEY_ID", s)
		}, false},
		{"the secret of Secrets Manager", func(t *testing.T, k *keyring) {
			done(t)(k.secrets.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: aws.String(keySecret), ForceDeleteWithoutRecovery: aws.Bool(true)}))
		}, true},
		{"the pair in Secrets Manager", func(t *testing.T, k *keyring) {
			done(t)(k.secrets.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String(keySecret), SecretString: aws.String("{}")}))
		}, true},
		{"the file", func(t *testing.T, k *keyring) {
			if err := os.Remove(k.sink()); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone(t)
			k := newKeyring(t)
			k.mustApply(t)
			one := k.currentKey(t)
			tt.lose(t, k)
			if !tt.rotate {
				k.mustBeInSync(t)
				if two := k.currentKey(t); two != one {
					t.Errorf("%s was succeeded by %s", one, two)
				}
				return
			}
			k.mustApply(t)
			two := k.currentKey(t)
			if two == one {
				t.Fatalf("%s is still the current key", one)
			}
			k.mustHold(t, two, one)
			k.mustBeInSync(t)
		})
	}
}

// A key that stood before is adopted, and gets a successor by command: that is
// delivered, and the key of before is left to whoever made it.
func TestRotateAdopted(t *testing.T) {
	alone(t)
	a := newAccount(t)
	done(t)(a.iam.CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("ci")}))
	made, err := a.iam.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("ci")})
	if err != nil {
		t.Fatal(err)
	}
	theirs := *made.AccessKey.AccessKeyId
	path := a.stack(t, `iam: {users: [{name: ci, accessKey: {deliver: [{file: {path: SINK}}]}}]}`)
	a.mustApply(t, path)
	if _, err := os.Stat(a.sink()); err == nil {
		t.Error("a key was delivered although one was adopted")
	}

	a.mustApply(t, path, rotateNow)
	delivered, err := os.ReadFile(a.sink())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(delivered), theirs) {
		t.Errorf("the key of before was delivered: %s", delivered)
	}
	keys, err := a.iam.ListAccessKeys(t.Context(), &iam.ListAccessKeysInput{UserName: aws.String("ci")})
	if err != nil || len(keys.AccessKeyMetadata) != 2 {
		t.Fatalf("the user has %d keys (%v), want the one of before and its successor", len(keys.AccessKeyMetadata), err)
	}
	for _, key := range keys.AccessKeyMetadata {
		if key.Status != types.StatusTypeActive {
			t.Errorf("%s is %s", *key.AccessKeyId, key.Status)
		}
		if id := *key.AccessKeyId; id != theirs && !strings.Contains(string(delivered), id) {
			t.Errorf("%s is not delivered", id)
		}
	}
	a.mustBeInSync(t, path)
}

// A rotation by command, and what stands in the way of the next one.
func TestRotateNow(t *testing.T) {
	alone(t)
	k := newKeyring(t)
	if err := k.apply(rotateNow).failure(); err == nil || !strings.Contains(err.Error(), "there is no key of the stack's to rotate") {
		t.Errorf("rotated without a key: %v", err)
	}
	k.mustApply(t)
	one := k.currentKey(t)
	o := k.mustApply(t, rotateNow)
	if len(o.results) != 1 {
		t.Errorf("rotate has touched %d resources", len(o.results))
	}
	two := k.currentKey(t)
	k.mustHold(t, two, one)
	k.mustBeInSync(t)

	err := k.apply(rotateNow).failure()
	for _, want := range []string{two + " needs a successor (asked for)", one + ", which it succeeded itself, is still retiring", "delete-access-key"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the second rotation does not say %q: %v", want, err)
		}
	}
	k.mustHold(t, two, one)

	// The advice that the error gives.
	k.deleteKey(t, keyUser, one)
	k.mustApply(t, rotateNow)
	three := k.currentKey(t)
	k.mustHold(t, three, two)
	k.mustBeInSync(t)

	for _, want := range []types.StatusType{types.StatusTypeInactive, ""} {
		// An hour more, since moto dates the use of a key by the clock on the wall.
		k.clock.advance(day + time.Hour)
		k.mustApply(t)
		keys, err := k.status(t.Context())
		if err != nil || keys[two] != want {
			t.Errorf("the keys are %v (%v), want %s to be %q", keys, err, two, want)
		}
		k.mustBeInSync(t)
	}
	k.mustHold(t, three)
}

// A sink that cannot be written shows before there is a key to lose.
func TestRotationWithoutASink(t *testing.T) {
	alone(t)
	for name, breakIt := range map[string]func(t *testing.T, k *keyring){
		"GitHub refuses": func(_ *testing.T, k *keyring) {
			k.github.SetFault(func(c sinktest.Call, _ sinktest.Phase) sinktest.Fault {
				if c.Method == http.MethodPut {
					return sinktest.Fault{Status: http.StatusForbidden}
				}
				return sinktest.Fault{}
			})
		},
		"Secrets Manager refuses": func(_ *testing.T, k *keyring) {
			k.setFault(func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
				if c.Service == "secretsmanager" && c.Mutates && p == sandbox.Before {
					return sandbox.Denied
				}
				return sandbox.None
			})
		},
		"a folder in the file's place": func(t *testing.T, k *keyring) {
			if err := os.Rename(k.sink()+".env", filepath.Join(k.dir, "aside")); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(k.sink()+".env", 0o700); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			alone(t)
			for _, standing := range []bool{false, true} {
				k := sandboxKeyring(t, sandbox.Options{})
				if standing {
					k.mustApply(t)
					k.clock.advance(90 * day)
				}
				before, err := k.status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if name == "a folder in the file's place" && !standing {
					if err := os.WriteFile(k.sink()+".env", nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				breakIt(t, k)
				o := k.apply()
				if o.failure() == nil {
					t.Error("the run succeeded")
				}
				if slices.Contains(o.calls, "iam:CreateAccessKey") {
					t.Error("a key was made")
				}
				after, err := k.status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before, after, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("the keys have changed (-before +after):\n%s", diff)
				}
			}
		})
	}
}

// Where nobody runs it for months, a key is due again before its predecessor
// has gone: the one goes and the next comes, in as many runs as it takes.
func TestRotationAfterALongTime(t *testing.T) {
	alone(t)
	k := sandboxKeyring(t, sandbox.Options{})
	k.mustApply(t)
	k.watch(t)
	k.clock.advance(90 * day)
	k.mustApply(t)
	two := k.currentKey(t)

	k.clock.advance(100 * day)
	note := two + " is due for rotation (older than 90d), which waits for"
	if got := strings.Join(k.mustApply(t).result(t, keyAddress).Notes, "\n"); !strings.Contains(got, note) {
		t.Errorf("the notes do not say %q: %s", note, got)
	}
	k.mustBeInSync(t)
	k.clock.advance(day)
	k.mustApply(t)
	three := k.currentKey(t)
	if three == two {
		t.Fatalf("%s has no successor", two)
	}
	k.mustHold(t, three, two)
	k.mustBeInSync(t)
}

// A shared sink that loses the key while its predecessor still retires is an
// error for as long as there is no room, and mended once there is.
func TestKeyGoneWhileRetiring(t *testing.T) {
	alone(t)
	k := sandboxKeyring(t, sandbox.Options{})
	k.mustApply(t)
	k.clock.advance(90 * day)
	k.mustApply(t)
	two := k.currentKey(t)
	k.github.Remove(keyScope, "AWS_ACCESS_KEY_ID")
	for _, pause := range []time.Duration{time.Hour, day, time.Hour} {
		k.clock.advance(pause)
		if err := k.apply().failure(); err == nil || !strings.Contains(err.Error(), two+" needs a successor (not in GitHub acme/churn (environment production)") {
			t.Errorf("after %s: %v", pause, err)
		}
	}
	k.clock.advance(day)
	k.mustApply(t)
	k.mustHold(t, k.currentKey(t), two)
	k.mustBeInSync(t)
}

// A secret that somebody has made already is taken, and carries the stack's
// tags from then on.
func TestSecretThatExistsIsTagged(t *testing.T) {
	k := newKeyring(t)
	done(t)(k.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(keySecret), SecretString: aws.String("{}")}))
	k.mustApply(t)
	out, err := k.secrets.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String(keySecret)})
	done(t)(out, err)
	tags := map[string]string{}
	for _, tag := range out.Tags {
		tags[*tag.Key] = *tag.Value
	}
	if tags["Team"] != "data" || tags[reconcile.Mark] != "test/test" {
		t.Errorf("the secret's tags are %v", tags)
	}
	k.mustBeInSync(t)
}
