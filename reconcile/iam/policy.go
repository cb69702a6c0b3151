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
	TagPolicy(context.Context, *iam.TagPolicyInput, ...func(*iam.Options)) (*iam.TagPolicyOutput, error)
	UntagPolicy(context.Context, *iam.UntagPolicyInput, ...func(*iam.Options)) (*iam.UntagPolicyOutput, error)
}

var _ PolicyAPI = (*iam.Client)(nil)

// maxVersions is IAM's limit of versions of a policy.
const maxVersions = 5

// Policy keeps one customer-managed policy.
type Policy struct {
	api  PolicyAPI
	env  reconcile.Env
	want spec.IAMPolicy
	read awsx.Read[*managedPolicy] // nil: absent
}

// ID is the policy's address.
func (p *Policy) ID() spec.ID { return spec.ID{Kind: spec.Policy, Name: p.want.Name} }

// Needs lists what the spec's policy refers to.
func (p *Policy) Needs() []spec.ID { return p.want.Needs }

// Plan reads the policy and says what is to do.
func (p *Policy) Plan(ctx context.Context) (reconcile.Plan, error) {
	live, err := p.read(ctx)
	if err != nil {
		return reconcile.Plan{}, err
	}
	var others []types.PolicyVersion
	if live != nil {
		// Only a policy about to get another document needs to know of its
		// other versions.
		if same, err := policy.Equal([]byte(live.document), p.want.Document); err != nil || !same {
			if others, err = p.versions(ctx); err != nil {
				return reconcile.Plan{}, err
			}
		}
	}
	steps, err := p.diff(live, others)
	plan := reconcile.Plan{Exists: live != nil, Steps: steps}
	if live != nil && live.note != "" {
		plan.Notes = append(plan.Notes, live.note)
	}
	return plan, err
}

func (p *Policy) arn() string { return policyARN(p.env, p.want) }

func policyARN(env reconcile.Env, want spec.IAMPolicy) string {
	path := want.Path
	if path == "" {
		path = "/"
	}
	return fmt.Sprintf("arn:%s:iam::%s:policy%s%s", env.Partition, env.Account, path, want.Name)
}

// managedPolicy is what IAM has.
type managedPolicy struct {
	document    string
	description *string // nil: not told
	tags        map[string]string
	tagsUnknown bool   // not told
	note        string // what the reader of a report should know
}

func describePolicy(ctx context.Context, api PolicyAPI, pause awsx.Pause, arn string) (*managedPolicy, error) {
	poll := awsx.Poll{Pause: pause, Budget: visibleBudget}
	for {
		out, err := api.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
		if awsx.Code(err) == "NoSuchEntity" {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if out.Policy == nil || out.Policy.DefaultVersionId == nil {
			return nil, awsx.Hollow("iam:GetPolicy", "Policy with its DefaultVersionId", out.ResultMetadata)
		}
		version, err := api.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: out.Policy.DefaultVersionId})
		// Gone between the two calls, or not yet everywhere: a race, which
		// the next look at the policy itself decides.
		if awsx.Code(err) == "NoSuchEntity" && poll.Again(ctx) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if version.PolicyVersion == nil || version.PolicyVersion.Document == nil {
			return nil, awsx.Hollow("iam:GetPolicyVersion", "PolicyVersion with its Document", version.ResultMetadata)
		}
		document, err := policy.Decode(*version.PolicyVersion.Document)
		if err != nil {
			return nil, err
		}
		return &managedPolicy{
			document:    document,
			description: aws.String(aws.ToString(out.Policy.Description)),
			tags:        tagMap(out.Policy.Tags),
		}, nil
	}
}

// versions reads the versions that are not the default, oldest first, with
// their documents.
func (p *Policy) versions(ctx context.Context) ([]types.PolicyVersion, error) {
	var others []types.PolicyVersion
	pages := iam.NewListPolicyVersionsPaginator(p.api, &iam.ListPolicyVersionsInput{PolicyArn: aws.String(p.arn())})
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
			out, err := p.api.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: aws.String(p.arn()), VersionId: v.VersionId})
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

func (p *Policy) diff(live *managedPolicy, others []types.PolicyVersion) ([]reconcile.Step, error) {
	var steps []reconcile.Step
	step := func(call, does string, diffs []reconcile.Diff, do func(context.Context) error) {
		steps = append(steps, reconcile.Step{Call: call, Does: does + " " + p.ID().String(), Diffs: diffs, Do: do})
	}
	arn := aws.String(p.arn())

	var liveTags map[string]string
	var liveDocument []byte
	if live != nil {
		liveTags, liveDocument = live.tags, []byte(live.document)
	}
	_, _, tags, err := p.env.Tags(p.want.Tags).Diff(liveTags)
	if err != nil {
		return nil, err
	}
	document, err := policy.Diff("document", liveDocument, p.want.Document)
	if err != nil {
		return nil, err
	}

	if live == nil {
		diffs := []reconcile.Diff{{Path: "name", After: p.want.Name}}
		if p.want.Path != "" {
			diffs = append(diffs, reconcile.Diff{Path: "path", After: p.want.Path})
		}
		if p.want.Description != nil {
			diffs = append(diffs, reconcile.Diff{Path: "description", After: *p.want.Description})
		}
		step("iam:CreatePolicy", "create", append(append(diffs, document...), tags...), p.create)
		return steps, nil
	}

	if p.want.Description != nil && live.description != nil && *live.description != *p.want.Description {
		return nil, fmt.Errorf("description is %q and cannot change to %q: IAM fixes it when the policy is created; "+
			"say what is there in the spec, leave description out, or name another policy", *live.description, *p.want.Description)
	}
	if len(document) > 0 {
		switch same := p.matching(others); {
		case same != "":
			step("iam:SetDefaultPolicyVersion", "set the default version of", document, func(ctx context.Context) error {
				_, err := p.api.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: &same})
				return err
			})
		default:
			if len(others)+1 >= maxVersions {
				oldest := others[0].VersionId
				step("iam:DeletePolicyVersion", "make room for a version of", []reconcile.Diff{
					{Path: "versions[" + aws.ToString(oldest) + "]", Before: "the oldest, making room for the new one"},
				}, func(ctx context.Context) error {
					_, err := p.api.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: oldest})
					return gone(err)
				})
			}
			step("iam:CreatePolicyVersion", "write a version of", document, p.createVersion)
			steps[len(steps)-1].Once = true
		}
	}
	if live.tagsUnknown {
		return steps, nil
	}
	tagging, err := p.env.Tags(p.want.Tags).Steps(p.ID(), live.tags, reconcile.TagCalls{
		Tag: "iam:TagPolicy", Put: func(ctx context.Context, tags map[string]string) error {
			_, err := p.api.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: arn, Tags: tagList(tags)})
			return err
		},
		Untag: "iam:UntagPolicy", Remove: func(ctx context.Context, keys []string) error {
			_, err := p.api.UntagPolicy(ctx, &iam.UntagPolicyInput{PolicyArn: arn, TagKeys: keys})
			return err
		},
	})
	return append(steps, tagging...), err
}

// matching is the id of a version that says already what the spec says.
func (p *Policy) matching(others []types.PolicyVersion) string {
	for _, v := range others {
		document, err := policy.Decode(aws.ToString(v.Document))
		if err != nil {
			continue
		}
		if same, err := policy.Equal([]byte(document), p.want.Document); err == nil && same {
			return aws.ToString(v.VersionId)
		}
	}
	return ""
}

func (p *Policy) create(ctx context.Context) error {
	in := &iam.CreatePolicyInput{
		PolicyName:     &p.want.Name,
		PolicyDocument: aws.String(string(p.want.Document)),
		Description:    p.want.Description,
		Tags:           tagList(p.env.Tags(p.want.Tags).Create()),
	}
	if p.want.Path != "" {
		in.Path = &p.want.Path
	}
	_, err := p.api.CreatePolicy(ctx, in)
	return named(err, "policy", p.want.Path)
}

func (p *Policy) createVersion(ctx context.Context) error {
	_, err := p.api.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{
		PolicyArn: aws.String(p.arn()), PolicyDocument: aws.String(string(p.want.Document)), SetAsDefault: true,
	}, once)
	return err
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
