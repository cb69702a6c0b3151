package stack_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
)

// causes are a result's lines with whose change each is.
func causes(r reconcile.Result) []string {
	var lines []string
	for _, d := range r.Diffs {
		lines = append(lines, strings.TrimSpace(d.Path+" "+string(d.Cause)))
	}
	return lines
}

// roleTags are the tags of a role.
func (a *account) roleTags(t testing.TB, name string) map[string]string {
	t.Helper()
	out, err := a.iam.GetRole(t.Context(), &iam.GetRoleInput{RoleName: &name})
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{}
	for _, tag := range out.Role.Tags {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return tags
}

func roleSpec(description, session, owner, policies string) string {
	return fmt.Sprintf("iam: {roles: [{name: r, description: %s, maxSessionDuration: %s, tags: {Owner: %s, Team: ml}, assumeRolePolicy: %s, policies: [%s]}]}",
		description, session, owner, trustECS, policies)
}

const writeARN = "arn:aws:iam::aws:policy/AmazonS3FullAccess"

// The spec changes one thing and somebody another, of one resource.
func TestCause(t *testing.T) {
	alone(t)
	a := newAccount(t)
	path := a.stack(t, roleSpec("one", "3600", "a", readOnlyARN))
	first := a.mustApply(t, path)
	for _, d := range first.result(t, "iam.role/r").Diffs {
		if d.Cause != "" {
			t.Errorf("%s of what is created is the change of %q", d.Path, d.Cause)
		}
	}
	a.mustBeInSync(t, path)

	ctx := t.Context()
	done(t)(a.iam.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: aws.String("r"), Description: aws.String("by hand"), MaxSessionDuration: aws.Int32(7200)}))
	done(t)(a.iam.TagRole(ctx, &iam.TagRoleInput{RoleName: aws.String("r"), Tags: []iamtypes.Tag{
		{Key: aws.String("Team"), Value: aws.String("hand")}, {Key: aws.String("Extra"), Value: aws.String("hand")},
	}}))
	done(t)(a.iam.UntagRole(ctx, &iam.UntagRoleInput{RoleName: aws.String("r"), TagKeys: []string{reconcile.Mark}}))
	done(t)(a.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("r"), PolicyArn: aws.String(writeARN)}))

	// description: both; maxSessionDuration: somebody; the tag Owner: the spec.
	path = a.stack(t, roleSpec("two", "3600", "b", ""))
	o := a.look(path)
	if d := cmp.Diff([]string{
		"description spec+drift", "maxSessionDuration drift",
		"policies[AmazonS3FullAccess] drift", "policies[ReadOnlyAccess] spec",
		"tags.Owner spec", "tags.Team drift", "tags." + reconcile.Mark + " drift", "tags.Extra drift",
	}, causes(o.result(t, "iam.role/r"))); d != "" {
		t.Errorf("causes (-want +got):\n%s", d)
	}
	if n := len(a.mustApply(t, path).result(t, "iam.role/r").Calls); n != 5 {
		t.Errorf("%d calls", n)
	}
	a.mustBeInSync(t, path)

	// What was applied is known anew, and what is mended costs no further call.
	done(t)(a.iam.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: aws.String("r"), Description: aws.String("again"), MaxSessionDuration: aws.Int32(3600)}))
	r := a.mustApply(t, path).result(t, "iam.role/r")
	if d := cmp.Diff([]string{"description drift"}, causes(r)); d != "" {
		t.Errorf("causes (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"iam:UpdateRole"}, r.Calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}

	// A field that the spec has not given before is the spec's.
	path = a.stack(t, strings.Replace(roleSpec("two", "3600", "b", ""), "name: r,", "name: r, inlinePolicies: {},", 1))
	done(t)(a.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("r"), PolicyName: aws.String("p"), PolicyDocument: aws.String(otherDocument)}))
	if d := cmp.Diff([]string{"inlinePolicies[p] spec"}, causes(a.look(path).result(t, "iam.role/r"))); d != "" {
		t.Errorf("causes (-want +got):\n%s", d)
	}
}

// The tags' form is what every service takes.
var tagValue = regexp.MustCompile(`^1[\pL\pN _.:/=+@-]{0,255}$`)

// What carries the mark and no record of what was applied is in sync, and gets
// the record with the next write.
func TestCauseOfAFirstRelease(t *testing.T) {
	alone(t)
	a := newAccount(t)
	path := a.stack(t, roleSpec("one", "3600", "a", ""))
	a.mustApply(t, path)
	if tag := a.roleTags(t, "r")[reconcile.Applied]; !tagValue.MatchString(tag) {
		t.Errorf("the tag is %q", tag)
	}
	for _, value := range []string{"", "2of a later version", "1bad"} {
		if value == "" {
			done(t)(a.iam.UntagRole(t.Context(), &iam.UntagRoleInput{RoleName: aws.String("r"), TagKeys: []string{reconcile.Applied}}))
		} else {
			done(t)(a.iam.TagRole(t.Context(), &iam.TagRoleInput{RoleName: aws.String("r"), Tags: []iamtypes.Tag{{Key: aws.String(reconcile.Applied), Value: &value}}}))
		}
		a.mustBeInSync(t, path)

		changed := a.stack(t, roleSpec("two", "3600", "a", ""))
		r := a.mustApply(t, changed).result(t, "iam.role/r")
		if d := cmp.Diff([]string{"description"}, causes(r)); d != "" {
			t.Errorf("%q: causes (-want +got):\n%s", value, d)
		}
		if d := cmp.Diff([]string{"iam:UpdateRole", "iam:TagRole"}, r.Calls); d != "" {
			t.Errorf("%q: calls (-want +got):\n%s", value, d)
		}
		a.mustBeInSync(t, changed)
		r = a.mustApply(t, a.stack(t, roleSpec("one", "3600", "a", ""))).result(t, "iam.role/r")
		if d := cmp.Diff([]string{"description spec"}, causes(r)); d != "" {
			t.Errorf("%q: causes (-want +got):\n%s", value, d)
		}
	}
}

// What somebody else has made is adopted, and nobody knows what was applied.
func TestCauseOfAnAdoption(t *testing.T) {
	alone(t)
	a := newAccount(t)
	done(t)(a.logs.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/g")}))
	path := a.stack(t, `logs: {logGroups: [{name: /g, retentionInDays: 7}]}`)
	r := a.mustApply(t, path).result(t, "logs.log-group//g")
	if d := cmp.Diff([]string{"retentionInDays", "tags." + reconcile.Mark}, causes(r)); d != "" {
		t.Errorf("causes (-want +got):\n%s", d)
	}
	a.mustBeInSync(t, path)
	done(t)(a.logs.DeleteRetentionPolicy(t.Context(), &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: aws.String("/g")}))
	r = a.mustApply(t, path).result(t, "logs.log-group//g")
	if d := cmp.Diff([]string{"retentionInDays drift"}, causes(r)); d != "" {
		t.Errorf("causes (-want +got):\n%s", d)
	}
}

// A revision takes the record along, and one that somebody else registers with
// the tags of the last is told apart by container.
func TestCauseOfARevision(t *testing.T) {
	alone(t)
	a := newAccount(t)
	task := func(image, cpu string) string {
		return a.stack(t, fmt.Sprintf(`ecs: {taskDefinitions: [{family: f, networkMode: awsvpc, cpu: "%s", memory: "1024", containerDefinitions: [{name: app, image: "%s", essential: true}]}]}`, cpu, image))
	}
	path := task("repo:1", "512")
	a.mustApply(t, path)
	out, err := a.ecs.DescribeTaskDefinition(t.Context(), &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("f"), Include: []ecstypes.TaskDefinitionField{"TAGS"}})
	if err != nil {
		t.Fatal(err)
	}
	is := out.TaskDefinition
	is.ContainerDefinitions[0].Image = aws.String("repo:2")
	done(t)(a.ecs.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: is.Family, NetworkMode: is.NetworkMode, Cpu: is.Cpu, Memory: is.Memory, ContainerDefinitions: is.ContainerDefinitions, Tags: out.Tags,
	}))
	path = task("repo:1", "256")
	r := a.mustApply(t, path).result(t, "ecs.task-definition/f")
	if d := cmp.Diff([]string{"containerDefinitions[app].image drift", "cpu spec"}, causes(r)); d != "" {
		t.Errorf("causes (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"ecs:RegisterTaskDefinition"}, r.Calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
	a.mustBeInSync(t, path)
}

// The record gives way where a resource has no room for it.
func TestNoRoomForTheRecord(t *testing.T) {
	alone(t)
	a := newAccount(t)
	bucketOf := func(n int, versioning string) string {
		var tags []string
		for i := range n {
			tags = append(tags, fmt.Sprintf("k%02d: v", i))
		}
		return a.stack(t, fmt.Sprintf("s3: {buckets: [{name: %s, versioning: %s, tags: {%s}}]}", bucket, versioning, strings.Join(tags, ", ")))
	}
	carried := func() int {
		out, err := a.s3.GetBucketTagging(t.Context(), &s3.GetBucketTaggingInput{Bucket: aws.String(bucket)})
		if err != nil {
			t.Fatal(err)
		}
		return len(out.TagSet)
	}
	path := bucketOf(49, "Enabled")
	a.mustApply(t, path)
	if n := carried(); n != 50 {
		t.Errorf("%d tags, want 50", n)
	}
	a.mustApply(t, bucketOf(49, "Suspended"))
	path = bucketOf(40, "Suspended")
	a.mustApply(t, path)
	if n := carried(); n != 42 {
		t.Errorf("%d tags, want 42", n)
	}
	a.mustBeInSync(t, path)
}
