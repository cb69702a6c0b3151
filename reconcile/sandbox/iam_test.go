package sandbox

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"
)

const (
	allowAll  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`
	trustECS  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	admin     = "arn:aws:iam::aws:policy/AdministratorAccess"
	ownPrefix = "arn:aws:iam::123456789012:"
)

// iamCalls are calls with the parameters that matter to a test.
type iamCalls struct{ *iam.Client }

func iamTags(kv ...string) []iamtypes.Tag {
	var tags []iamtypes.Tag
	for i := 0; i < len(kv); i += 2 {
		tags = append(tags, iamtypes.Tag{Key: &kv[i], Value: &kv[i+1]})
	}
	return tags
}

func (c iamCalls) createUser(ctx context.Context, name string, tags ...string) error {
	return erase(c.CreateUser(ctx, &iam.CreateUserInput{UserName: &name, Tags: iamTags(tags...)}))
}

func (c iamCalls) createRole(ctx context.Context, name, trust string) error {
	return erase(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust}))
}

func (c iamCalls) createPolicy(ctx context.Context, name, doc string) error {
	return erase(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: &doc}))
}

func (c iamCalls) createVersion(ctx context.Context, name, doc string) error {
	return erase(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: aws.String(ownPrefix + "policy/" + name), PolicyDocument: &doc}))
}

func (c iamCalls) attachUser(ctx context.Context, user, arn string) error {
	return erase(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &user, PolicyArn: &arn}))
}

func (c iamCalls) attachRole(ctx context.Context, role, arn string) error {
	return erase(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role, PolicyArn: &arn}))
}

func (c iamCalls) putUserPolicy(ctx context.Context, user, name, doc string) error {
	return erase(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &user, PolicyName: &name, PolicyDocument: &doc}))
}

func (c iamCalls) tagUser(ctx context.Context, user string, kv ...string) error {
	return erase(c.TagUser(ctx, &iam.TagUserInput{UserName: &user, Tags: iamTags(kv...)}))
}

// serveIAM is an account with user u, role r and policy p.
func serveIAM(t *testing.T) iamCalls {
	t.Helper()
	c := iamCalls{serve(t, Options{}).iam()}
	ctx := t.Context()
	for _, err := range []error{c.createUser(ctx, "u"), c.createRole(ctx, "r", trustECS), c.createPolicy(ctx, "p", allowAll)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// sized is a policy document of so many characters that are no white space.
func sized(n int) string {
	doc := func(fill string) string {
		return `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::` + fill + `"}]}`
	}
	return doc(strings.Repeat("x", n-size(doc(""))))
}

func TestIAMNames(t *testing.T) {
	ctx, c := t.Context(), serveIAM(t)
	path := func(p string) error {
		return erase(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("path"), Path: &p}))
	}
	runRefusals(t, []refusal{
		{"user again", func(ctx context.Context) error { return c.createUser(ctx, "u") }, "EntityAlreadyExists"},
		{"user in other case", func(ctx context.Context) error { return c.createUser(ctx, "U") }, "EntityAlreadyExists"},
		{"role in other case", func(ctx context.Context) error { return c.createRole(ctx, "R", trustECS) }, "EntityAlreadyExists"},
		{"policy in other case", func(ctx context.Context) error { return c.createPolicy(ctx, "P", allowAll) }, "EntityAlreadyExists"},
		{"user named as the role", func(ctx context.Context) error { return c.createUser(ctx, "r") }, ""},
		{"all characters", func(ctx context.Context) error { return c.createUser(ctx, "aZ09_+=,.@-") }, ""},
		{"a slash", func(ctx context.Context) error { return c.createUser(ctx, "a/b") }, "ValidationError"},
		{"a space", func(ctx context.Context) error { return c.createRole(ctx, "a b", trustECS) }, "ValidationError"},
		{"64 characters", func(ctx context.Context) error { return c.createUser(ctx, strings.Repeat("u", 64)) }, ""},
		{"65 characters", func(ctx context.Context) error { return c.createUser(ctx, strings.Repeat("u", 65)) }, "ValidationError"},
		{"policy of 128", func(ctx context.Context) error { return c.createPolicy(ctx, strings.Repeat("p", 128), allowAll) }, ""},
		{"policy of 129", func(ctx context.Context) error { return c.createPolicy(ctx, strings.Repeat("p", 129), allowAll) }, "ValidationError"},
		{"path without slashes", func(context.Context) error { return path("ml") }, "ValidationError"},
		{"path without the last", func(context.Context) error { return path("/ml") }, "ValidationError"},
		{"path", func(context.Context) error { return path("/ml/ops/") }, ""},
		{"no user", func(ctx context.Context) error {
			return erase(c.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("none")}))
		}, "NoSuchEntity"},
		{"no role", func(ctx context.Context) error {
			return erase(c.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("none")}))
		}, "NoSuchEntity"},
		{"no policy", func(ctx context.Context) error {
			return erase(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: aws.String(ownPrefix + "policy/none")}))
		}, "NoSuchEntity"},
	})
	if got := *must[*iam.GetUserOutput](t)(c.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("path")})).User.Arn; got != ownPrefix+"user/ml/ops/path" {
		t.Errorf("ARN %s", got)
	}
}

func TestIAMDocuments(t *testing.T) {
	c := serveIAM(t)
	identity := map[string]string{
		allowAll: "",
		`{"Statement":{"Effect":"Deny","NotAction":["iam:*"],"NotResource":["arn:aws:s3:::b/*"]}}`: "",
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:*"}}`:                         "",
		``:         "ValidationError",
		`not json`: "MalformedPolicyDocument",
		`{}`:       "MalformedPolicyDocument",
		`{"Version":"2012-10-17","Statement":[]}`:                                                                                             "MalformedPolicyDocument",
		`{"Version":"2012-10-18","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`:                                            "MalformedPolicyDocument",
		`{"Statement":[{"Effect":"allow","Action":"s3:*","Resource":"*"}]}`:                                                                   "MalformedPolicyDocument",
		`{"Statement":[{"Effect":"Allow","Resource":"*"}]}`:                                                                                   "MalformedPolicyDocument",
		`{"Statement":[{"Effect":"Allow","Action":"s3:*"}]}`:                                                                                  "MalformedPolicyDocument",
		`{"Statement":[{"Effect":"Allow","Action":"s3","Resource":"*"}]}`:                                                                     "MalformedPolicyDocument",
		`{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"bucket"}]}`:                                                              "MalformedPolicyDocument",
		`{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*"}]}`:                                                   "MalformedPolicyDocument",
		`{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Colour":"red"}]}`:                                                    "MalformedPolicyDocument",
		`{"Statement":[{"Effect":"Allow","Effect":"Deny","Action":"s3:*","Resource":"*"}]}`:                                                   "MalformedPolicyDocument",
		`{"Statement":[{"Sid":"a b","Effect":"Allow","Action":"s3:*","Resource":"*"}]}`:                                                       "MalformedPolicyDocument",
		`{"Statement":[{"Sid":"a","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"a","Effect":"Deny","Action":"s3:*","Resource":"*"}]}`: "MalformedPolicyDocument",
		allowAll + `{}`: "MalformedPolicyDocument",
	}
	trust := map[string]string{
		trustECS: "",
		`{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}`:                                                           "",
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}}`:                                        "",
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:root","*"]},"Action":"sts:*"}}`:                         "",
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/u"},"Action":"sts:AssumeRole"}}`:                    "",
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999999999999:user/u"},"Action":"sts:AssumeRole"}}`:                    "",
		`{"Statement":{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity"}}`: "",
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/none"},"Action":"sts:AssumeRole"}}`:                 "MalformedPolicyDocument",
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/none"},"Action":"sts:AssumeRole"}}`:                 "MalformedPolicyDocument",
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":"somebody"},"Action":"sts:AssumeRole"}}`:                                            "MalformedPolicyDocument",
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":[]},"Action":"sts:AssumeRole"}}`:                                                    "MalformedPolicyDocument",
		`{"Statement":{"Effect":"Allow","Principal":{"Service":"ecs-tasks"},"Action":"sts:AssumeRole"}}`:                                       "MalformedPolicyDocument",
		`{"Statement":{"Effect":"Allow","Principal":{"Animal":"cat"},"Action":"sts:AssumeRole"}}`:                                              "MalformedPolicyDocument",
		`{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole"}}`:                                                                           "MalformedPolicyDocument",
		`{"Statement":{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole","Resource":"*"}}`:          "MalformedPolicyDocument",
		`{"Statement":{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"s3:GetObject"}}`:                           "MalformedPolicyDocument",
		`{"Statement":{"Effect":"Allow","Principal":{"Service":"` + strings.Repeat("x", 2000) + `.amazonaws.com"},"Action":"sts:AssumeRole"}}`: "LimitExceeded",
	}
	for doc, code := range identity {
		t.Run("identity/"+doc, func(t *testing.T) {
			wantCode(t, c.createVersion(t.Context(), "p", doc), code)
			wantCode(t, c.putUserPolicy(t.Context(), "u", "i", doc), code)
		})
	}
	for doc, code := range trust {
		t.Run("trust/"+doc[:min(len(doc), 150)], func(t *testing.T) {
			_, err := c.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("r"), PolicyDocument: &doc})
			wantCode(t, err, code)
		})
	}
}

// TestIAMLimits goes up to each limit and one past it.
func TestIAMLimits(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	for i := range maxAttached {
		name := fmt.Sprintf("p%d", i)
		for _, err := range []error{
			c.createPolicy(ctx, name, allowAll),
			c.attachUser(ctx, "u", ownPrefix+"policy/"+name),
			c.attachRole(ctx, "r", ownPrefix+"policy/"+name),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for range maxVersions - 1 {
		if err := c.createVersion(ctx, "p", allowAll); err != nil {
			t.Fatal(err)
		}
	}
	key := func(ctx context.Context) error {
		return erase(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("u")}))
	}
	session := func(seconds int32) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(c.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: aws.String("r"), MaxSessionDuration: &seconds}))
		}
	}
	rolePolicy := func(name string, n int) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("r"), PolicyName: &name, PolicyDocument: aws.String(sized(n))}))
		}
	}
	var tags []string
	for i := range maxTags {
		tags = append(tags, fmt.Sprintf("k%d", i), "v")
	}
	runRefusals(t, []refusal{
		{"an 11th policy on a user", func(ctx context.Context) error { return c.attachUser(ctx, "u", admin) }, "LimitExceeded"},
		{"an 11th policy on a role", func(ctx context.Context) error { return c.attachRole(ctx, "r", admin) }, "LimitExceeded"},
		{"the 10th again", func(ctx context.Context) error { return c.attachUser(ctx, "u", ownPrefix+"policy/p9") }, ""},
		{"a 6th version", func(ctx context.Context) error { return c.createVersion(ctx, "p", allowAll) }, "LimitExceeded"},
		{"a first key", key, ""},
		{"a second key", key, ""},
		{"a third key", key, "LimitExceeded"},
		{"a policy of 6144", func(ctx context.Context) error { return c.createPolicy(ctx, "big", sized(6144)) }, ""},
		{"a policy of 6145", func(ctx context.Context) error { return c.createPolicy(ctx, "bigger", sized(6145)) }, "LimitExceeded"},
		{"an inline policy of 2048", func(ctx context.Context) error { return c.putUserPolicy(ctx, "u", "i", sized(2048)) }, ""},
		{"the same again", func(ctx context.Context) error { return c.putUserPolicy(ctx, "u", "i", sized(2048)) }, ""},
		{"another one", func(ctx context.Context) error { return c.putUserPolicy(ctx, "u", "j", sized(100)) }, "LimitExceeded"},
		{"a role's of 10000", rolePolicy("i", 10000), ""},
		{"and 240", rolePolicy("j", 240), ""},
		{"and 241", rolePolicy("j", 241), "LimitExceeded"},
		{"a session of 3599", session(3599), "ValidationError"},
		{"a session of 3600", session(3600), ""},
		{"a session of 43200", session(43200), ""},
		{"a session of 43201", session(43201), "ValidationError"},
		{"50 tags", func(ctx context.Context) error { return c.tagUser(ctx, "u", tags...) }, ""},
		{"a 51st tag", func(ctx context.Context) error { return c.tagUser(ctx, "u", "k51", "v") }, "LimitExceeded"},
		{"a new value at 50", func(ctx context.Context) error { return c.tagUser(ctx, "u", "k49", "w") }, ""},
		{"a user with 51", func(ctx context.Context) error { return c.createUser(ctx, "many", append(tags, "k51", "v")...) }, "LimitExceeded"},
	})
}

func TestIAMTags(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	policyARN := aws.String(ownPrefix + "policy/p")
	tagPolicy := func(kv ...string) func(context.Context) error {
		return func(ctx context.Context) error {
			return erase(c.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: policyARN, Tags: iamTags(kv...)}))
		}
	}
	tagUser := func(kv ...string) func(context.Context) error {
		return func(ctx context.Context) error { return c.tagUser(ctx, "u", kv...) }
	}
	runRefusals(t, []refusal{
		{"one", tagUser("Team", "a"), ""},
		{"an empty value", tagUser("empty", ""), ""},
		{"all characters", tagUser("churn-reconcile:stack", "a/b_c.d=e+f-g@h i"), ""},
		{"AWS's own", tagUser("aws:x", "v"), "InvalidInput"},
		{"AWS's own in capitals", tagUser("AWS:x", "v"), "InvalidInput"},
		{"no key", tagUser("", "v"), "ValidationError"},
		{"128 characters", tagUser(strings.Repeat("k", 128), strings.Repeat("v", 256)), ""},
		{"129 characters", tagUser(strings.Repeat("k", 129), "v"), "ValidationError"},
		{"a value of 257", tagUser("k", strings.Repeat("v", 257)), "ValidationError"},
		{"a bad character", tagUser("k*", "v"), "ValidationError"},
		{"twice", tagUser("x", "1", "x", "2"), "InvalidInput"},
		{"twice but for case", tagUser("x", "1", "X", "2"), "InvalidInput"},
		{"a policy's, twice but for case", tagPolicy("x", "1", "X", "2"), ""},
		{"a policy's, twice", tagPolicy("x", "1", "x", "2"), "InvalidInput"},
	})
	// Users' keys are one but for case, the later one in place of the former.
	if err := c.tagUser(ctx, "u", "TEAM", "b"); err != nil {
		t.Fatal(err)
	}
	must[*iam.UntagUserOutput](t)(c.UntagUser(ctx, &iam.UntagUserInput{UserName: aws.String("u"), TagKeys: []string{"EMPTY", strings.Repeat("k", 128), "never there"}}))
	got := must[*iam.ListUserTagsOutput](t)(c.ListUserTags(ctx, &iam.ListUserTagsInput{UserName: aws.String("u")})).Tags
	if d := diff(iamTags("TEAM", "b", "churn-reconcile:stack", "a/b_c.d=e+f-g@h i"), got); d != "" {
		t.Errorf("user's tags (-want +got):\n%s", d)
	}
	must[*iam.UntagPolicyOutput](t)(c.UntagPolicy(ctx, &iam.UntagPolicyInput{PolicyArn: policyARN, TagKeys: []string{"x"}}))
	if d := diff(iamTags("X", "2"), must[*iam.GetPolicyOutput](t)(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: policyARN})).Policy.Tags); d != "" {
		t.Errorf("policy's tags (-want +got):\n%s", d)
	}
}

func TestIAMRole(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	name := aws.String("worker")
	made := must[*iam.CreateRoleOutput](t)(c.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: name, Path: aws.String("/ml/"), Description: aws.String("does the work"),
		MaxSessionDuration: aws.Int32(7200), AssumeRolePolicyDocument: aws.String(trustECS),
		PermissionsBoundary: aws.String(ownPrefix + "policy/p"), Tags: iamTags("b", "2", "a", "1"),
	})).Role
	get := func() *iamtypes.Role {
		t.Helper()
		return must[*iam.GetRoleOutput](t)(c.GetRole(ctx, &iam.GetRoleInput{RoleName: name})).Role
	}
	want := &iamtypes.Role{
		RoleName: name, Path: aws.String("/ml/"), Description: aws.String("does the work"),
		Arn: aws.String(ownPrefix + "role/ml/worker"), RoleId: made.RoleId, CreateDate: &start,
		MaxSessionDuration: aws.Int32(7200), AssumeRolePolicyDocument: aws.String(url.QueryEscape(trustECS)),
		PermissionsBoundary: &iamtypes.AttachedPermissionsBoundary{
			PermissionsBoundaryArn: aws.String(ownPrefix + "policy/p"), PermissionsBoundaryType: "Policy",
		},
		Tags: iamTags("b", "2", "a", "1"), RoleLastUsed: &iamtypes.RoleLastUsed{},
	}
	if !strings.HasPrefix(*made.RoleId, "AROA") || len(*made.RoleId) != 21 {
		t.Errorf("role ID %s", *made.RoleId)
	}
	if d := diff(want, made); d != "" {
		t.Errorf("created (-want +got):\n%s", d)
	}
	if d := diff(want, get()); d != "" {
		t.Errorf("read (-want +got):\n%s", d)
	}
	// Lists leave out what GetRole has.
	want.Tags, want.PermissionsBoundary, want.RoleLastUsed = nil, nil, nil
	listed := must[*iam.ListRolesOutput](t)(c.ListRoles(ctx, &iam.ListRolesInput{PathPrefix: aws.String("/ml/")})).Roles
	if d := diff([]iamtypes.Role{*want}, listed); d != "" {
		t.Errorf("listed (-want +got):\n%s", d)
	}

	// UpdateRole leaves a description alone that it is not given, and sets an
	// hour where it is given no duration.
	must[*iam.UpdateRoleOutput](t)(c.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: name}))
	if got := get(); aws.ToString(got.Description) != "does the work" || *got.MaxSessionDuration != 3600 {
		t.Errorf("after an empty update: %q, %d", aws.ToString(got.Description), *got.MaxSessionDuration)
	}
	must[*iam.UpdateRoleOutput](t)(c.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: name, Description: aws.String(""), MaxSessionDuration: aws.Int32(7200)}))
	if got := get(); got.Description != nil || *got.MaxSessionDuration != 7200 {
		t.Errorf("after an update: %q, %d", aws.ToString(got.Description), *got.MaxSessionDuration)
	}
	must[*iam.DeleteRolePermissionsBoundaryOutput](t)(c.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: name}))
	if got := get(); got.PermissionsBoundary != nil {
		t.Errorf("the boundary is still %s", *got.PermissionsBoundary.PermissionsBoundaryArn)
	}
	must[*iam.PutRolePermissionsBoundaryOutput](t)(c.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: aws.String(admin)}))
	if got := get(); got.PermissionsBoundary == nil || *got.PermissionsBoundary.PermissionsBoundaryArn != admin {
		t.Errorf("boundary %+v, want %s", got.PermissionsBoundary, admin)
	}
}

// TestIAMPrincipals: a trust policy shows the unique ID of a principal that is
// gone, and a new one of the same name does not take its place.
func TestIAMPrincipals(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	const arn = ownPrefix + "user/u"
	trust := fmt.Sprintf(`{"Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole"}]}`, arn)
	if err := c.createRole(ctx, "trusting", trust); err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		t.Helper()
		doc := must[*iam.GetRoleOutput](t)(c.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("trusting")})).Role.AssumeRolePolicyDocument
		return must[string](t)(url.QueryUnescape(*doc))
	}
	if got := shown(); got != trust {
		t.Errorf("trust policy %s, want %s", got, trust)
	}
	id := *must[*iam.GetUserOutput](t)(c.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("u")})).User.UserId
	must[*iam.DeleteUserOutput](t)(c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("u")}))
	dead := strings.Replace(trust, arn, id, 1)
	if got := shown(); got != dead {
		t.Errorf("trust policy %s, want %s", got, dead)
	}
	if err := c.createUser(ctx, "u"); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != dead {
		t.Errorf("trust policy %s, want %s", got, dead)
	}
}

func TestIAMVersions(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	arn := aws.String(ownPrefix + "policy/p")
	doc := func(n int) string { return sized(110 + n) }
	for n := 2; n <= 3; n++ {
		must[*iam.CreatePolicyVersionOutput](t)(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{
			PolicyArn: arn, PolicyDocument: aws.String(doc(n)), SetAsDefault: n == 3,
		}))
	}
	version := func(id string) *iamtypes.PolicyVersion {
		t.Helper()
		return must[*iam.GetPolicyVersionOutput](t)(c.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: &id})).PolicyVersion
	}
	if v := version("v3"); *v.Document != encoded(doc(3)) || !v.IsDefaultVersion {
		t.Errorf("v3 is %s, default %t", *v.Document, v.IsDefaultVersion)
	}
	if v := version("v2"); *v.Document != encoded(doc(2)) || v.IsDefaultVersion {
		t.Errorf("v2 is %s, default %t", *v.Document, v.IsDefaultVersion)
	}
	if strings.ContainsAny(*version("v1").Document, `{"*: `) {
		t.Errorf("document %s is not percent-encoded", *version("v1").Document)
	}
	remove := func(id string) error {
		return erase(c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: &id}))
	}
	wantCode(t, remove("v3"), "DeleteConflict")
	wantCode(t, remove("v9"), "NoSuchEntity")
	wantCode(t, remove("v2"), "")
	must[*iam.SetDefaultPolicyVersionOutput](t)(c.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")}))
	wantCode(t, remove("v3"), "")
	// A number is never used twice.
	made := must[*iam.CreatePolicyVersionOutput](t)(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: aws.String(allowAll)}))
	if got := *made.PolicyVersion.VersionId; got != "v4" || made.PolicyVersion.IsDefaultVersion {
		t.Errorf("made %s, default %t", got, made.PolicyVersion.IsDefaultVersion)
	}
	var ids []string
	for _, v := range must[*iam.ListPolicyVersionsOutput](t)(c.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: arn})).Versions {
		ids = append(ids, fmt.Sprintf("%s %t %v", *v.VersionId, v.IsDefaultVersion, v.Document))
	}
	if d := cmp.Diff([]string{"v1 true <nil>", "v4 false <nil>"}, ids); d != "" {
		t.Errorf("versions (-want +got):\n%s", d)
	}
}

// TestIAMDelete: what is in use stays, until it is not.
func TestIAMDelete(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	user, role, arn := aws.String("u"), aws.String("r"), aws.String(ownPrefix+"policy/p")
	deleteUser := func(ctx context.Context) error { return erase(c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: user})) }
	deleteRole := func(ctx context.Context) error { return erase(c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role})) }
	deletePolicy := func(ctx context.Context) error {
		return erase(c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn}))
	}
	key := must[*iam.CreateAccessKeyOutput](t)(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: user})).AccessKey.AccessKeyId
	runRefusals(t, []refusal{
		{"user with a key", deleteUser, "DeleteConflict"},
		{"the key, of another user", func(ctx context.Context) error {
			return erase(c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: role, AccessKeyId: key}))
		}, "NoSuchEntity"},
		{"the key", func(ctx context.Context) error {
			return erase(c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: user, AccessKeyId: key}))
		}, ""},
		{"attach to the user", func(ctx context.Context) error { return c.attachUser(ctx, "u", *arn) }, ""},
		{"attach to the role", func(ctx context.Context) error { return c.attachRole(ctx, "r", *arn) }, ""},
		{"user with a policy", deleteUser, "DeleteConflict"},
		{"role with a policy", deleteRole, "DeleteConflict"},
		{"policy of two", deletePolicy, "DeleteConflict"},
		{"detach from the user", func(ctx context.Context) error {
			return erase(c.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: user, PolicyArn: arn}))
		}, ""},
		{"detach again", func(ctx context.Context) error {
			return erase(c.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: user, PolicyArn: arn}))
		}, "NoSuchEntity"},
		{"policy of one", deletePolicy, "DeleteConflict"},
		{"detach from the role", func(ctx context.Context) error {
			return erase(c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: arn}))
		}, ""},
		{"inline policy", func(ctx context.Context) error { return c.putUserPolicy(ctx, "u", "i", allowAll) }, ""},
		{"user with an inline policy", deleteUser, "DeleteConflict"},
		{"drop it", func(ctx context.Context) error {
			return erase(c.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: user, PolicyName: aws.String("i")}))
		}, ""},
		{"drop it again", func(ctx context.Context) error {
			return erase(c.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: user, PolicyName: aws.String("i")}))
		}, "NoSuchEntity"},
		{"as a boundary", func(ctx context.Context) error {
			return erase(c.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: user, PermissionsBoundary: arn}))
		}, ""},
		{"policy that is a boundary", deletePolicy, "DeleteConflict"},
		{"user with a boundary", deleteUser, ""},
		{"user again", deleteUser, "NoSuchEntity"},
		{"a second version", func(ctx context.Context) error { return c.createVersion(ctx, "p", allowAll) }, ""},
		{"policy of two versions", deletePolicy, "DeleteConflict"},
		{"drop the second", func(ctx context.Context) error {
			return erase(c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v2")}))
		}, ""},
		{"policy", deletePolicy, ""},
		{"role", deleteRole, ""},
	})
}

func TestIAMManaged(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	const execution = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
	runRefusals(t, []refusal{
		{"attach", func(ctx context.Context) error { return c.attachRole(ctx, "r", execution) }, ""},
		{"attach without its path", func(ctx context.Context) error {
			return c.attachRole(ctx, "r", "arn:aws:iam::aws:policy/AmazonECSTaskExecutionRolePolicy")
		}, "NoSuchEntity"},
		{"of another partition", func(ctx context.Context) error {
			return c.attachRole(ctx, "r", "arn:aws-moon:iam::aws:policy/AdministratorAccess")
		}, "NoSuchEntity"},
		{"own, missing", func(ctx context.Context) error { return c.attachRole(ctx, "r", ownPrefix+"policy/none") }, "NoSuchEntity"},
		{"change", func(ctx context.Context) error {
			return erase(c.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: aws.String(execution), Tags: iamTags("a", "b")}))
		}, "AccessDenied"},
	})
	p := must[*iam.GetPolicyOutput](t)(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: aws.String(execution)})).Policy
	if *p.PolicyName != "AmazonECSTaskExecutionRolePolicy" || *p.Path != "/service-role/" || *p.AttachmentCount != 1 {
		t.Errorf("policy %s under %s, attached %d times", *p.PolicyName, *p.Path, *p.AttachmentCount)
	}
	v := must[*iam.GetPolicyVersionOutput](t)(c.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: p.DefaultVersionId})).PolicyVersion
	if doc := must[string](t)(url.QueryUnescape(*v.Document)); !strings.Contains(doc, "ecr:GetAuthorizationToken") {
		t.Errorf("document %s", doc)
	}
	attached := must[*iam.ListAttachedRolePoliciesOutput](t)(c.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: aws.String("r")})).AttachedPolicies
	if d := diff([]iamtypes.AttachedPolicy{{PolicyName: p.PolicyName, PolicyArn: aws.String(execution)}}, attached); d != "" {
		t.Errorf("attached (-want +got):\n%s", d)
	}
	count := func(in *iam.ListPoliciesInput) int {
		t.Helper()
		in.MaxItems = aws.Int32(1000)
		return len(must[*iam.ListPoliciesOutput](t)(c.ListPolicies(ctx, in)).Policies)
	}
	if all, aws, own := count(&iam.ListPoliciesInput{}), count(&iam.ListPoliciesInput{Scope: "AWS"}), count(&iam.ListPoliciesInput{Scope: "Local"}); own != 1 || aws != len(managed) || all != aws+own {
		t.Errorf("%d policies, %d of AWS's, %d of its own", all, aws, own)
	}
	if n := count(&iam.ListPoliciesInput{OnlyAttached: true}); n != 1 {
		t.Errorf("%d attached policies, want 1", n)
	}
	entities := must[*iam.ListEntitiesForPolicyOutput](t)(c.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: aws.String(execution)}))
	if len(entities.PolicyRoles) != 1 || *entities.PolicyRoles[0].RoleName != "r" || len(entities.PolicyUsers) != 0 {
		t.Errorf("entities: roles %v, users %v", entities.PolicyRoles, entities.PolicyUsers)
	}
}

// TestIAMPages walks each list in pages of two.
func TestIAMPages(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	var want []string
	for i := range 5 {
		n := fmt.Sprintf("n%d", i)
		want = append(want, n)
		for _, err := range []error{
			c.createUser(ctx, n), c.createRole(ctx, n, trustECS), c.createPolicy(ctx, n, allowAll),
			c.attachUser(ctx, "u", ownPrefix+"policy/"+n), c.attachRole(ctx, "r", ownPrefix+"policy/"+n),
			c.putUserPolicy(ctx, "u", n, allowAll), c.tagUser(ctx, "u", n, "v"),
			c.attachUser(ctx, n, ownPrefix+"policy/p"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	two := aws.Int32(2)
	// Each function gives a page's names and the marker of the next.
	lists := map[string]func(marker *string) ([]string, *string, bool, error){
		"users": func(m *string) (names []string, next *string, more bool, err error) {
			out, err := c.ListUsers(ctx, &iam.ListUsersInput{MaxItems: two, Marker: m})
			if err != nil {
				return nil, nil, false, err
			}
			for _, u := range out.Users {
				names = append(names, *u.UserName)
			}
			return names, out.Marker, out.IsTruncated, nil
		},
		"roles": func(m *string) (names []string, next *string, more bool, err error) {
			out, err := c.ListRoles(ctx, &iam.ListRolesInput{MaxItems: two, Marker: m})
			if err != nil {
				return nil, nil, false, err
			}
			for _, o := range out.Roles {
				names = append(names, *o.RoleName)
			}
			return names, out.Marker, out.IsTruncated, nil
		},
		"policies": func(m *string) (names []string, next *string, more bool, err error) {
			out, err := c.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: "Local", MaxItems: two, Marker: m})
			if err != nil {
				return nil, nil, false, err
			}
			for _, p := range out.Policies {
				names = append(names, *p.PolicyName)
			}
			return names, out.Marker, out.IsTruncated, nil
		},
		"attached": func(m *string) (names []string, next *string, more bool, err error) {
			out, err := c.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: aws.String("u"), MaxItems: two, Marker: m})
			if err != nil {
				return nil, nil, false, err
			}
			for _, p := range out.AttachedPolicies {
				names = append(names, *p.PolicyName)
			}
			return names, out.Marker, out.IsTruncated, nil
		},
		"inline": func(m *string) (names []string, next *string, more bool, err error) {
			out, err := c.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: aws.String("u"), MaxItems: two, Marker: m})
			if err != nil {
				return nil, nil, false, err
			}
			return out.PolicyNames, out.Marker, out.IsTruncated, nil
		},
		"tags": func(m *string) (names []string, next *string, more bool, err error) {
			out, err := c.ListUserTags(ctx, &iam.ListUserTagsInput{UserName: aws.String("u"), MaxItems: two, Marker: m})
			if err != nil {
				return nil, nil, false, err
			}
			for _, o := range out.Tags {
				names = append(names, *o.Key)
			}
			return names, out.Marker, out.IsTruncated, nil
		},
		"entities": func(m *string) (names []string, next *string, more bool, err error) {
			out, err := c.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: aws.String(ownPrefix + "policy/p"), MaxItems: two, Marker: m})
			if err != nil {
				return nil, nil, false, err
			}
			for _, u := range out.PolicyUsers {
				names = append(names, *u.UserName)
			}
			return names, out.Marker, out.IsTruncated, nil
		},
		"everything": func(m *string) (names []string, next *string, more bool, err error) {
			out, err := c.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: []iamtypes.EntityType{"Role", "LocalManagedPolicy"}, MaxItems: two, Marker: m})
			if err != nil {
				return nil, nil, false, err
			}
			for _, o := range out.RoleDetailList {
				names = append(names, "role "+*o.RoleName)
			}
			for _, p := range out.Policies {
				names = append(names, "policy "+*p.PolicyName)
			}
			return names, out.Marker, out.IsTruncated, nil
		},
	}
	wants := map[string][]string{
		"users": append(slices.Clone(want), "u"), "roles": append(slices.Clone(want), "r"), "policies": append(slices.Clone(want), "p"),
		"attached": want, "inline": want, "tags": want, "entities": want,
		"everything": {"role n0", "role n1", "role n2", "role n3", "role n4", "role r", "policy n0", "policy n1", "policy n2", "policy n3", "policy n4", "policy p"},
	}
	for name, list := range lists {
		t.Run(name, func(t *testing.T) {
			var got []string
			var marker *string
			for range 10 {
				names, next, more, err := list(marker)
				if err != nil {
					t.Fatal(err)
				}
				if len(names) > 2 {
					t.Errorf("a page of %d", len(names))
				}
				if more != (next != nil) {
					t.Errorf("truncated %t with marker %v", more, aws.ToString(next))
				}
				got = append(got, names...)
				if marker = next; !more {
					break
				}
			}
			if d := cmp.Diff(wants[name], got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	wantCode(t, erase(c.ListUsers(ctx, &iam.ListUsersInput{Marker: aws.String("?")})), "ValidationError")
	wantCode(t, erase(c.ListUsers(ctx, &iam.ListUsersInput{MaxItems: aws.Int32(1001)})), "ValidationError")
}

// TestIAMAccount: one call reads the account, but not all of it.
func TestIAMAccount(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	must[*iam.CreateRoleOutput](t)(c.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: aws.String("full"), Description: aws.String("not told"), MaxSessionDuration: aws.Int32(7200),
		AssumeRolePolicyDocument: aws.String(trustECS), PermissionsBoundary: aws.String(admin), Tags: iamTags("k", "v"),
	}))
	must[*iam.PutRolePolicyOutput](t)(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("full"), PolicyName: aws.String("i"), PolicyDocument: aws.String(allowAll)}))
	if err := c.attachRole(ctx, "full", ownPrefix+"policy/p"); err != nil {
		t.Fatal(err)
	}
	out := must[*iam.GetAccountAuthorizationDetailsOutput](t)(c.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{
		Filter: []iamtypes.EntityType{"User", "Role", "LocalManagedPolicy"},
	}))
	if len(out.UserDetailList) != 1 || len(out.RoleDetailList) != 2 || len(out.Policies) != 1 {
		t.Fatalf("%d users, %d roles, %d policies", len(out.UserDetailList), len(out.RoleDetailList), len(out.Policies))
	}
	role := out.RoleDetailList[0]
	want := iamtypes.RoleDetail{
		RoleName: aws.String("full"), Path: aws.String("/"), Arn: aws.String(ownPrefix + "role/full"), RoleId: role.RoleId, CreateDate: &start,
		AssumeRolePolicyDocument: aws.String(encoded(trustECS)), RoleLastUsed: &iamtypes.RoleLastUsed{}, Tags: iamTags("k", "v"),
		RolePolicyList:          []iamtypes.PolicyDetail{{PolicyName: aws.String("i"), PolicyDocument: aws.String(encoded(allowAll))}},
		AttachedManagedPolicies: []iamtypes.AttachedPolicy{{PolicyName: aws.String("p"), PolicyArn: aws.String(ownPrefix + "policy/p")}},
		PermissionsBoundary:     &iamtypes.AttachedPermissionsBoundary{PermissionsBoundaryArn: aws.String(admin), PermissionsBoundaryType: "Policy"},
	}
	if d := diff(want, role); d != "" {
		t.Errorf("role (-want +got):\n%s", d)
	}
	policy := out.Policies[0]
	wantPolicy := iamtypes.ManagedPolicyDetail{
		PolicyName: aws.String("p"), Path: aws.String("/"), Arn: aws.String(ownPrefix + "policy/p"), PolicyId: policy.PolicyId,
		AttachmentCount: aws.Int32(1), PermissionsBoundaryUsageCount: aws.Int32(0), IsAttachable: true,
		CreateDate: &start, UpdateDate: &start, DefaultVersionId: aws.String("v1"),
		PolicyVersionList: []iamtypes.PolicyVersion{{VersionId: aws.String("v1"), Document: aws.String(encoded(allowAll)), IsDefaultVersion: true, CreateDate: &start}},
	}
	if d := diff(wantPolicy, policy); d != "" {
		t.Errorf("policy (-want +got):\n%s", d)
	}
	all := must[*iam.GetAccountAuthorizationDetailsOutput](t)(c.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{MaxItems: aws.Int32(1000)}))
	if got, want := len(all.Policies), len(managed)+1; got != want {
		t.Errorf("without a filter %d policies, want %d", got, want)
	}
}

func TestIAMProviders(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	create := func(u string) (*iam.CreateOpenIDConnectProviderOutput, error) {
		return c.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: &u, ClientIDList: []string{"sts.amazonaws.com"}, Tags: iamTags("k", "v")})
	}
	arn := must[*iam.CreateOpenIDConnectProviderOutput](t)(create("https://token.actions.githubusercontent.com")).OpenIDConnectProviderArn
	if *arn != ownPrefix+"oidc-provider/token.actions.githubusercontent.com" {
		t.Errorf("ARN %s", *arn)
	}
	wantCode(t, erase(create("https://token.actions.githubusercontent.com/")), "EntityAlreadyExists")
	wantCode(t, erase(create("http://example.com")), "ValidationError")
	must[*iam.AddClientIDToOpenIDConnectProviderOutput](t)(c.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("two")}))
	must[*iam.RemoveClientIDFromOpenIDConnectProviderOutput](t)(c.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("sts.amazonaws.com")}))
	thumb := strings.Repeat("0f", 20)
	must[*iam.UpdateOpenIDConnectProviderThumbprintOutput](t)(c.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: arn, ThumbprintList: []string{thumb}}))
	wantCode(t, erase(c.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: arn, ThumbprintList: []string{"short"}})), "ValidationError")
	got := must[*iam.GetOpenIDConnectProviderOutput](t)(c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))
	if d := diff(&iam.GetOpenIDConnectProviderOutput{
		Url: aws.String("token.actions.githubusercontent.com"), ClientIDList: []string{"two"}, ThumbprintList: []string{thumb},
		CreateDate: &start, Tags: iamTags("k", "v"),
	}, got); d != "" {
		t.Errorf("provider (-want +got):\n%s", d)
	}
	for range 2 { // deleting is idempotent
		must[*iam.DeleteOpenIDConnectProviderOutput](t)(c.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))
	}
	wantCode(t, erase(c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})), "NoSuchEntity")
	if n := len(must[*iam.ListOpenIDConnectProvidersOutput](t)(c.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{})).OpenIDConnectProviderList); n != 0 {
		t.Errorf("%d providers are left", n)
	}
}

// TestIAMIdentities: users and roles have the same operations.
func TestIAMIdentities(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	u, r, i, none := aws.String("u"), aws.String("r"), aws.String("i"), aws.String("none")
	boundary := aws.String(ownPrefix + "policy/p")
	runRefusals(t, []refusal{
		{"tag a role", func(ctx context.Context) error {
			return erase(c.TagRole(ctx, &iam.TagRoleInput{RoleName: r, Tags: iamTags("a", "1", "b", "2")}))
		}, ""},
		{"untag a role", func(ctx context.Context) error {
			return erase(c.UntagRole(ctx, &iam.UntagRoleInput{RoleName: r, TagKeys: []string{"a"}}))
		}, ""},
		{"tag no role", func(ctx context.Context) error {
			return erase(c.TagRole(ctx, &iam.TagRoleInput{RoleName: none, Tags: iamTags("a", "1")}))
		}, "NoSuchEntity"},
		{"a boundary that is none", func(ctx context.Context) error {
			return erase(c.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: u, PermissionsBoundary: aws.String(ownPrefix + "policy/none")}))
		}, "NoSuchEntity"},
		{"no boundary to delete", func(ctx context.Context) error {
			return erase(c.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: u}))
		}, "NoSuchEntity"},
		{"a boundary", func(ctx context.Context) error {
			return erase(c.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: u, PermissionsBoundary: boundary}))
		}, ""},
		{"a boundary to delete", func(ctx context.Context) error {
			return erase(c.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: u}))
		}, ""},
		{"a user's inline policy", func(ctx context.Context) error { return c.putUserPolicy(ctx, "u", "i", allowAll) }, ""},
		{"a role's inline policy", func(ctx context.Context) error {
			return erase(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: r, PolicyName: i, PolicyDocument: aws.String(allowAll)}))
		}, ""},
		{"no inline policy", func(ctx context.Context) error {
			return erase(c.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: r, PolicyName: none}))
		}, "NoSuchEntity"},
		{"no login profile", func(ctx context.Context) error {
			return erase(c.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: u}))
		}, "NoSuchEntity"},
		{"groups of no user", func(ctx context.Context) error {
			return erase(c.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: none}))
		}, "NoSuchEntity"},
		{"profiles of no role", func(ctx context.Context) error {
			return erase(c.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: none}))
		}, "NoSuchEntity"},
	})
	if d := diff(iamTags("b", "2"), must[*iam.ListRoleTagsOutput](t)(c.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: r})).Tags); d != "" {
		t.Errorf("role's tags (-want +got):\n%s", d)
	}
	if got := must[*iam.GetUserOutput](t)(c.GetUser(ctx, &iam.GetUserInput{UserName: u})).User.PermissionsBoundary; got != nil {
		t.Errorf("boundary %s", *got.PermissionsBoundaryArn)
	}
	ofUser := must[*iam.GetUserPolicyOutput](t)(c.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: u, PolicyName: i}))
	if *ofUser.UserName != "u" || *ofUser.PolicyName != "i" || *ofUser.PolicyDocument != encoded(allowAll) {
		t.Errorf("policy %s of %s: %s", *ofUser.PolicyName, *ofUser.UserName, *ofUser.PolicyDocument)
	}
	ofRole := must[*iam.GetRolePolicyOutput](t)(c.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: r, PolicyName: i}))
	if *ofRole.RoleName != "r" || *ofRole.PolicyName != "i" || *ofRole.PolicyDocument != encoded(allowAll) {
		t.Errorf("policy %s of %s: %s", *ofRole.PolicyName, *ofRole.RoleName, *ofRole.PolicyDocument)
	}
	must[*iam.DeleteRolePolicyOutput](t)(c.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: r, PolicyName: i}))
	if n := must[*iam.ListRolePoliciesOutput](t)(c.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: r})).PolicyNames; len(n) != 0 {
		t.Errorf("inline policies %v", n)
	}
}

func TestIAMUpdateUser(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	if err := c.createUser(ctx, "taken"); err != nil {
		t.Fatal(err)
	}
	update := func(name, path string) error {
		return erase(c.UpdateUser(ctx, &iam.UpdateUserInput{UserName: aws.String("u"), NewUserName: &name, NewPath: &path}))
	}
	wantCode(t, update("Taken", "/"), "EntityAlreadyExists")
	wantCode(t, update("v", "no path"), "ValidationError")
	wantCode(t, update("U", "/ml/"), "")
	wantCode(t, erase(c.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("u")})), "NoSuchEntity")
	if got := *must[*iam.GetUserOutput](t)(c.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("U")})).User.Arn; got != ownPrefix+"user/ml/U" {
		t.Errorf("ARN %s", got)
	}
}

func TestIAMCaller(t *testing.T) {
	e := serve(t, Options{})
	ctx := t.Context()
	if got := *must[*iam.GetUserOutput](t)(e.iam().GetUser(ctx, &iam.GetUserInput{})).User.Arn; got != ownPrefix+"root" {
		t.Errorf("the caller is %s", got)
	}
	must[*iam.CreateUserOutput](t)(e.iam().CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("u")}))
	key := must[*iam.CreateAccessKeyOutput](t)(e.iam().CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("u")})).AccessKey
	mine := iam.NewFromConfig(e.config(*key.AccessKeyId))
	if got := *must[*iam.GetUserOutput](t)(mine.GetUser(ctx, &iam.GetUserInput{})).User.UserName; got != "u" {
		t.Errorf("the caller is %s", got)
	}
	// Without a name the list is the caller's own.
	keys := must[*iam.ListAccessKeysOutput](t)(mine.ListAccessKeys(ctx, &iam.ListAccessKeysInput{})).AccessKeyMetadata
	want := []iamtypes.AccessKeyMetadata{{UserName: aws.String("u"), AccessKeyId: key.AccessKeyId, Status: "Active", CreateDate: &start}}
	if d := diff(want, keys); d != "" {
		t.Errorf("keys (-want +got):\n%s", d)
	}
}

// TestIAMNone: what there is none of is an empty list, which an AWS CLI prints
// as [] and an absent one not at all.
func TestIAMNone(t *testing.T) {
	c := serveIAM(t)
	ctx := t.Context()
	groups := must[*iam.ListGroupsForUserOutput](t)(c.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: aws.String("u")}))
	profiles := must[*iam.ListInstanceProfilesForRoleOutput](t)(c.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: aws.String("r")}))
	providers := must[*iam.ListOpenIDConnectProvidersOutput](t)(c.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{}))
	aliases := must[*iam.ListAccountAliasesOutput](t)(c.ListAccountAliases(ctx, &iam.ListAccountAliasesInput{}))
	for name, list := range map[string]struct {
		n       int
		present bool
	}{
		"groups":    {len(groups.Groups), groups.Groups != nil},
		"profiles":  {len(profiles.InstanceProfiles), profiles.InstanceProfiles != nil},
		"providers": {len(providers.OpenIDConnectProviderList), providers.OpenIDConnectProviderList != nil},
		"aliases":   {len(aliases.AccountAliases), aliases.AccountAliases != nil},
	} {
		if list.n != 0 || !list.present {
			t.Errorf("%s: %d, in a list that is there: %t", name, list.n, list.present)
		}
	}
}
