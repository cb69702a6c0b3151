package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// PolicyAPI is what a customer-managed policy needs of IAM.
type PolicyAPI interface {
	GetPolicy(context.Context, *iam.GetPolicyInput, ...func(*iam.Options)) (*iam.GetPolicyOutput, error)
	GetPolicyVersion(context.Context, *iam.GetPolicyVersionInput, ...func(*iam.Options)) (*iam.GetPolicyVersionOutput, error)
	ListPolicyVersions(context.Context, *iam.ListPolicyVersionsInput, ...func(*iam.Options)) (*iam.ListPolicyVersionsOutput, error)
	CreatePolicy(context.Context, *iam.CreatePolicyInput, ...func(*iam.Options)) (*iam.CreatePolicyOutput, error)
	CreatePolicyVersion(context.Context, *iam.CreatePolicyVersionInput, ...func(*iam.Options)) (*iam.CreatePolicyVersionOutput, error)
	DeletePolicyVersion(context.Context, *iam.DeletePolicyVersionInput, ...func(*iam.Options)) (*iam.DeletePolicyVersionOutput, error)
	SetDefaultPolicyVersion(context.Context, *iam.SetDefaultPolicyVersionInput, ...func(*iam.Options)) (*iam.SetDefaultPolicyVersionOutput, error)
	DeletePolicy(context.Context, *iam.DeletePolicyInput, ...func(*iam.Options)) (*iam.DeletePolicyOutput, error)
	TagPolicy(context.Context, *iam.TagPolicyInput, ...func(*iam.Options)) (*iam.TagPolicyOutput, error)
	UntagPolicy(context.Context, *iam.UntagPolicyInput, ...func(*iam.Options)) (*iam.UntagPolicyOutput, error)
}

var _ PolicyAPI = (*iam.Client)(nil)

// maxVersions is IAM's limit of versions of a policy.
const maxVersions = 5

type livePolicy = reconcile.Live[spec.IAMPolicy, PolicyFacts]

// PolicyFacts are what a spec has no word for in a policy.
type PolicyFacts struct {
	// Others are the versions that are not the default, oldest first. Only a
	// policy about to get another document needs to know of them.
	Others      []types.PolicyVersion
	TagsUnknown bool // the tags were not told
}

// Policies keeps the customer-managed policies of an account.
type Policies struct {
	api  PolicyAPI
	env  reconcile.Env
	read func(context.Context, spec.IAMPolicy) (livePolicy, error)
	seen *Census // where one is to be deleted
}

var _ reconcile.Kind[spec.IAMPolicy, PolicyFacts] = Policies{}

func policyARN(env reconcile.Env, want spec.IAMPolicy) string {
	return *env.ARN(want.ID(), want.Path)
}

// Describe reads a policy with its default version.
func (p Policies) Describe(ctx context.Context, want spec.IAMPolicy, _ bool) (livePolicy, error) {
	live, err := p.read(ctx, want)
	if err != nil || !live.Exists {
		return livePolicy{}, err
	}
	if same, err := policy.Equal(live.Is.Document, want.Document); want.Document.Given() && (err != nil || !same) {
		if live.Facts.Others, err = p.versions(ctx, policyARN(p.env, want)); err != nil {
			return livePolicy{}, err
		}
	}
	return live, nil
}

func describePolicy(ctx context.Context, api PolicyAPI, pause awsx.Pause, arn string) (livePolicy, error) {
	poll := awsx.Poll{Pause: pause, Budget: visibleBudget}
	for {
		out, err := api.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
		if awsx.Code(err) == "NoSuchEntity" {
			return livePolicy{}, nil
		}
		if err != nil {
			return livePolicy{}, err
		}
		if out.Policy == nil || out.Policy.DefaultVersionId == nil {
			return livePolicy{}, awsx.Hollow("iam:GetPolicy", "Policy with its DefaultVersionId", out.ResultMetadata)
		}
		version, err := api.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: out.Policy.DefaultVersionId})
		// Gone between the two calls, or not yet everywhere: a race, which
		// the next look at the policy itself decides.
		if awsx.Code(err) == "NoSuchEntity" && poll.Again(ctx) {
			continue
		}
		if err != nil {
			return livePolicy{}, err
		}
		if version.PolicyVersion == nil || version.PolicyVersion.Document == nil {
			return livePolicy{}, awsx.Hollow("iam:GetPolicyVersion", "PolicyVersion with its Document", version.ResultMetadata)
		}
		document, err := policy.Decode(*version.PolicyVersion.Document)
		return livePolicy{Exists: true, Is: spec.IAMPolicy{
			Meta: spec.Meta{Tags: tagMap(out.Policy.Tags)},
			Name: aws.ToString(out.Policy.PolicyName), Path: aws.ToString(out.Policy.Path),
			Description: aws.String(aws.ToString(out.Policy.Description)), Document: spec.Document(document),
		}}, err
	}
}

// versions reads the versions that are not the default, oldest first, with
// their documents.
func (p Policies) versions(ctx context.Context, arn string) ([]types.PolicyVersion, error) {
	var others []types.PolicyVersion
	pages := iam.NewListPolicyVersionsPaginator(p.api, &iam.ListPolicyVersionsInput{PolicyArn: &arn})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range page.Versions {
			if v.IsDefaultVersion {
				continue
			}
			// The list has no documents.
			out, err := p.api.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: v.VersionId})
			if awsx.Code(err) == "NoSuchEntity" {
				continue
			}
			if err != nil {
				return nil, err
			}
			if out.PolicyVersion == nil || out.PolicyVersion.VersionId == nil {
				return nil, awsx.Hollow("iam:GetPolicyVersion", "PolicyVersion with its VersionId", out.ResultMetadata)
			}
			others = append(others, *out.PolicyVersion)
		}
	}
	slices.SortFunc(others, func(a, b types.PolicyVersion) int {
		return aws.ToTime(a.CreateDate).Compare(aws.ToTime(b.CreateDate))
	})
	return others, nil
}

// Complete has nothing to fill in.
func (p Policies) Complete(_ livePolicy, want spec.IAMPolicy) (spec.IAMPolicy, error) {
	return want, nil
}

// Normal is a policy in the form in which policies are compared.
func (p Policies) Normal(managed spec.IAMPolicy) (map[string]any, error) {
	tree := spec.Tree(managed)
	return tree, policy.Normal(tree, "document")
}

// Brief leaves out what a policy has of which only its document is given.
func (p Policies) Brief(managed spec.IAMPolicy) spec.IAMPolicy {
	managed.Path, managed.Description = briefPath(managed.Path), briefText(managed.Description)
	return managed
}

func briefPath(path string) string {
	if path == "/" {
		return ""
	}
	return path
}

func briefText(text *string) *string {
	if aws.ToString(text) == "" {
		return nil
	}
	return text
}

// Diff lists the steps from live to want.
func (p Policies) Diff(live livePolicy, want spec.IAMPolicy, c reconcile.Changes) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	arn := aws.String(policyARN(p.env, want))
	if !live.Exists {
		steps.Add("iam:CreatePolicy", "create", append(c.Of("name", "path", "description", "document"), c.Tags.Lines...),
			func(ctx context.Context) error { return p.create(ctx, want, c.Tags.Put) })
		return steps.List, nil
	}
	// The account's pages do not tell the description.
	if is := live.Is.Description; is != nil && len(c.Of("description")) > 0 {
		return nil, fmt.Errorf("description is %q and cannot change to %q: IAM fixes it when the policy is created; "+
			"say what is there in the spec, leave description out, or name another policy", *is, aws.ToString(want.Description))
	}
	document, others := c.Of("document"), live.Facts.Others
	if same := matching(others, want.Document); same != "" {
		steps.Add("iam:SetDefaultPolicyVersion", "set the default version of", document, func(ctx context.Context) error {
			_, err := p.api.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: &same})
			return err
		})
	} else if len(document) > 0 {
		if len(others)+1 >= maxVersions {
			oldest := others[0].VersionId
			steps.Add("iam:DeletePolicyVersion", "make room for a version of", []reconcile.Diff{
				{Path: "versions[" + aws.ToString(oldest) + "]", Before: "the oldest, making room for the new one"},
			}, func(ctx context.Context) error {
				_, err := p.api.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: oldest})
				return gone(err)
			})
		}
		steps.Add("iam:CreatePolicyVersion", "write a version of", document, func(ctx context.Context) error {
			_, err := p.api.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{
				PolicyArn: arn, PolicyDocument: aws.String(string(want.Document)), SetAsDefault: true,
			}, once)
			return err
		}).Once = true
	}
	if !live.Facts.TagsUnknown {
		steps.Tag(c.Tags,
			"iam:TagPolicy", func(ctx context.Context) error {
				_, err := p.api.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: arn, Tags: tagList(c.Tags.Put)})
				return err
			},
			"iam:UntagPolicy", func(ctx context.Context) error {
				_, err := p.api.UntagPolicy(ctx, &iam.UntagPolicyInput{PolicyArn: arn, TagKeys: c.Tags.Remove})
				return err
			})
	}
	return steps.List, nil
}

// Permissions are what a policy's calls need.
func (p Policies) Permissions(want spec.IAMPolicy) []reconcile.Permission {
	n := reconcile.Permissions{On: []string{policyARN(p.env, want)}}
	n.Read("iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyVersions")
	n.Write("iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion", "iam:DeletePolicyVersion", "iam:TagPolicy", "iam:UntagPolicy")
	n.Also(reconcile.Writing, "iam:CreatePolicy", "iam:TagPolicy")
	n.Delete("iam:DeletePolicyVersion", "iam:DeletePolicy")
	return n.List
}

// matching is the id of a version that says already what the spec says.
func matching(others []types.PolicyVersion, want spec.Document) string {
	for _, v := range others {
		document, err := policy.Decode(aws.ToString(v.Document))
		if err != nil {
			continue
		}
		if same, err := policy.Equal([]byte(document), want); err == nil && same {
			return aws.ToString(v.VersionId)
		}
	}
	return ""
}

func (p Policies) create(ctx context.Context, want spec.IAMPolicy, tags map[string]string) error {
	in := &iam.CreatePolicyInput{
		PolicyName:     &want.Name,
		PolicyDocument: aws.String(string(want.Document)),
		Description:    want.Description,
		Tags:           tagList(tags),
	}
	if want.Path != "" {
		in.Path = &want.Path
	}
	_, err := p.api.CreatePolicy(ctx, in)
	return named(err, "policy", want.Path)
}

// named explains AlreadyExists: IAM's names are unique without regard to path
// and case, so that a name can be taken although the ARN does not exist.
func named(err error, what, path string) error {
	if awsx.Code(err) != "EntityAlreadyExists" {
		return err
	}
	if path == "" {
		path = "/"
	}
	return fmt.Errorf("%w; if it does not go away, a %s of that name exists in this account under another path than %q, or written in other case",
		awsx.Clean(err), what, path)
}

func tagMap(list []types.Tag) map[string]string {
	m := make(map[string]string, len(list))
	for _, t := range list {
		m[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m
}

func lastSegment(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// Tags reads the tags that a policy has now.
func (p Policies) Tags(ctx context.Context, want spec.IAMPolicy) (map[string]string, error) {
	arn := policyARN(p.env, want)
	out, err := p.api.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
	if awsx.Code(err) == "NoSuchEntity" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if out.Policy == nil {
		return nil, awsx.Hollow("iam:GetPolicy", "Policy", out.ResultMetadata)
	}
	return tagMap(out.Policy.Tags), nil
}

// Holders lists who has the policy.
func (p Policies) Holders(ctx context.Context, _ livePolicy, want spec.IAMPolicy) ([]reconcile.Holder, error) {
	return p.seen.attached(ctx, policyARN(p.env, want))
}

// Delete lists the steps that take a policy away: its further versions first,
// without which IAM does not let it go.
func (p Policies) Delete(live livePolicy, want spec.IAMPolicy) ([]reconcile.Step, error) {
	steps := reconcile.Steps{For: want.ID()}
	arn := aws.String(policyARN(p.env, want))
	for _, v := range live.Facts.Others {
		id := aws.ToString(v.VersionId)
		steps.Add("iam:DeletePolicyVersion", "delete version "+id+" of", []reconcile.Diff{{Path: "versions[" + id + "]", Before: "not the default"}},
			func(ctx context.Context) error {
				_, err := p.api.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: &id})
				return gone(err)
			})
	}
	steps.Add("iam:DeletePolicy", "delete", []reconcile.Diff{{Path: "name", Before: want.Name}}, onceLetGo(p.env, func(ctx context.Context) error {
		_, err := p.api.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn})
		return err
	}))
	return p.seen.writes(steps.List), nil
}
