package stack_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
	"github.com/churn-reconcile/churn-reconcile/reconcile/stack"
	"github.com/churn-reconcile/churn-reconcile/reconcile/watch"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

const (
	// soakVar is how many rounds the soak makes; a few without it. 10000 take
	// some minutes.
	soakVar = "CHURN_TEST_SOAK"
	// soakSeedVar repeats a soak that has failed.
	soakSeedVar = "CHURN_TEST_SOAK_SEED"
	// childWatchVar makes the child go on in rounds until it is told to end.
	childWatchVar = "CHURN_TEST_CHILD_WATCH"
)

// watching goes on in rounds over a spec until stop is closed, almost without a
// pause between them.
func (a *account) watching(path string, provider aws.CredentialsProvider, stop <-chan struct{}, ended func(watch.Ended)) {
	pause := func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	session := stack.NewSession(stack.Options{
		AWS: awsx.Options{EndpointURL: a.url, Credentials: provider, Backoff: noDelay}, Pause: pause, Now: a.clock.Now,
	})
	round := func(file *spec.File) watch.Round {
		return func(ctx context.Context, mode watch.Mode, stop <-chan struct{}) (*reconcile.Report, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			s, err := session.Open(ctx, file, stack.Look{})
			if err != nil {
				return nil, err
			}
			run := reconcile.Look(ctx, s.Resources, reconcile.Options{Stop: stop, Pause: pause})
			if err := errors.Join(s.Verify(), s.CheckAbsence(run)); err != nil {
				return nil, err
			}
			if mode == watch.Correct {
				run.Apply(ctx)
			}
			r := &reconcile.Report{Results: run.Results()}
			select {
			case <-stop:
				r.Interrupted = true
			default:
			}
			return r, nil
		}
	}
	load := func() (watch.Spec, error) {
		file, err := spec.Load(path, spec.Options{})
		if err != nil {
			return watch.Spec{}, err
		}
		return watch.Spec{Name: "soak", Round: round(file)}, file.Check()
	}
	watch.New([]watch.Stack{{Source: path, Load: load}}, watch.Options{Every: time.Millisecond, Observe: ended}).Run(context.Background(), stop)
}

func (a *account) watchAsChild(path string) int {
	signals, stop := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		close(stop)
	}()
	a.watching(path, credentials.NewStaticCredentialsProvider("operator", "operator", ""), stop, func(e watch.Ended) {
		fmt.Println(e.Outcome, strings.ReplaceAll(fmt.Sprint(e.Err), "\n", " "))
	})
	return 0
}

// life starts a process that watches. Each of its rounds is a line, until it has
// ended.
func (a *account) life(t *testing.T, path string) (*exec.Cmd, <-chan string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+path, childURLVar+"="+a.url, childTimeVar+"="+a.clock.Now().Format(time.RFC3339), childWatchVar+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	rounds := make(chan string)
	go func() {
		defer close(rounds)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			rounds <- lines.Text()
		}
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}()
	return cmd, rounds
}

// hands change one thing of the reference stack that a round has to set right.
func (a *account) hands(t *testing.T, rng *rand.Rand) {
	t.Helper()
	ctx := t.Context()
	var err error
	switch rng.IntN(6) {
	case 0:
		_, err = a.s3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
			Bucket: aws.String("churn-prediction-data-asamane"), VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusSuspended},
		})
	case 1:
		_, err = a.logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("/ecs/churn-prediction"), RetentionInDays: aws.Int32(30)})
	case 2:
		_, err = a.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("ml-engineer"), PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")})
	case 3:
		_, err = a.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: aws.String("ml-engineer"), PolicyArn: aws.String("arn:aws:iam::" + accountID + ":policy/ml-engineer-s3-policy")})
	case 4:
		_, err = a.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{
			RoleName: aws.String("ecsTaskExecutionRole"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`),
		})
	case 5:
		_, err = a.logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String("/ecs/churn-prediction")})
	}
	// What is not there yet, or no more, is changed by nobody.
	if code := awsx.Code(err); err != nil && code != "NoSuchBucket" && code != "ResourceNotFoundException" && code != "NoSuchEntity" {
		t.Errorf("hands: %v", err)
	}
}

// A watch over the reference stack, with drift by other hands, calls that fail,
// and processes that are killed. Once it is left alone it ends in sync, with one
// key that was delivered, one revision, and nothing left lying about.
func TestSoak(t *testing.T) {
	alone(t)
	total := 60
	if text := os.Getenv(soakVar); text != "" {
		var err error
		if total, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(soakSeedVar); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", soakSeedVar, seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	a := sandboxAccount(t, sandbox.Options{})
	path := a.example(t, "dev.yaml")
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 1))
	fails := func(sandbox.Call, sandbox.Phase) sandbox.Fault {
		mu.Lock()
		defer mu.Unlock()
		if dice.IntN(400) > 0 {
			return sandbox.None
		}
		return []sandbox.Fault{sandbox.Throttle, sandbox.InternalError, sandbox.Cut, sandbox.HalfAnswer, sandbox.Denied}[dice.IntN(5)]
	}
	a.setFault(fails)

	rounds, kills := 0, 0
	outcomes := map[string]int{}
	for rounds < total {
		cmd, lines := a.life(t, path)
		killed := rng.IntN(3) > 0
		for n := 1 + rng.IntN(max(total/6, 1)); n > 0; n-- {
			line, ok := <-lines
			if !ok {
				t.Fatal("the process has ended by itself")
			}
			outcome, _, _ := strings.Cut(line, " ")
			outcomes[outcome]++
			rounds++
			if rng.IntN(4) == 0 {
				a.setFault(nil)
				a.hands(t, rng)
				a.setFault(fails)
			}
		}
		if killed {
			kills++
			// In the midst of a round.
			time.Sleep(time.Duration(rng.IntN(30)) * time.Millisecond)
			_ = cmd.Process.Kill()
		} else {
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
		for line := range lines {
			outcomes[strings.Fields(line)[0]]++
		}
		if !killed && cmd.ProcessState.ExitCode() != 0 {
			t.Fatalf("SIGTERM ends it with %s", cmd.ProcessState)
		}
	}
	a.setFault(nil)
	t.Logf("%d rounds (%v), %d kills", rounds, outcomes, kills)

	cmd, lines := a.life(t, path)
	for range 10 {
		if line := <-lines; strings.HasPrefix(line, "in_sync") {
			break
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	for range lines {
	}
	a.mustBeInSync(t, path)
	keys, err := a.iam.ListAccessKeys(t.Context(), &iam.ListAccessKeysInput{UserName: aws.String("ml-engineer")})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(a.sink())
	if err != nil {
		t.Fatal(err)
	}
	if len(keys.AccessKeyMetadata) != 1 || !strings.Contains(string(text), aws.ToString(keys.AccessKeyMetadata[0].AccessKeyId)) {
		t.Errorf("%d keys, and the delivered one may be none of them", len(keys.AccessKeyMetadata))
	}
	revisions, err := a.ecs.ListTaskDefinitions(t.Context(), &ecs.ListTaskDefinitionsInput{FamilyPrefix: aws.String("churn-prediction-task")})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(revisions.TaskDefinitionArns); n != 1 {
		t.Errorf("%d revisions", n)
	}
	files, err := os.ReadDir(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := f.Name(); !strings.HasSuffix(name, ".yaml") && !strings.HasPrefix(name, "credentials") {
			t.Errorf("%s is left", name)
		}
	}
	t.Logf("files: %v", files)
}

// expiring are credentials that last for a few rounds.
type expiring struct{ renewed int }

func (e *expiring) Retrieve(context.Context) (aws.Credentials, error) {
	e.renewed++
	return aws.Credentials{AccessKeyID: "operator", SecretAccessKey: "operator", CanExpire: true, Expires: time.Now().Add(20 * time.Millisecond)}, nil
}

// A process that goes on and on holds no more after many rounds than after a
// few, and renews its credentials.
func TestWatchLeavesNothing(t *testing.T) {
	a := sandboxAccount(t, sandbox.Options{})
	path := a.example(t, "dev.yaml")
	provider := &expiring{}
	stop := make(chan struct{})
	few, many := 5, 40
	if text := os.Getenv(soakVar); text != "" {
		many, _ = strconv.Atoi(text)
	}
	n := 0
	var early, late, earlyFiles, lateFiles int
	open := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return 0
		}
		return len(files)
	}
	a.watching(path, aws.NewCredentialsCache(provider), stop, func(e watch.Ended) {
		n++
		if e.Outcome != watch.InSync && n > 1 {
			t.Errorf("round %d: %s %v", n, e.Outcome, e.Err)
		}
		switch n {
		case few:
			early, earlyFiles = runtime.NumGoroutine(), open()
		case many:
			late, lateFiles = runtime.NumGoroutine(), open()
			close(stop)
		}
	})
	t.Logf("%d goroutines and %d files after %d rounds, %d and %d after %d; credentials renewed %d times", early, earlyFiles, few, late, lateFiles, many, provider.renewed)
	if late > early+10 || lateFiles > earlyFiles+10 {
		t.Error("something is left by each round")
	}
	if provider.renewed < 2 {
		t.Error("the credentials were not renewed")
	}
}
