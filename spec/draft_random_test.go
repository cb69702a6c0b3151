package spec

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

var (
	drafts    = flag.Int("drafts", 60, "how many random drafts are written and loaded")
	draftSeed = flag.Uint64("draft-seed", 0, "the seed of one draft to do again")
)

// TestDraftRandom: random resources that refer to one another at random, in
// circles too, come back as they are.
func TestDraftRandom(t *testing.T) {
	if *draftSeed != 0 {
		meant(t, randomDraft(*draftSeed))
		return
	}
	for seed := range uint64(*drafts) {
		if meant(t, randomDraft(seed+1)); t.Failed() {
			t.Fatalf("do it again with -draft-seed=%d", seed+1)
		}
	}
}

// A drafter makes up resources.
type drafter struct {
	*rand.Rand
	draft Draft
	arns  []string // of what there is to refer to
}

func (r *drafter) coin() bool { return r.IntN(2) == 0 }

func pick[T any](r *drafter, from ...T) T { return from[r.IntN(len(from))] }

// some are a few of them, in their order.
func some[T any](r *drafter, from []T) []T {
	var picked []T
	for _, v := range from {
		if r.IntN(3) == 0 {
			picked = append(picked, v)
		}
	}
	return picked
}

func randomDraft(seed uint64) Draft {
	r := &drafter{Rand: rand.New(rand.NewPCG(seed, 1))}
	r.draft = Draft{Project: "p", Environment: "e", Region: "eu-north-1", Account: "123456789012", Partition: "aws", Comments: map[ID][]string{}}
	in := r.draft.identity()
	names := func(kind Kind, path string, most int) []string {
		var all []string
		for i := range r.IntN(most + 1) {
			name := fmt.Sprintf("%s%d", pick(r, "data", "data-data", "x", "no", "1e5"), i) // one begins with another
			if kind == Bucket || kind == Repository {
				name = "some-" + name
			}
			all = append(all, name)
			r.arns = append(r.arns, kind.ARN(name, path, in))
		}
		return all
	}
	path := pick(r, "", "/team/")
	buckets, groups, repositories := names(Bucket, "", 3), names(LogGroup, "", 2), names(Repository, "", 2)
	policies, roles, members, users, clusters := names(Policy, path, 3), names(Role, path, 3), names(Group, path, 2), names(User, path, 2), names(Cluster, "", 2)
	arnsOf := func(kind Kind, names []string) []string {
		var arns []string
		for _, name := range some(r, names) {
			arns = append(arns, kind.ARN(name, path, in))
		}
		return arns
	}

	for _, name := range buckets {
		b := S3Bucket{Meta: r.meta(), Name: name, Versioning: pick(r, "", "Enabled", "Suspended"), ForceDestroy: r.coin()}
		if r.coin() {
			b.Policy = Document(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":[%s]},"Action":"s3:*","Resource":["arn:aws:s3:::%s/*"]}]}`,
				quoted(append(arnsOf(Role, roles), "arn:aws:iam::123456789012:root")), name))
		}
		if r.coin() {
			b.PublicAccessBlock = &S3PublicAccessBlock{BlockPublicAcls: r.coin(), RestrictPublicBuckets: r.coin()}
		}
		if r.coin() {
			b.LifecycleRules = []s3types.LifecycleRule{{ID: aws.String("no"), Status: "Enabled", Expiration: &s3types.LifecycleExpiration{Days: aws.Int32(30)}, Filter: nil}}
		}
		r.add(b)
	}
	for _, name := range groups {
		r.add(LogsLogGroup{Meta: r.meta(), Name: name, RetentionInDays: pick(r, nil, aws.Int32(0), aws.Int32(7)), KMSKeyID: pick(r, nil, aws.String(""))})
	}
	for _, name := range repositories {
		repository := ECRRepository{Meta: r.meta(), Name: name, ImageTagMutability: pick(r, "", "MUTABLE", "IMMUTABLE"), ScanOnPush: pick(r, nil, aws.Bool(false), aws.Bool(true))}
		if r.coin() {
			repository.LifecyclePolicy = Document(`{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":5},"action":{"type":"expire"}}]}`)
		}
		r.add(repository)
	}
	for _, name := range policies {
		r.add(IAMPolicy{Meta: r.meta(), Name: name, Path: path, Description: pick(r, nil, aws.String(""), aws.String("no: #1")), Document: r.document()})
	}
	for _, name := range roles {
		r.add(IAMRole{
			Meta: r.meta(), Name: name, Path: path, MaxSessionDuration: pick(r, nil, aws.Int32(7200)), Policies: arnsOf(Policy, policies), InlinePolicies: r.inline(),
			AssumeRolePolicy: Document(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":[%s]},"Action":"sts:AssumeRole"}]}`,
				quoted(append(append(arnsOf(Role, roles), arnsOf(User, users)...), "arn:aws:iam::123456789012:root")))),
		})
	}
	for _, name := range members {
		r.add(IAMGroup{Name: name, Path: path, Policies: arnsOf(Policy, policies), InlinePolicies: r.inline()})
	}
	for _, name := range users {
		u := IAMUser{Meta: r.meta(), Name: name, Path: path, Policies: arnsOf(Policy, policies), Groups: some(r, members), InlinePolicies: r.inline()}
		if boundary := arnsOf(Policy, policies); len(boundary) > 0 {
			u.PermissionsBoundary = &boundary[0]
		}
		r.add(u)
	}
	for _, name := range clusters {
		r.add(ECSCluster{Meta: r.meta(), Name: name, CapacityProviders: pick(r, nil, []string{}, []string{"FARGATE"})})
	}
	for i := range r.IntN(3) {
		d := ECSTaskDefinition{
			Meta: r.meta(), Family: fmt.Sprintf("task-%d", i), NetworkMode: pick(r, "", "awsvpc"), CPU: pick(r, "", "512"),
			ContainerDefinitions: []ecstypes.ContainerDefinition{{
				Name: aws.String("c"), Image: aws.String(r.image(repositories)), Essential: pick(r, nil, aws.Bool(true)),
				Environment: []ecstypes.KeyValuePair{{Name: aws.String("no"), Value: aws.String(r.text())}, {Name: aws.String("off"), Value: aws.String(r.text())}},
			}},
		}
		if arns := arnsOf(Role, roles); len(arns) > 0 {
			d.TaskRole, d.ExecutionRole = &arns[0], pick(r, nil, &arns[0], aws.String(""))
		}
		if len(groups) > 0 {
			d.ContainerDefinitions[0].LogConfiguration = &ecstypes.LogConfiguration{LogDriver: "awslogs", Options: map[string]string{
				"awslogs-group": pick(r, append(groups, "elsewhere")...), "awslogs-region": pick(r, "eu-north-1", "us-east-1"),
			}}
		}
		r.add(d)
	}
	r.Shuffle(len(r.draft.Resources), func(i, j int) {
		all := r.draft.Resources
		all[i], all[j] = all[j], all[i]
	})
	return r.draft
}

func (r *drafter) add(res Resource) { r.draft.Resources = append(r.draft.Resources, res) }

func (r *drafter) meta() Meta {
	tags := map[string]string{}
	for _, tag := range some(r, []string{"Project=p", "Environment=e", "Name=" + r.tagText(), "no=yes", "Team="}) {
		key, value, _ := strings.Cut(tag, "=")
		tags[key] = value
	}
	if len(tags) == 0 {
		return Meta{}
	}
	return Meta{Tags: tags}
}

func (r *drafter) tagText() string {
	return pick(r, "some-data0", "no", "7", "a: b", " x ", "2026-11-25")
}

// text is any text, or an ARN with something behind it.
func (r *drafter) text() string {
	if len(r.arns) > 0 && r.coin() {
		return pick(r, r.arns...) + pick(r, "", "/*", ":*", "-2", "/${x}")
	}
	return hostile[r.IntN(len(hostile))]
}

func (r *drafter) image(repositories []string) string {
	name := "elsewhere"
	if len(repositories) > 0 {
		name = pick(r, repositories...)
	}
	return "123456789012.dkr.ecr.eu-north-1.amazonaws.com/" + name + pick(r, "", ":v1", "@sha256:"+strings.Repeat("a", 64))
}

func (r *drafter) document() Document {
	resources := some(r, append(r.arns, "arn:aws:s3:::elsewhere/${aws:username}"))
	for i := range resources {
		resources[i] += pick(r, "", "/*")
	}
	return Document(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"No","Effect":"Allow","Action":["s3:*","iam:PassRole"],"Resource":[%s]}]}`, quoted(append(resources, "arn:aws:s3:::x"))))
}

func (r *drafter) inline() map[string]Document {
	if r.coin() {
		return nil
	}
	return map[string]Document{"no": r.document()}
}

func quoted(texts []string) string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = fmt.Sprintf("%q", text)
	}
	return strings.Join(all, ",")
}
