package stack_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/sandbox"
)

// historiesVar is how many histories of fresh seeds TestHistories makes, in
// place of a few that are always the same.
const historiesVar = "CHURN_TEST_HISTORIES"

const (
	ours       = "test/test"
	theirs     = "test/prod"
	historyURL = "token.actions.githubusercontent.com"
)

// Whatever has become of a stack and its account, deleting takes away what
// carries the stack's mark, all of it, and nothing else.
func TestHistories(t *testing.T) {
	alone(t)
	seeds := make([]uint64, 16)
	for i := range seeds {
		seeds[i] = uint64(i + 1)
	}
	if v := os.Getenv(historiesVar); v != "" {
		histories, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		seeds = make([]uint64, histories)
		for i := range seeds {
			seeds[i] = rand.Uint64()
		}
	}
	if *stackSeed != 0 {
		seeds = []uint64{*stackSeed}
	}
	for _, seed := range seeds {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			alone(t)
			h := &history{T: t, account: sandboxAccount(t, sandbox.Options{}), Rand: rand.New(rand.NewPCG(seed, 0)), seed: seed, declared: map[string]*wish{}, foreignKeys: map[string]bool{}}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("replay with -run TestHistories -seed %d:\n%s", seed, strings.Join(h.said, "\n"))
				}
			})
			h.run()
		})
	}
}

// A wish is what the spec says of a resource.
type wish struct {
	force   bool
	protect bool
}

// A history is what becomes of a stack and its account.
type history struct {
	*testing.T
	*account
	*rand.Rand
	seed        uint64
	said        []string
	declared    map[string]*wish // by address
	foreignKeys map[string]bool  // of access keys that hands have made
}

func (h *history) say(format string, args ...any) {
	h.said = append(h.said, fmt.Sprintf(format, args...))
}

// historyNames are the addresses that a spec may have.
var historyNames = []string{
	"s3.bucket/history-data-0", "s3.bucket/history-data-1", "logs.log-group//history/0", "logs.log-group//history/1",
	"ecr.repository/history-0", "ecr.repository/history-1", "iam.policy/history-0", "iam.policy/history-1", "iam.policy/history-2",
	"iam.role/history-0", "iam.role/history-1", "iam.user/history-0", "iam.user/history-1", "iam.oidc-provider/" + historyURL,
	"ecs.cluster/history-0", "ecs.task-definition/history-0", "ecs.task-definition/history-1",
}

func nameOf(address string) string {
	_, name, _ := strings.Cut(address, "/")
	return name
}

// spec writes the spec of what is declared, and answers its path.
func (h *history) spec() string {
	var b strings.Builder
	of := func(section, list, kind string, each func(name string, w *wish) string) {
		var items []string
		for _, address := range slices.Sorted(maps.Keys(h.declared)) {
			if w := h.declared[address]; strings.HasPrefix(address, kind+"/") {
				item := each(nameOf(address), w)
				items = append(items, "    - {"+item+"}\n")
			}
		}
		if len(items) > 0 {
			if section != "" && !strings.Contains(b.String(), section+":\n") {
				b.WriteString(section + ":\n")
			}
			b.WriteString("  " + list + ":\n" + strings.Join(items, ""))
		}
	}
	policies := func() string {
		var names []string
		for _, address := range slices.Sorted(maps.Keys(h.declared)) {
			if strings.HasPrefix(address, "iam.policy/") {
				names = append(names, nameOf(address))
			}
		}
		return "policies: [" + strings.Join(names, ", ") + "]"
	}
	of("s3", "buckets", "s3.bucket", func(name string, w *wish) string { return fmt.Sprintf("name: %s, forceDestroy: %v", name, w.force) })
	of("logs", "logGroups", "logs.log-group", func(name string, _ *wish) string { return "name: " + name + ", retentionInDays: 7" })
	of("ecr", "repositories", "ecr.repository", func(name string, w *wish) string { return fmt.Sprintf("name: %s, forceDelete: %v", name, w.force) })
	of("iam", "policies", "iam.policy", func(name string, _ *wish) string {
		return `name: ` + name + `, document: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:GetObject", Resource: "*"}]}`
	})
	of("iam", "roles", "iam.role", func(name string, _ *wish) string {
		return "name: " + name + ", " + policies() + `, assumeRolePolicy: {Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {Service: ecs-tasks.amazonaws.com}, Action: "sts:AssumeRole"}]}`
	})
	of("iam", "users", "iam.user", func(name string, _ *wish) string {
		return "name: " + name + ", " + policies() + ", accessKey: {deliver: [{file: {path: SINK-" + name + "}}]}"
	})
	of("iam", "oidcProviders", "iam.oidc-provider", func(name string, _ *wish) string {
		return "url: https://" + name + ", clientIDList: [sts.amazonaws.com]"
	})
	of("ecs", "clusters", "ecs.cluster", func(name string, _ *wish) string { return "name: " + name })
	of("ecs", "taskDefinitions", "ecs.task-definition", func(name string, _ *wish) string {
		return "family: " + name + `, networkMode: awsvpc, requiresCompatibilities: [FARGATE], cpu: "256", memory: "512", containerDefinitions: [{name: c, image: "i:1"}]`
	})
	return h.stack(h.T, b.String())
}

// A thing is one resource as the account has it; of a family, one revision.
type thing struct {
	tags  map[string]string
	text  string
	holds string // what of others is in it, or needs it; "" nothing
}

// things are all resources of the account by address.
func (h *history) things() map[string]thing {
	raw, err := h.sandbox.State()
	if err != nil {
		h.Fatal(err)
	}
	var st struct {
		S3   struct{ Buckets map[string]json.RawMessage }
		Logs struct {
			Groups map[string]map[string]json.RawMessage
		}
		ECR struct {
			Repositories map[string]map[string]json.RawMessage
		}
		IAM struct {
			Users, Roles, Groups, Policies, Providers map[string]json.RawMessage
		}
		ECS struct {
			Clusters map[string]map[string]json.RawMessage
			Families map[string]map[string][]json.RawMessage
		}
	}
	if err := json.Unmarshal(raw, &st); err != nil {
		h.Fatal(err)
	}
	all := map[string]thing{}
	add := func(kind string, list map[string]json.RawMessage) {
		for name, text := range list {
			all[kind+"/"+name] = h.thing(text)
		}
	}
	add("s3.bucket", st.S3.Buckets)
	add("logs.log-group", st.Logs.Groups[region])
	add("ecr.repository", st.ECR.Repositories[region])
	add("ecs.cluster", st.ECS.Clusters[region])
	add("iam.user", byName(h.T, st.IAM.Users))
	add("iam.role", byName(h.T, st.IAM.Roles))
	add("iam.group", byName(h.T, st.IAM.Groups))
	add("iam.policy", byName(h.T, st.IAM.Policies))
	for _, text := range st.IAM.Providers {
		all["iam.oidc-provider/"+historyURL] = h.thing(text)
	}
	for family, revisions := range st.ECS.Families[region] {
		for i, text := range revisions {
			all[fmt.Sprintf("ecs.task-definition/%s:%d", family, i+1)] = h.thing(text)
		}
	}
	for address, x := range all {
		if strings.HasPrefix(address, "ecs.") && (strings.Contains(x.text, `"Status":"INACTIVE"`) && !strings.Contains(address, ":") || strings.Contains(x.text, `"Status":"DELETE_IN_PROGRESS"`)) {
			delete(all, address) // as good as gone
		}
	}
	h.hold(all)
	return all
}

func byName(t *testing.T, list map[string]json.RawMessage) map[string]json.RawMessage {
	named := map[string]json.RawMessage{}
	for _, text := range list {
		var x struct{ Name string }
		if err := json.Unmarshal(text, &x); err != nil {
			t.Fatal(err)
		}
		named[x.Name] = text
	}
	return named
}

func (h *history) thing(text json.RawMessage) thing {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		h.Fatal(err)
	}
	x := thing{text: string(text), tags: map[string]string{}}
	var list []struct{ Key, Value string }
	if json.Unmarshal(fields["Tags"], &list) == nil {
		for _, tag := range list {
			x.tags[tag.Key] = tag.Value
		}
	} else {
		_ = json.Unmarshal(fields["Tags"], &x.tags)
	}
	return x
}

// inactive says that a revision's tags cannot be changed any more.
func inactive(x thing) bool { return strings.Contains(x.text, `"Status":"INACTIVE"`) }

// hold says of each thing what keeps it.
func (h *history) hold(all map[string]thing) {
	set := func(address, why string) {
		if x, ok := all[address]; ok && x.holds == "" {
			x.holds = why
			all[address] = x
		}
	}
	for address, x := range all {
		forced := h.declared[address] != nil && h.declared[address].force
		switch {
		case strings.HasPrefix(address, "s3.bucket/") && (strings.Contains(x.text, `"Objects":[`) || strings.Contains(x.text, `"Uploads":[`)) && !forced:
			set(address, "objects")
		case strings.HasPrefix(address, "ecr.repository/") && strings.Contains(x.text, `"Images":{"`) && !forced:
			set(address, "images")
		case strings.HasPrefix(address, "logs.log-group/") && strings.Contains(x.text, `"Protected":true`):
			set(address, "deletion protection")
		case strings.HasPrefix(address, "ecs.cluster/") && strings.Contains(x.text, `"Instances":["`):
			set(address, "instances")
		case strings.HasPrefix(address, "iam.user/"):
			for id := range h.foreignKeys {
				if strings.Contains(x.text, `"`+id+`"`) {
					set(address, "a foreign key")
				}
			}
			if strings.Contains(x.text, `"Groups":["`) {
				set(address, "a group")
			}
		}
		if v, ok := x.tags[reconcile.Protect]; ok && v != "false" && !inactive(x) {
			set(address, "protection")
		}
		// Who is not the stack's keeps what it has.
		if x.tags[reconcile.Mark] == ours || !strings.HasPrefix(address, "iam.") {
			continue
		}
		for needed := range all {
			if !strings.HasPrefix(needed, "iam.") || strings.HasPrefix(needed, "iam.user/") || strings.HasPrefix(needed, "iam.role/") {
				continue
			}
			if strings.Contains(x.text, ":policy/"+nameOf(needed)+`"`) || strings.Contains(x.text, `:oidc-provider/`+historyURL) && strings.HasPrefix(needed, "iam.oidc-provider/") && address != needed {
				set(needed, "needed by "+address)
			}
		}
	}
}

// An act is something that somebody does by hand to a name that a spec may have.
// What is not there, or is there already, makes it come to nothing.
func (h *history) act(ctx context.Context) error {
	address := h.pick()
	kind, name, _ := strings.Cut(address, "/")
	whose := []string{"", theirs, ours}[h.IntN(3)]
	marks := map[string]string{}
	if whose != "" {
		marks[reconcile.Mark] = whose
	}
	switch h.IntN(7) {
	case 0:
		h.say("make %s of %q", address, whose)
		return h.makeByHand(ctx, kind, name, marks)
	case 1, 2, 3:
		h.say("fill %s", address)
		return h.fill(ctx, kind, name)
	case 4:
		// It changes hands, or somebody protects it.
		if h.IntN(3) == 0 {
			marks = map[string]string{reconcile.Protect: "true"}
		} else if whose == "" {
			marks[reconcile.Mark] = theirs
		}
		h.say("tag %s with %v", address, marks)
		return h.tagByHand(ctx, kind, name, marks)
	case 5:
		h.say("change %s", address)
		return h.change(ctx, kind, name)
	}
	h.say("make things of others")
	return h.foreign(ctx)
}

// pick is a name that a spec may have, more often than not of what is the
// stack's already.
func (h *history) pick() string {
	var there []string
	for address, x := range h.things() {
		address, _, _ = strings.Cut(address, ":")
		if x.tags[reconcile.Mark] == ours && slices.Contains(historyNames, address) {
			there = append(there, address)
		}
	}
	if len(there) == 0 || h.IntN(4) == 0 {
		there = historyNames
	}
	there = slices.Sorted(slices.Values(there))
	return there[h.IntN(len(there))]
}

func (h *history) makeByHand(ctx context.Context, kind, name string, marks map[string]string) error {
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	var err error
	switch kind {
	case "s3.bucket":
		_, err = h.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: region}})
	case "logs.log-group":
		_, err = h.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name})
	case "ecr.repository":
		_, err = h.ecr.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: &name})
	case "iam.policy":
		_, err = h.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`)})
	case "iam.role":
		_, err = h.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trust)})
	case "iam.user":
		_, err = h.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: &name})
	case "iam.oidc-provider":
		_, err = h.iam.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://" + name), ClientIDList: []string{"sts.amazonaws.com"}})
	case "ecs.cluster":
		_, err = h.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: &name})
	case "ecs.task-definition":
		return h.registerByHand(ctx, name, marks)
	}
	if err != nil || len(marks) == 0 {
		return err
	}
	return h.tagByHand(ctx, kind, name, marks)
}

func (h *history) registerByHand(ctx context.Context, family string, marks map[string]string) error {
	in := &ecs.RegisterTaskDefinitionInput{Family: &family, ContainerDefinitions: handContainers}
	for key, value := range marks {
		in.Tags = append(in.Tags, ecsTagOf(key, value))
	}
	_, err := h.ecs.RegisterTaskDefinition(ctx, in)
	return err
}

func (h *history) arn(service, rest string) *string {
	at := region
	if service == "iam" {
		at = ""
	}
	return aws.String(fmt.Sprintf("arn:aws:%s:%s:%s:%s", service, at, accountID, rest))
}

func (h *history) tagByHand(ctx context.Context, kind, name string, tags map[string]string) error {
	var err error
	var list []iamtypes.Tag
	for key, value := range tags {
		list = append(list, iamtypes.Tag{Key: &key, Value: &value})
	}
	switch kind {
	case "s3.bucket":
		out, e := h.s3.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: &name})
		set := []s3types.Tag{}
		if e == nil {
			set = slices.DeleteFunc(out.TagSet, func(t s3types.Tag) bool { _, ok := tags[*t.Key]; return ok })
		}
		for key, value := range tags {
			set = append(set, s3types.Tag{Key: &key, Value: &value})
		}
		_, err = h.s3.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: &name, Tagging: &s3types.Tagging{TagSet: set}})
	case "logs.log-group":
		_, err = h.logs.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: h.arn("logs", "log-group:"+name), Tags: tags})
	case "ecr.repository":
		in := &ecr.TagResourceInput{ResourceArn: h.arn("ecr", "repository/"+name)}
		for key, value := range tags {
			in.Tags = append(in.Tags, ecrTagOf(key, value))
		}
		_, err = h.ecr.TagResource(ctx, in)
	case "iam.policy":
		_, err = h.iam.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: h.arn("iam", "policy/"+name), Tags: list})
	case "iam.role":
		_, err = h.iam.TagRole(ctx, &iam.TagRoleInput{RoleName: &name, Tags: list})
	case "iam.user":
		_, err = h.iam.TagUser(ctx, &iam.TagUserInput{UserName: &name, Tags: list})
	case "iam.oidc-provider":
		_, err = h.iam.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: h.arn("iam", "oidc-provider/"+name), Tags: list})
	case "ecs.cluster", "ecs.task-definition":
		in := &ecs.TagResourceInput{ResourceArn: h.arn("ecs", "cluster/"+name)}
		if kind == "ecs.task-definition" {
			out, e := h.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &name})
			if e != nil {
				return e
			}
			in.ResourceArn = out.TaskDefinition.TaskDefinitionArn
		}
		for key, value := range tags {
			in.Tags = append(in.Tags, ecsTagOf(key, value))
		}
		_, err = h.ecs.TagResource(ctx, in)
	}
	return err
}

// fill puts something of others into a resource.
func (h *history) fill(ctx context.Context, kind, name string) error {
	var err error
	switch kind {
	case "s3.bucket":
		if h.IntN(2) == 0 {
			_, err = h.s3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
				Bucket: &name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
			})
		}
		for range 1 + h.IntN(3) {
			_, e := h.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &name, Key: aws.String("model"), Body: strings.NewReader("weights")})
			err = errors.Join(err, e)
		}
	case "logs.log-group":
		_, err = h.logs.PutLogGroupDeletionProtection(ctx, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{LogGroupIdentifier: &name, DeletionProtectionEnabled: aws.Bool(true)})
	case "ecr.repository":
		_, err = h.ecr.PutImage(ctx, &ecr.PutImageInput{RepositoryName: &name, ImageTag: aws.String("latest"), ImageManifest: aws.String(manifest)})
	case "iam.policy", "iam.role":
		err = h.attachToOther(ctx, name)
	case "iam.user":
		if h.IntN(2) == 0 {
			out, e := h.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
			if e == nil {
				h.foreignKeys[*out.AccessKey.AccessKeyId] = true
			}
			return e
		}
		_, _ = h.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("others")})
		_, err = h.iam.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: aws.String("others"), UserName: &name})
	case "iam.oidc-provider":
		_, err = h.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("deployer-of-others"), AssumeRolePolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + *h.arn("iam", "oidc-provider/"+name) + `"},"Action":"sts:AssumeRoleWithWebIdentity"}]}`)})
	case "ecs.cluster":
		_, err = h.ecs.RegisterContainerInstance(ctx, &ecs.RegisterContainerInstanceInput{Cluster: &name})
	case "ecs.task-definition":
		err = h.registerByHand(ctx, name, nil) // a pipeline's
	}
	return err
}

func (h *history) attachToOther(ctx context.Context, policy string) error {
	_ = h.makeByHand(ctx, "iam.role", "role-of-others", map[string]string{reconcile.Mark: theirs})
	_, err := h.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("role-of-others"), PolicyArn: h.arn("iam", "policy/"+policy)})
	return err
}

// change is drift.
func (h *history) change(ctx context.Context, kind, name string) error {
	var err error
	switch kind {
	case "logs.log-group":
		_, err = h.logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &name, RetentionInDays: aws.Int32(30)})
	case "iam.policy":
		_, err = h.iam.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: h.arn("iam", "policy/"+name), SetAsDefault: h.IntN(2) == 0, PolicyDocument: aws.String(
			fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::%d"}]}`, h.IntN(1000)))})
	case "iam.role":
		_, err = h.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("inline"), PolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`)})
	case "iam.user":
		_, err = h.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &name, PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")})
	case "ecs.task-definition":
		_, err = h.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String(name + ":1")})
	default:
		err = h.tagByHand(ctx, kind, name, map[string]string{"Hand": "1"})
	}
	return err
}

// foreign makes things whose names no spec of the stack has.
func (h *history) foreign(ctx context.Context) error {
	marks := map[string]string{reconcile.Mark: theirs}
	return errors.Join(
		h.makeByHand(ctx, "s3.bucket", "data-of-others", nil), h.fill(ctx, "s3.bucket", "data-of-others"),
		h.makeByHand(ctx, "logs.log-group", "/of/others", marks), h.makeByHand(ctx, "ecr.repository", "of-others", marks),
		h.makeByHand(ctx, "iam.policy", "policy-of-others", marks), h.attachToOther(ctx, "policy-of-others"),
		h.makeByHand(ctx, "iam.user", "user-of-others", nil), h.makeByHand(ctx, "ecs.cluster", "of-others", marks),
		h.makeByHand(ctx, "ecs.task-definition", "of-others", nil),
	)
}

// declare changes the spec: something comes, goes, or is said otherwise.
func (h *history) declare() {
	for range 1 + h.IntN(8) {
		address := historyNames[h.IntN(len(historyNames))]
		if h.declared[address] != nil && h.IntN(2) == 0 {
			delete(h.declared, address)
			continue
		}
		h.declared[address] = &wish{force: h.IntN(2) == 0, protect: h.IntN(8) == 0}
	}
	h.yield()
}

// yield takes out of the spec what is another stack's.
func (h *history) yield() {
	for address, x := range h.things() {
		address, _, _ = strings.Cut(address, ":")
		if owner, ok := x.tags[reconcile.Mark]; ok && owner != ours {
			delete(h.declared, address)
		}
	}
}

// run lets a history come to its end, at which nothing of the stack is left.
func (h *history) run() {
	ctx := h.Context()
	for range 3 {
		h.declare()
	}
	for range 6 + h.IntN(10) {
		switch n := h.IntN(10); {
		case n < 5:
			_ = h.act(ctx) // it may come to nothing
		case n < 7:
			h.declare()
			h.say("apply %v", slices.Sorted(maps.Keys(h.declared)))
			_ = h.apply(h.spec()) // what somebody has done to it may make it fail
		case n < 9:
			h.declare()
			h.judged("prune", prune)
		default:
			h.declare() // and never apply it
			h.judged("destroy", destroy)
		}
	}
	h.judged("prune", prune)
	for range 3 {
		_ = h.act(ctx)
	}
	h.judged("destroy", destroy) // which something often keeps
	h.clear(ctx)
	h.say("clear")
	h.declare()
	h.judged("destroy", destroy)
	for address, x := range h.things() {
		if x.tags[reconcile.Mark] == ours {
			h.Errorf("%s is left: %s", address, x.text)
		}
	}
	if o := h.apply(h.spec(), destroy); o.failure() != nil || len(o.writes()) > 0 {
		h.Errorf("a last destroy: %v, %v; want nothing to do", o.failure(), o.writes())
	}
}

// judged deletes, with trouble on the way at times, and holds what has become of
// the account against what it was before.
func (h *history) judged(name string, how option) {
	h.yield()
	before := h.things()
	path := h.spec()
	trouble := h.IntN(3)
	h.say("%s with trouble %d, declared %v", name, trouble, slices.Sorted(maps.Keys(h.declared)))
	var kept []string
	for address, x := range before {
		declared, _, _ := strings.Cut(address, ":")
		goes := x.tags[reconcile.Mark] == ours && (name == "destroy" || h.declared[declared] == nil)
		if goes && x.holds != "" {
			kept = append(kept, address+": "+x.holds)
		}
	}
	slices.Sort(kept)
	if trouble > 0 {
		h.setFault(h.fault(trouble == 2))
		_ = h.apply(path, how)
		h.setFault(nil)
		h.judge(name, before, h.things(), kept, false)
	}
	o := h.apply(path, how)
	for range 3 { // what was cut off is gone on with
		if o.failure() == nil || len(kept) > 0 {
			break
		}
		o = h.apply(path, how)
	}
	held, isKept := errors.AsType[*reconcile.KeptError](o.err)
	if isKept != (len(kept) > 0) {
		h.Errorf("%s: kept %v (%v), want %v", name, held, o.failure(), kept)
	}
	if !isKept && o.failure() != nil {
		h.Errorf("%s: %v", name, o.failure())
	}
	h.judge(name, before, h.things(), kept, len(kept) == 0)
	if h.Failed() {
		h.Fatalf("after %s", name)
	}
	if len(kept) == 0 {
		if o := h.apply(path, how); o.failure() != nil || len(o.changes()) > 0 {
			h.Fatalf("a second %s: %v, %v; want no changes", name, o.failure(), o.changes())
		}
	}
}

// judge holds two states of the account against each other: what was not the
// stack's is as it was, what is kept is there, and what was to go is gone.
func (h *history) judge(name string, before, after map[string]thing, kept []string, whole bool) {
	for address, x := range before {
		declared, _, _ := strings.Cut(address, ":")
		is, there := after[address]
		mine := x.tags[reconcile.Mark] == ours
		goes := mine && (name == "destroy" || h.declared[declared] == nil)
		switch {
		case !mine && (h.declared[declared] == nil || name == "destroy" || x.tags[reconcile.Mark] != ""):
			if diff := cmp.Diff(x.text, is.text); diff != "" {
				h.Errorf("%s: %s is not the stack's, and is another now (-before +after):\n%s", name, address, diff)
			}
		case !there && !goes:
			h.Errorf("%s: %s is gone, and the spec has it", name, address)
		case !there && len(kept) > 0:
			h.Errorf("%s: %s is gone, though something had to be kept: %v", name, address, kept)
		case there && goes && whole:
			h.Errorf("%s: %s is still there, and nothing keeps it", name, address)
		}
	}
}

// fault is trouble at one call of twelve, by the call's name and number, and
// where the run is killed none gets through from some write on.
func (h *history) fault(kill bool) faulter {
	count, salt := newCounter(), h.Uint64()
	until := int64(1 + h.IntN(12))
	var writes atomic.Int64
	return func(c sandbox.Call, p sandbox.Phase) sandbox.Fault {
		if kill {
			n := writes.Load()
			if c.Mutates && p == sandbox.Before {
				n = writes.Add(1)
			}
			// The last one may have had its effect.
			if n > until || n == until && c.Mutates && (salt%2 == 0 || p == sandbox.After) {
				return sandbox.Cut
			}
			return sandbox.None
		}
		sum := fnv.New64a()
		fmt.Fprintf(sum, "%d %s", salt, count.id(c))
		at := sum.Sum64()
		if t := troubles[at/12%uint64(len(troubles))]; at%12 == 0 && t.phase == p {
			return t.fault
		}
		return sandbox.None
	}
}

// clear takes away by hand whatever keeps the stack's resources.
func (h *history) clear(ctx context.Context) {
	for address, x := range h.things() {
		kind, name, _ := strings.Cut(address, "/")
		if x.tags[reconcile.Mark] != ours {
			continue
		}
		if _, ok := x.tags[reconcile.Protect]; ok && !inactive(x) {
			if kind == "ecs.task-definition" {
				arn := h.arn("ecs", "task-definition/"+name)
				_, err := h.ecs.TagResource(ctx, &ecs.TagResourceInput{ResourceArn: arn, Tags: []ecstypes.Tag{ecsTagOf(reconcile.Protect, "false")}})
				done(h.T)(nil, err)
			} else if err := h.tagByHand(ctx, kind, name, map[string]string{reconcile.Protect: "false"}); err != nil {
				h.Fatal(err)
			}
		}
		switch kind {
		case "s3.bucket":
			out, err := h.s3.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: &name})
			done(h.T)(nil, err)
			for _, v := range out.Versions {
				done(h.T)(h.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &name, Key: v.Key, VersionId: v.VersionId}))
			}
		case "logs.log-group":
			done(h.T)(h.logs.PutLogGroupDeletionProtection(ctx, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{LogGroupIdentifier: &name, DeletionProtectionEnabled: aws.Bool(false)}))
		case "ecr.repository":
			done(h.T)(h.ecr.BatchDeleteImage(ctx, &ecr.BatchDeleteImageInput{RepositoryName: &name, ImageIds: latestImage}))
		case "iam.policy":
			arn := h.arn("iam", "policy/"+name)
			out, err := h.iam.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: arn})
			done(h.T)(nil, err)
			for _, r := range out.PolicyRoles {
				done(h.T)(h.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: r.RoleName, PolicyArn: arn}))
			}
			for _, u := range out.PolicyUsers {
				done(h.T)(h.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: u.UserName, PolicyArn: arn}))
			}
		case "iam.user":
			for id := range h.foreignKeys {
				_, _ = h.iam.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &name, AccessKeyId: &id})
			}
			_, _ = h.iam.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: aws.String("others"), UserName: &name})
		case "iam.oidc-provider":
			_, _ = h.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("deployer-of-others")})
		case "ecs.cluster":
			var c struct{ Instances []string }
			if err := json.Unmarshal([]byte(x.text), &c); err != nil {
				h.Fatal(err)
			}
			for _, id := range c.Instances {
				done(h.T)(h.ecs.DeregisterContainerInstance(ctx, &ecs.DeregisterContainerInstanceInput{Cluster: &name, ContainerInstance: &id}))
			}
		}
	}
}

func ecsTagOf(key, value string) ecstypes.Tag { return ecstypes.Tag{Key: &key, Value: &value} }

func ecrTagOf(key, value string) ecrtypes.Tag { return ecrtypes.Tag{Key: &key, Value: &value} }

var (
	handContainers = []ecstypes.ContainerDefinition{{Name: aws.String("c"), Image: aws.String("i:by-hand"), Memory: aws.Int32(128)}}
	latestImage    = []ecrtypes.ImageIdentifier{{ImageTag: aws.String("latest")}}
)
