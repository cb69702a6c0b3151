package sandbox

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
)

// An operation that nobody has said the needs of could be called by everybody.
func TestNeedsOfEveryOperation(t *testing.T) {
	for name, svc := range services() {
		handlers, needs := slices.Sorted(maps.Keys(svc.handlers)), slices.Sorted(maps.Keys(svc.needs))
		if d := cmp.Diff(handlers, needs); d != "" {
			t.Errorf("%s: operations, and those whose needs are known:\n%s", name, d)
		}
	}
}

// callers are the clients of one caller.
type callers struct {
	iam     *iam.Client
	sts     *sts.Client
	s3      *s3.Client
	ecr     *ecr.Client
	ecs     *ecs.Client
	logs    *cloudwatchlogs.Client
	secrets *secretsmanager.Client
	tagging *resourcegroupstaggingapi.Client
}

func (e endpoint) as(keyID string) callers {
	cfg := e.config(keyID)
	if keyID == "" {
		cfg.Credentials = aws.AnonymousCredentials{}
	}
	return callers{
		iam: iam.NewFromConfig(cfg), sts: sts.NewFromConfig(cfg), ecr: ecr.NewFromConfig(cfg), ecs: ecs.NewFromConfig(cfg),
		logs: cloudwatchlogs.NewFromConfig(cfg), secrets: secretsmanager.NewFromConfig(cfg),
		tagging: resourcegroupstaggingapi.NewFromConfig(cfg),
		s3:      s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }),
	}
}

func (e endpoint) session(c *ststypes.Credentials) callers {
	cfg := e.config("")
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	return callers{sts: sts.NewFromConfig(cfg), iam: iam.NewFromConfig(cfg), s3: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })}
}

// user makes a user with an inline policy of these statements, and gives its
// clients.
func (e endpoint) user(t *testing.T, name string, statements ...string) callers {
	t.Helper()
	root := iamCalls{e.iam()}
	ctx := t.Context()
	if err := root.createUser(ctx, name, "team", "ml"); err != nil {
		t.Fatal(err)
	}
	if len(statements) > 0 {
		if err := root.putUserPolicy(ctx, name, "inline", document12(statements...)); err != nil {
			t.Fatal(err)
		}
	}
	key := must[*iam.CreateAccessKeyOutput](t)(root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})).AccessKey
	return e.as(*key.AccessKeyId)
}

func document12(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// allow is a statement; more has further elements.
func allow(actions, resource string, more ...string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Action":["%s"],"Resource":"%s"%s}`,
		strings.ReplaceAll(actions, " ", `","`), resource, strings.Join(append([]string{""}, more...), ","))
}

func when(operator, key, value string) string {
	return fmt.Sprintf(`"Condition":{"%s":{"%s":"%s"}}`, operator, key, value)
}

func message(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return fmt.Sprint(err)
}

// What a user of one inline policy may do, and AWS's words for what it may not.
func TestEnforceIAM(t *testing.T) {
	const (
		user   = "User: arn:aws:iam::123456789012:user/u is not authorized to perform: "
		group  = "arn:aws:logs:eu-north-1:123456789012:log-group:"
		repo   = "arn:aws:ecr:eu-north-1:123456789012:repository/"
		bucket = "arn:aws:s3:::data"
	)
	type c = callers
	getUser := func(ctx context.Context, c c) error {
		return erase(c.iam.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("u")}))
	}
	list := func(prefix string) func(context.Context, c) error {
		return func(ctx context.Context, c c) error {
			return erase(c.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("data"), Prefix: &prefix}))
		}
	}
	get := func(key string) func(context.Context, c) error {
		return func(ctx context.Context, c c) error {
			return erase(c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("data"), Key: &key}))
		}
	}
	createGroup := func(tags map[string]string) func(context.Context, c) error {
		return func(ctx context.Context, c c) error {
			return erase(c.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("new"), Tags: tags}))
		}
	}
	retain := func(ctx context.Context, c c) error {
		return erase(c.logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("old"), RetentionInDays: aws.Int32(7)}))
	}
	createRepo := func(tags ...string) func(context.Context, c) error {
		return func(ctx context.Context, c c) error {
			in := &ecr.CreateRepositoryInput{RepositoryName: aws.String("new")}
			for _, k := range tags {
				in.Tags = append(in.Tags, ecrtypes.Tag{Key: &k, Value: aws.String("v")})
			}
			return erase(c.ecr.CreateRepository(ctx, in))
		}
	}
	createRole := func(ctx context.Context, c c) error {
		return erase(c.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(trustECS), Tags: iamTags("k", "v")}))
	}
	register := func(ctx context.Context, c c) error {
		return erase(c.ecs.RegisterTaskDefinition(ctx, fargate(func(in *ecs.RegisterTaskDefinitionInput) {
			in.TaskRoleArn = aws.String(ownPrefix + "role/task")
		})))
	}
	attach := func(arn string) func(context.Context, c) error {
		return func(ctx context.Context, c c) error { return iamCalls{c.iam}.attachUser(ctx, "u", arn) }
	}

	tests := []struct {
		name   string
		policy string // a statement; "" is none
		call   func(context.Context, c) error
		want   string // code and message; "" where it has to work
	}{
		{"nothing is allowed", "", getUser, "AccessDenied: " + user + "iam:GetUser on resource: user u because no identity-based policy allows the iam:GetUser action"},
		{"an action", allow("iam:GetUser", "*"), getUser, ""},
		{"another action", allow("iam:ListUsers", "*"), getUser, "AccessDenied: " + user + "iam:GetUser on resource: user u"},
		{"an ARN", allow("iam:*", ownPrefix+"user/u"), getUser, ""},
		{"another ARN", allow("iam:*", ownPrefix+"user/v"), getUser, "AccessDenied: "},
		{"a variable", allow("iam:GetUser", ownPrefix+"user/${aws:username}"), getUser, ""},
		{"the caller's tag", allow("iam:GetUser", "*", when("StringEquals", "aws:PrincipalTag/team", "ml")), getUser, ""},
		{"another tag", allow("iam:GetUser", "*", when("StringEquals", "aws:PrincipalTag/team", "web")), getUser, "AccessDenied: "},
		{"the user's tag", allow("iam:GetUser", "*", when("StringEquals", "iam:ResourceTag/team", "ml")), getUser, ""},
		{"from here", allow("iam:GetUser", "*", when("IpAddress", "aws:SourceIp", "127.0.0.0/8")), getUser, ""},
		{"from elsewhere", allow("iam:GetUser", "*", when("IpAddress", "aws:SourceIp", "192.0.2.0/24")), getUser, "AccessDenied: "},
		{"over TLS", allow("iam:GetUser", "*", when("Bool", "aws:SecureTransport", "true")), getUser, ""},
		{"in time", allow("iam:GetUser", "*", when("DateLessThan", "aws:CurrentTime", "2026-01-03T00:00:00Z")), getUser, ""},
		{"too late", allow("iam:GetUser", "*", when("DateLessThan", "aws:CurrentTime", "2026-01-01T00:00:00Z")), getUser, "AccessDenied: "},
		{
			"an explicit deny", allow("iam:GetUser", "*") + `,{"Effect":"Deny","Action":"iam:Get*","Resource":"*"}`, getUser,
			"AccessDenied: " + user + "iam:GetUser on resource: user u with an explicit deny in an identity-based policy",
		},
		{
			"what cannot be decided", allow("iam:GetUser", "*", when("StringResembles", "aws:username", "u")), getUser,
			"AccessDenied: " + user + "iam:GetUser on resource: user u, as far as the sandbox can tell: ",
		},
		{"attaching one policy", allow("iam:AttachUserPolicy", "*", when("ArnEquals", "iam:PolicyARN", admin)), attach(admin), ""},
		{"attaching another", allow("iam:AttachUserPolicy", "*", when("ArnEquals", "iam:PolicyARN", admin)), attach("arn:aws:iam::aws:policy/ReadOnlyAccess"), "AccessDenied: "},

		{"S3's words", "", list(""), "AccessDenied: " + user + `s3:ListBucket on resource: "arn:aws:s3:::data" because no identity-based policy allows the s3:ListBucket action`},
		{"a bucket", allow("s3:ListBucket", bucket), list(""), ""},
		{"a prefix", allow("s3:ListBucket", bucket, when("StringLike", "s3:prefix", "home/*")), list("home/u"), ""},
		{"another prefix", allow("s3:ListBucket", bucket, when("StringLike", "s3:prefix", "home/*")), list("etc/"), "AccessDenied: "},
		{"an object", allow("s3:GetObject", bucket+"/*"), get("there"), ""},
		{"an object is not its bucket", allow("s3:GetObject", bucket), get("there"), "AccessDenied: " + user + `s3:GetObject on resource: "arn:aws:s3:::data/there"`},
		{"a bucket is not its objects", allow("s3:ListBucket", bucket+"/*"), list(""), "AccessDenied: "},
		{"no object, to who may list", allow("s3:GetObject", bucket+"/*") + "," + allow("s3:ListBucket", bucket), get("missing"), "NoSuchKey: "},
		{"no object, to who may not", allow("s3:GetObject", bucket+"/*"), get("missing"), "AccessDenied: " + user + "s3:ListBucket"},

		{"the words of the JSON services", "", createRepo(), "AccessDeniedException: " + user + "ecr:CreateRepository on resource: " + repo + "new because no identity-based policy allows the ecr:CreateRepository action"},
		{"a repository", allow("ecr:CreateRepository", repo+"*"), createRepo(), ""},
		{"a repository with tags", allow("ecr:CreateRepository", repo+"*"), createRepo("k"), "AccessDeniedException: " + user + "ecr:TagResource on resource: "},
		{"tags as well", allow("ecr:CreateRepository ecr:TagResource", repo+"*"), createRepo("k"), ""},
		{"the keys of the tags", allow("ecr:*", "*", `"Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["k","l"]}}`), createRepo("k", "l"), ""},
		{"a key too many", allow("ecr:*", "*", `"Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["k","l"]}}`), createRepo("k", "m"), "AccessDeniedException: "},
		{"the value of a tag", allow("ecr:*", "*", when("StringEquals", "aws:RequestTag/k", "v")), createRepo("k"), ""},
		{"another value", allow("ecr:*", "*", when("StringEquals", "aws:RequestTag/k", "w")), createRepo("k"), "AccessDeniedException: "},

		{"a log group", allow("logs:CreateLogGroup", group+"new:*"), createGroup(nil), ""},
		{"a log group with tags", allow("logs:CreateLogGroup", group+"new:*"), createGroup(map[string]string{"k": "v"}), "AccessDeniedException: " + user + "logs:TagResource on resource: " + group + "new because"},
		{"its tags go by another ARN", allow("logs:CreateLogGroup", group+"new:*") + "," + allow("logs:TagResource", group+"new"), createGroup(map[string]string{"k": "v"}), ""},
		{"a log group's ARN ends in a star", allow("logs:CreateLogGroup", group+"new"), createGroup(nil), "AccessDeniedException: "},
		{"the tag of a log group", allow("logs:*", "*", when("StringEquals", "aws:ResourceTag/team", "ml")), retain, ""},
		{"its other tag", allow("logs:*", "*", when("StringEquals", "aws:ResourceTag/team", "web")), retain, "AccessDeniedException: "},

		{"a role with tags", allow("iam:CreateRole", "*"), createRole, "AccessDenied: " + user + "iam:TagRole on resource: role r"},
		{"a role and tags", allow("iam:CreateRole iam:TagRole", ownPrefix+"role/r"), createRole, ""},

		{"a role to tasks", allow("ecs:RegisterTaskDefinition", "*"), register, "AccessDeniedException: " + user + "iam:PassRole on resource: " + ownPrefix + "role/task because no identity-based policy allows the iam:PassRole action"},
		{"that may be passed", allow("ecs:RegisterTaskDefinition", "*") + "," + allow("iam:PassRole", ownPrefix+"role/task"), register, ""},
		{"to ECS", allow("ecs:RegisterTaskDefinition", "*") + "," + allow("iam:PassRole", "*", when("StringEquals", "iam:PassedToService", "ecs-tasks.amazonaws.com")), register, ""},
		{"to another service", allow("ecs:RegisterTaskDefinition", "*") + "," + allow("iam:PassRole", "*", when("StringEquals", "iam:PassedToService", "lambda.amazonaws.com")), register, "AccessDeniedException: "},
		{"who one is needs no permission", `{"Effect":"Deny","Action":"*","Resource":"*"}`, func(ctx context.Context, c c) error {
			return erase(c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))
		}, ""},
		{"what is there by tags", "", func(ctx context.Context, c c) error {
			return erase(c.tagging.GetResources(ctx, &resourcegroupstaggingapi.GetResourcesInput{}))
		}, "AccessDeniedException: " + user + "tag:GetResources on resource: * because"},
		{"a secret of a name", allow("secretsmanager:CreateSecret", "arn:aws:secretsmanager:eu-north-1:123456789012:secret:s-??????"), func(ctx context.Context, c c) error {
			return erase(c.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("s")}))
		}, ""},
		{"a secret", "", func(ctx context.Context, c c) error {
			return erase(c.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("s")}))
		}, "AccessDeniedException: " + user + "secretsmanager:GetSecretValue on resource: s because"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := t.Context()
			e := serve(t, Options{EnforceIAM: true})
			root := e.as("test")
			must[*s3.CreateBucketOutput](t)(root.s3.CreateBucket(ctx, &s3.CreateBucketInput{
				Bucket: aws.String("data"), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: testRegion},
			}))
			must[*s3.PutObjectOutput](t)(root.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("there"), Body: strings.NewReader("x")}))
			must[*cloudwatchlogs.CreateLogGroupOutput](t)(root.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("old"), Tags: map[string]string{"team": "ml"}}))
			if err := (iamCalls{root.iam}).createRole(ctx, "task", trustECS); err != nil {
				t.Fatal(err)
			}
			var statements []string
			if tt.policy != "" {
				statements = []string{tt.policy}
			}
			err := tt.call(ctx, e.user(t, "u", statements...))
			if got := message(err); tt.want == "" && err != nil || tt.want != "" && !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s\nwant %q", got, tt.want)
			}
		})
	}
}

// Policies count wherever they are kept, and from the moment that they are.
func TestEnforceIAMPolicies(t *testing.T) {
	ctx := t.Context()
	e := serve(t, Options{EnforceIAM: true})
	root := iamCalls{e.iam()}
	u := e.user(t, "u")
	listUsers := func() string { return message(erase(u.iam.ListUsers(ctx, &iam.ListUsersInput{}))) }
	const (
		allowed = "<nil>"
		denied  = "AccessDenied: User: arn:aws:iam::123456789012:user/u is not authorized to perform: iam:ListUsers on resource: * "
		none    = denied + "because no identity-based policy allows the iam:ListUsers action"
		own     = ownPrefix + "policy/own"
		all     = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
	)
	steps := []struct {
		name string
		do   func() error
		want string
	}{
		{"no policy", func() error { return nil }, none},
		{"one of AWS's", func() error { return root.attachUser(ctx, "u", all) }, allowed},
		{"detached", func() error {
			return erase(root.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: aws.String("u"), PolicyArn: aws.String(all)}))
		}, none},
		{"a group's", func() error {
			return errors.Join(
				erase(root.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("g")})),
				erase(root.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: aws.String("g"), PolicyArn: aws.String(all)})),
				erase(root.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: aws.String("g"), UserName: aws.String("u")})))
		}, allowed},
		{"no member any more", func() error {
			return erase(root.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: aws.String("g"), UserName: aws.String("u")}))
		}, none},
		{"the account's own", func() error {
			return errors.Join(root.createPolicy(ctx, "own", document12(allow("iam:ListUsers", "*"))), root.attachUser(ctx, "u", own))
		}, allowed},
		{"a new version that is not the default", func() error { return root.createVersion(ctx, "own", document12(allow("iam:GetUser", "*"))) }, allowed},
		{"that becomes it", func() error {
			return erase(root.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: aws.String(own), VersionId: aws.String("v2")}))
		}, none},
		{"inline", func() error { return root.putUserPolicy(ctx, "u", "i", document12(allow("iam:List*", "*"))) }, allowed},
		{"a boundary that allows less", func() error {
			return erase(root.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: aws.String("u"), PermissionsBoundary: aws.String(own)}))
		}, denied + "because no permissions boundary allows the iam:ListUsers action"},
		{"a boundary that denies", func() error {
			return errors.Join(
				root.createPolicy(ctx, "never", document12(`{"Effect":"Deny","Action":"iam:ListUsers","Resource":"*"}`)),
				erase(root.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: aws.String("u"), PermissionsBoundary: aws.String(ownPrefix + "policy/never")})))
		}, denied + "with an explicit deny in a permissions boundary"},
		{"a boundary that allows all", func() error {
			return erase(root.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: aws.String("u"), PermissionsBoundary: aws.String(admin)}))
		}, allowed},
		{"a key that was turned off", func() error {
			keys := must[*iam.ListAccessKeysOutput](t)(root.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: aws.String("u")})).AccessKeyMetadata
			return erase(root.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: aws.String("u"), AccessKeyId: keys[0].AccessKeyId, Status: "Inactive"}))
		}, "InvalidClientTokenId: The security token included in the request is invalid."},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := listUsers(); got != step.want {
			t.Errorf("%s: %s\nwant %s", step.name, got, step.want)
		}
	}
}

// A resource's own policy lets in, and shuts out.
func TestEnforceIAMResourcePolicies(t *testing.T) {
	ctx := t.Context()
	e := serve(t, Options{EnforceIAM: true})
	root, nobody := e.as("test"), e.as("")
	u := e.user(t, "u")
	bucket, key := aws.String("data"), aws.String("k")
	must[*s3.CreateBucketOutput](t)(root.s3.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: bucket, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: testRegion},
	}))
	must[*s3.PutObjectOutput](t)(root.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("x")}))
	get := func(c callers) string {
		return message(erase(c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})))
	}
	put := func(statement string) {
		t.Helper()
		must[*s3.PutBucketPolicyOutput](t)(root.s3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String(document12(statement))}))
	}
	want := func(what, got, want string) {
		t.Helper()
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	want("nobody", get(nobody), "AccessDenied: Access Denied")
	want("nobody, to IAM", message(erase(nobody.iam.ListUsers(ctx, &iam.ListUsersInput{}))), "MissingAuthenticationToken: Request is missing Authentication Token")
	want("a user without policies", get(u), "AccessDenied: ")
	put(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/u"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::data/*"}`)
	want("the user that it names", get(u), "<nil>")
	put(`{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/*"}`)
	want("root, denied", get(root), "AccessDenied: User: arn:aws:iam::123456789012:root is not authorized to perform: s3:GetObject on resource: "+`"arn:aws:s3:::data/k" with an explicit deny in a resource-based policy`)
	put(`{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::data","arn:aws:s3:::data/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}`)
	want("root, as over TLS", get(root), "<nil>")

	must[*s3.DeletePublicAccessBlockOutput](t)(root.s3.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: bucket}))
	put(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/*"}`)
	want("anybody", get(nobody), "<nil>")
	must[*s3.PutPublicAccessBlockOutput](t)(root.s3.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
		Bucket: bucket, PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{RestrictPublicBuckets: aws.Bool(true)},
	}))
	want("anybody, shut off", get(nobody), "AccessDenied: Access Denied")

	repo := aws.String("repo")
	must[*ecr.CreateRepositoryOutput](t)(root.ecr.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: repo}))
	images := func() string {
		return message(erase(u.ecr.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: repo})))
	}
	want("a repository", images(), "AccessDeniedException: ")
	must[*ecr.SetRepositoryPolicyOutput](t)(root.ecr.SetRepositoryPolicy(ctx, &ecr.SetRepositoryPolicyInput{
		RepositoryName: repo, PolicyText: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/u"},"Action":"ecr:ListImages"}]}`),
	}))
	want("a repository that lets the user in", images(), "<nil>")
}

// DeleteObjects asks for each key, and tells of each.
func TestEnforceIAMDeleteObjects(t *testing.T) {
	ctx := t.Context()
	e := serve(t, Options{EnforceIAM: true})
	root := e.as("test")
	bucket := aws.String("data")
	must[*s3.CreateBucketOutput](t)(root.s3.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: bucket, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: testRegion},
	}))
	for _, key := range []string{"mine", "theirs"} {
		must[*s3.PutObjectOutput](t)(root.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: strings.NewReader("x")}))
	}
	u := e.user(t, "u", allow("s3:DeleteObject", "arn:aws:s3:::data/mine"))
	out := must[*s3.DeleteObjectsOutput](t)(u.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &s3types.Delete{
		Objects: []s3types.ObjectIdentifier{{Key: aws.String("mine")}, {Key: aws.String("theirs")}, {Key: aws.String("mine"), VersionId: aws.String("null")}},
	}}))
	var got []string
	for _, d := range out.Deleted {
		got = append(got, "deleted "+*d.Key)
	}
	for _, f := range out.Errors {
		_, action, _ := strings.Cut(*f.Message, "perform: ")
		action, _, _ = strings.Cut(action, " ")
		got = append(got, *f.Code+" "+*f.Key+aws.ToString(f.VersionId)+" "+action)
	}
	want := []string{"deleted mine", "AccessDenied theirs s3:DeleteObject", "AccessDenied minenull s3:DeleteObjectVersion"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	left := must[*s3.ListObjectsV2Output](t)(root.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})).Contents
	if len(left) != 1 || *left[0].Key != "theirs" {
		t.Errorf("left: %v", left)
	}
}

func TestAssumeRole(t *testing.T) {
	ctx := t.Context()
	var now atomic.Pointer[time.Time]
	now.Store(&start)
	e := serve(t, Options{EnforceIAM: true, Now: func() time.Time { return *now.Load() }})
	root := iamCalls{e.iam()}
	named, other := e.user(t, "named"), e.user(t, "other")
	free := e.user(t, "free", allow("sts:AssumeRole", "*"))
	role := func(name, trust string) {
		t.Helper()
		must[*iam.CreateRoleOutput](t)(root.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust, Path: aws.String("/app/")}))
	}
	trusts := func(principal, more string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":["sts:AssumeRole"]` + more + `}]}`
	}
	role("named", trusts(ownPrefix+"user/named", ""))
	role("account", trusts(ownPrefix+"root", ""))
	role("external", trusts(ownPrefix+"user/named", `,"Condition":{"StringEquals":{"sts:ExternalId":"x1"}}`))
	must[*iam.PutRolePolicyOutput](t)(root.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: aws.String("named"), PolicyName: aws.String("p"), PolicyDocument: aws.String(document12(allow("iam:List*", "*"))),
	}))
	assume := func(c callers, role string, change func(*sts.AssumeRoleInput)) (*sts.AssumeRoleOutput, error) {
		in := &sts.AssumeRoleInput{RoleArn: aws.String(ownPrefix + "role/app/" + role), RoleSessionName: aws.String("job")}
		if change != nil {
			change(in)
		}
		return c.sts.AssumeRole(ctx, in)
	}
	const no = "AccessDenied: User: arn:aws:iam::123456789012:user/"
	for _, tt := range []struct {
		name   string
		as     callers
		role   string
		change func(*sts.AssumeRoleInput)
		want   string
	}{
		{"whom it names", named, "named", nil, "<nil>"},
		{"whom it does not name", other, "named", nil, no + "other is not authorized to perform: sts:AssumeRole on resource: " + ownPrefix + "role/app/named"},
		{"who may assume all, and is not named", free, "named", nil, no + "free"},
		{"of the account, without a policy", other, "account", nil, no + "other"},
		{"of the account, with a policy", free, "account", nil, "<nil>"},
		{"root", e.as("test"), "account", nil, "AccessDenied: Roles may not be assumed by root accounts."},
		{"no such role", named, "missing", nil, no + "named"},
		{"without the external ID", named, "external", nil, no + "named"},
		{"with it", named, "external", func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String("x1") }, "<nil>"},
		{"with tags", named, "named", func(in *sts.AssumeRoleInput) {
			in.Tags = []ststypes.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
		}, no + "named is not authorized to perform: sts:TagSession"},
		{"for too long", named, "named", func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(7200) }, "ValidationError: The requested DurationSeconds exceeds"},
	} {
		_, err := assume(tt.as, tt.role, tt.change)
		if got := message(err); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}

	out := must[*sts.AssumeRoleOutput](t)(assume(named, "named", nil))
	if !out.Credentials.Expiration.Equal(start.Add(time.Hour)) {
		t.Errorf("expires %v", out.Credentials.Expiration)
	}
	s := e.session(out.Credentials)
	id := must[*sts.GetCallerIdentityOutput](t)(s.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))
	if *id.Arn != "arn:aws:sts::123456789012:assumed-role/named/job" || !strings.HasPrefix(*id.UserId, "AROA") || !strings.HasSuffix(*id.UserId, ":job") {
		t.Errorf("the caller is %s, %s", *id.Arn, *id.UserId)
	}
	listUsers := func(c callers) string { return message(erase(c.iam.ListUsers(ctx, &iam.ListUsersInput{}))) }
	wantMessage := func(what, got, want string) {
		t.Helper()
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	wantMessage("what the role may do", listUsers(s), "<nil>")
	wantMessage("what it may not", message(erase(s.iam.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{}))),
		"AccessDenied: User: arn:aws:sts::123456789012:assumed-role/named/job is not authorized to perform: iam:GetAccountAuthorizationDetails on resource: * because no identity-based policy")
	wantMessage("a user of its own", message(erase(s.iam.GetUser(ctx, &iam.GetUserInput{}))), "AccessDenied: ")

	limited := must[*sts.AssumeRoleOutput](t)(assume(named, "named", func(in *sts.AssumeRoleInput) {
		in.Policy = aws.String(document12(allow("iam:ListRoles", "*")))
	}))
	wantMessage("beyond the session's policy", listUsers(e.session(limited.Credentials)),
		"AccessDenied: User: arn:aws:sts::123456789012:assumed-role/named/job is not authorized to perform: iam:ListUsers on resource: * because no session policy allows the iam:ListUsers action")

	later := start.Add(time.Hour)
	now.Store(&later)
	wantMessage("an hour later", listUsers(s), "ExpiredToken: The security token included in the request is expired")

	out = must[*sts.AssumeRoleOutput](t)(assume(named, "named", nil))
	must[*iam.DeleteRolePolicyOutput](t)(root.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String("named"), PolicyName: aws.String("p")}))
	must[*iam.DeleteRoleOutput](t)(root.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("named")}))
	role("named", trusts(ownPrefix+"user/named", ""))
	must[*iam.PutRolePolicyOutput](t)(root.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: aws.String("named"), PolicyName: aws.String("p"), PolicyDocument: aws.String(document12(allow("iam:List*", "*"))),
	}))
	wantMessage("a role that was made again", listUsers(e.session(out.Credentials)), "AccessDenied: ")
}

// token is one as GitHub signs it, without the signature.
func token(t *testing.T, change map[string]any) string {
	t.Helper()
	claims := map[string]any{
		"iss": "https://token.actions.githubusercontent.com", "aud": "sts.amazonaws.com",
		"sub": "repo:owner/name:ref:refs/heads/main", "repository": "owner/name", "ref": "refs/heads/main",
		"iat": start.Unix(), "exp": start.Add(5 * time.Minute).Unix(),
	}
	maps.Copy(claims, change)
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + enc(body) + "." + enc([]byte("signature"))
}

func TestAssumeRoleWithWebIdentity(t *testing.T) {
	ctx := t.Context()
	e := serve(t, Options{EnforceIAM: true})
	root := iamCalls{e.iam()}
	provider := *must[*iam.CreateOpenIDConnectProviderOutput](t)(root.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
		Url: aws.String("https://token.actions.githubusercontent.com"), ClientIDList: []string{"sts.amazonaws.com"},
	})).OpenIDConnectProviderArn
	trust := func(condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + provider + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{` + condition + `}}]}`
	}
	for name, condition := range map[string]string{
		"branch": `"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com","token.actions.githubusercontent.com:sub":"repo:owner/name:ref:refs/heads/main"}`,
		"claims": `"StringEquals":{"token.actions.githubusercontent.com:repository":"owner/name","token.actions.githubusercontent.com:ref":"refs/heads/main"}`,
	} {
		if err := root.createRole(ctx, name, trust(condition)); err != nil {
			t.Fatal(err)
		}
	}
	if err := root.createRole(ctx, "users", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`); err != nil {
		t.Fatal(err)
	}
	must[*iam.PutRolePolicyOutput](t)(root.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: aws.String("branch"), PolicyName: aws.String("p"),
		PolicyDocument: aws.String(document12(allow("iam:ListUsers", "*", when("StringEquals", "aws:FederatedProvider", provider)))),
	}))

	const no = "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"
	for _, tt := range []struct {
		name, role string
		claims     map[string]any
		want       string
	}{
		{"the branch", "branch", nil, "<nil>"},
		{"another branch", "branch", map[string]any{"sub": "repo:owner/name:ref:refs/heads/dev"}, no},
		{"a pull request", "branch", map[string]any{"sub": "repo:owner/name:pull_request"}, no},
		{"another repository", "branch", map[string]any{"sub": "repo:owner/other:ref:refs/heads/main"}, no},
		{"another audience", "branch", map[string]any{"aud": "https://github.com/owner"}, "InvalidIdentityToken: Incorrect token audience"},
		{"another provider", "branch", map[string]any{"iss": "https://gitlab.com"}, "InvalidIdentityToken: No OpenIDConnect provider found in your account for https://gitlab.com"},
		{"an old token", "branch", map[string]any{"exp": start.Add(-time.Minute).Unix()}, "ExpiredTokenException: Token expired"},
		{"no subject", "branch", map[string]any{"sub": nil}, "InvalidIdentityToken: Missing a required claim: sub"},
		{"claims of GitHub's", "claims", nil, "<nil>"},
		{"other claims", "claims", map[string]any{"repository": "owner/other"}, no},
		{"a role of users", "users", nil, no},
		{"no such role", "missing", nil, no},
	} {
		_, err := e.as("").sts.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
			RoleArn: aws.String(ownPrefix + "role/" + tt.role), RoleSessionName: aws.String("ci"), WebIdentityToken: aws.String(token(t, tt.claims)),
		})
		if got := message(err); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}

	out := must[*sts.AssumeRoleWithWebIdentityOutput](t)(e.as("").sts.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(ownPrefix + "role/branch"), RoleSessionName: aws.String("ci"), WebIdentityToken: aws.String(token(t, nil)),
	}))
	if *out.Provider != provider || *out.Audience != "sts.amazonaws.com" || *out.SubjectFromWebIdentityToken != "repo:owner/name:ref:refs/heads/main" {
		t.Errorf("answered %s, %s, %s", *out.Provider, *out.Audience, *out.SubjectFromWebIdentityToken)
	}
	s := e.session(out.Credentials)
	if got := message(erase(s.iam.ListUsers(ctx, &iam.ListUsersInput{}))); got != "<nil>" {
		t.Errorf("what the role may do: %s", got)
	}
	if got := message(erase(s.iam.ListRoles(ctx, &iam.ListRolesInput{}))); !strings.HasPrefix(got, "AccessDenied: User: arn:aws:sts::123456789012:assumed-role/branch/ci is not") {
		t.Errorf("what it may not do: %s", got)
	}
}
