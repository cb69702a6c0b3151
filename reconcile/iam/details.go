package iam

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	tagging "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// DetailsAPI reads an account by the page.
type DetailsAPI interface {
	GetAccountAuthorizationDetails(context.Context, *iam.GetAccountAuthorizationDetailsInput, ...func(*iam.Options)) (*iam.GetAccountAuthorizationDetailsOutput, error)
	ListRoles(context.Context, *iam.ListRolesInput, ...func(*iam.Options)) (*iam.ListRolesOutput, error)
}

var _ DetailsAPI = (*iam.Client)(nil)

// TaggingAPI reads tags by the page.
type TaggingAPI interface {
	GetResources(context.Context, *tagging.GetResourcesInput, ...func(*tagging.Options)) (*tagging.GetResourcesOutput, error)
}

var _ TaggingAPI = (*tagging.Client)(nil)

// many is the number of policies, roles, groups and users above which an account is
// read by the page. One by one each costs two calls; the pages cost a call a
// thousand entities, whosever they are, and none says all.
const many = 50

func entities(want spec.IAM) int {
	return len(want.Policies) + len(want.Roles) + len(want.Groups) + len(want.Users)
}

// byThePage is a reader whose first answer for each resource comes from
// GetAccountAuthorizationDetails. That has no role's description or session
// duration (ListRoles has), and no policy's description or tags (the tagging
// API has the tags). Whatever asks again is read by itself, and everything is
// where a page cannot be had: the calls may be denied.
func byThePage(api API, snapshot *Snapshot, env reconcile.Env, want spec.IAM) reader {
	d := &details{api: api, snapshot: snapshot, env: env, want: want}

	roleByName := make(map[string]spec.IAMRole, len(want.Roles))
	groupByName := make(map[string]spec.IAMGroup, len(want.Groups))
	userByName := make(map[string]spec.IAMUser, len(want.Users))
	var arns, roleNames, groupNames, userNames []string
	for _, p := range want.Policies {
		arns = append(arns, policyARN(env, p))
	}
	for _, r := range want.Roles {
		roleNames, roleByName[r.Name] = append(roleNames, r.Name), r
	}
	for _, g := range want.Groups {
		groupNames, groupByName[g.Name] = append(groupNames, g.Name), g
	}
	for _, u := range want.Users {
		userNames, userByName[u.Name] = append(userNames, u.Name), u
	}
	policies := awsx.NewShared(arns, d.policies, func(ctx context.Context, arn string) (livePolicy, error) {
		return describePolicy(ctx, api, env.Pause, arn)
	})
	roles := awsx.NewShared(roleNames, d.roles, func(ctx context.Context, name string) (liveRole, error) {
		return describeRole(ctx, api, env.Pause, roleByName[name])
	})
	groups := awsx.NewShared(groupNames, d.groups, func(ctx context.Context, name string) (liveGroup, error) {
		return describeGroup(ctx, api, env.Pause, groupByName[name])
	})
	users := awsx.NewShared(askers(want.Users), d.users, func(ctx context.Context, name string) (liveUser, error) {
		return describeUser(ctx, api, name)
	})
	granted := awsx.NewShared(userNames, d.grants, func(ctx context.Context, name string) (grants, error) {
		return describeUserGrants(ctx, api, env.Pause, userByName[name])
	})
	return reader{
		policy: func(ctx context.Context, want spec.IAMPolicy) (livePolicy, error) {
			return policies.Get(ctx, policyARN(env, want))
		},
		role:    func(ctx context.Context, want spec.IAMRole) (liveRole, error) { return roles.Get(ctx, want.Name) },
		group:   func(ctx context.Context, want spec.IAMGroup) (liveGroup, error) { return groups.Get(ctx, want.Name) },
		user:    users.Get,
		granted: func(ctx context.Context, want spec.IAMUser) (grants, error) { return granted.Get(ctx, want.Name) },
	}
}

// details answers for one stack out of a snapshot.
type details struct {
	api      API
	snapshot *Snapshot
	env      reconcile.Env
	want     spec.IAM
}

// A Snapshot is an account's IAM by the page. Each part is read when the first
// of several stacks asks for it.
type Snapshot struct {
	api       DetailsAPI
	tagging   TaggingAPI
	partition string

	details awsx.Single
	page    pages

	tags      awsx.Single
	tagsByARN map[string]map[string]string // of policies

	roles  awsx.Single
	listed map[string]types.Role // by name
}

// NewSnapshot prepares a snapshot. It asks nobody yet.
func NewSnapshot(api DetailsAPI, tagging TaggingAPI, partition string) *Snapshot {
	return &Snapshot{
		api: api, tagging: tagging, partition: partition,
		details: awsx.NewSingle(), tags: awsx.NewSingle(), roles: awsx.NewSingle(),
	}
}

// Many says whether so much of IAM is cheaper to read by the page.
func Many(all ...spec.IAM) bool {
	n := 0
	for _, w := range all {
		n += entities(w)
	}
	return n > many
}

type pages struct {
	policies map[string]types.ManagedPolicyDetail // by ARN
	roles    map[string]types.RoleDetail          // by name
	groups   map[string]types.GroupDetail         // by name
	users    map[string]types.UserDetail          // by name
}

func (s *Snapshot) read(ctx context.Context) (pages, error) {
	err := s.details.Do(ctx, func() (err error) {
		s.page, err = readPages(ctx, s.api)
		return err
	})
	if err != nil {
		return pages{}, err
	}
	return s.page, nil
}

func readPages(ctx context.Context, api DetailsAPI) (pages, error) {
	found := pages{
		policies: map[string]types.ManagedPolicyDetail{},
		roles:    map[string]types.RoleDetail{},
		groups:   map[string]types.GroupDetail{},
		users:    map[string]types.UserDetail{},
	}
	all := iam.NewGetAccountAuthorizationDetailsPaginator(api, &iam.GetAccountAuthorizationDetailsInput{
		Filter:   []types.EntityType{types.EntityTypeUser, types.EntityTypeGroup, types.EntityTypeRole, types.EntityTypeLocalManagedPolicy},
		MaxItems: aws.Int32(1000),
	})
	for all.HasMorePages() {
		page, err := all.NextPage(ctx)
		if err != nil {
			return pages{}, err
		}
		// Each of the lists is there, empty or not.
		if page.Policies == nil && page.RoleDetailList == nil && page.GroupDetailList == nil && page.UserDetailList == nil {
			return pages{}, awsx.Hollow("iam:GetAccountAuthorizationDetails", "lists", page.ResultMetadata)
		}
		for _, p := range page.Policies {
			found.policies[aws.ToString(p.Arn)] = p
		}
		for _, r := range page.RoleDetailList {
			found.roles[aws.ToString(r.RoleName)] = r
		}
		for _, g := range page.GroupDetailList {
			found.groups[aws.ToString(g.GroupName)] = g
		}
		for _, u := range page.UserDetailList {
			found.users[aws.ToString(u.UserName)] = u
		}
	}
	return found, nil
}

func (d *details) policies(ctx context.Context, arns []string) (map[string]livePolicy, error) {
	var page pages
	var tags map[string]map[string]string
	var reads awsx.Reads
	reads.Go(func() (err error) {
		page, err = d.snapshot.read(ctx)
		return err
	})
	reads.Go(func() error {
		// Without the tagging API the tags are read policy by policy below.
		tags, _ = d.snapshot.policyTags(ctx)
		return nil
	})
	err := reads.Wait()
	if err != nil {
		return nil, err
	}

	wants := map[string]spec.IAMPolicy{}
	for _, p := range d.want.Policies {
		wants[policyARN(d.env, p)] = p
	}
	found := make(map[string]*livePolicy, len(arns))
	var doubtful, changing []string
	for _, arn := range arns {
		detail, ok := page.policies[arn]
		if !ok {
			continue
		}
		live, err := detailPolicy(detail, tags[arn])
		if err != nil {
			return nil, err
		}
		found[arn] = live
		if !d.tagged(wants[arn], live) {
			doubtful = append(doubtful, arn)
		} else if same, err := policy.Equal(live.Is.Document, wants[arn].Document); err != nil || !same {
			changing = append(changing, arn) // what was last applied may not be indexed yet
		}
	}
	if tags == nil {
		err = d.ask(ctx, found, doubtful)
	} else {
		err = d.verify(ctx, found, wants, doubtful)
	}
	if err == nil {
		err = d.ask(ctx, found, changing)
	}
	answers := make(map[string]livePolicy, len(found))
	for arn, live := range found {
		answers[arn] = *live
	}
	return answers, err
}

// sample is how many policies are asked for themselves before the tagging API
// is believed, or not.
const sample = 10

// verify asks IAM for the tags of those policies whose tags are not as they
// should be by the tagging API. Its index lags behind IAM and knows no resource
// that never had a tag, so it can say that all is well, and no more. Where it
// turns out to be wrong about every policy of a sample it does not know
// policies at all, or not yet, as after a first run. The other tags are then
// left for another time, except those of policies about to be written, which
// may turn out to be another stack's.
func (d *details) verify(ctx context.Context, found map[string]*livePolicy, wants map[string]spec.IAMPolicy, doubtful []string) error {
	first := doubtful[:min(sample, len(doubtful))]
	if err := d.ask(ctx, found, first); err != nil {
		return err
	}
	rest := doubtful[len(first):]
	wrong := func(arn string) bool { return found[arn] != nil && d.tagged(wants[arn], found[arn]) }
	if len(rest) == 0 || slices.ContainsFunc(first, func(arn string) bool { return !wrong(arn) }) {
		return d.ask(ctx, found, rest)
	}
	var written []string
	for _, arn := range rest {
		if same, err := policy.Equal(found[arn].Is.Document, wants[arn].Document); err == nil && same {
			found[arn].Facts.TagsUnknown = true
		} else {
			written = append(written, arn)
		}
	}
	if unknown := len(rest) - len(written); unknown > 0 {
		found[first[0]].Notes = []string{fmt.Sprintf("the tags of %d policies were not compared: the tagging API does not list them (yet)", unknown)}
	}
	return d.ask(ctx, found, written)
}

// ask reads tags and description of policies one by one.
func (d *details) ask(ctx context.Context, found map[string]*livePolicy, arns []string) error {
	answers := make([]*types.Policy, len(arns))
	var reads awsx.Reads
	for i, arn := range arns {
		reads.Go(func() error {
			out, err := d.api.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
			if awsx.Code(err) == "NoSuchEntity" {
				return nil
			}
			if err != nil {
				return err
			}
			if out.Policy == nil {
				return awsx.Hollow("iam:GetPolicy", "Policy", out.ResultMetadata)
			}
			answers[i] = out.Policy
			return nil
		})
	}
	if err := reads.Wait(); err != nil {
		return err
	}
	for i, arn := range arns {
		if answers[i] == nil {
			delete(found, arn)
			continue
		}
		found[arn].Is.Tags = tagMap(answers[i].Tags)
		found[arn].Is.Description = aws.String(aws.ToString(answers[i].Description))
	}
	return nil
}

// tagged says that a policy's tags are as the spec wants them.
func (d *details) tagged(want spec.IAMPolicy, live *livePolicy) bool {
	tags := d.env.Tags(want.Tags)
	tags.Protect = want.Protect
	c, err := tags.Changes(live.Is.Tags)
	return err == nil && len(c.Lines) == 0
}

func detailPolicy(detail types.ManagedPolicyDetail, tags map[string]string) (*livePolicy, error) {
	for _, v := range detail.PolicyVersionList {
		if v.IsDefaultVersion {
			document, err := policy.Decode(aws.ToString(v.Document))
			return &livePolicy{Exists: true, Is: spec.IAMPolicy{
				Meta: spec.Meta{Tags: tags}, Name: aws.ToString(detail.PolicyName), Path: aws.ToString(detail.Path), Document: spec.Document(document),
			}}, err
		}
	}
	return nil, fmt.Errorf("aws answered no default version of %s", aws.ToString(detail.Arn))
}

// Permissions are what reading an account by the page needs: where the spec is
// large enough for it, and where something is to be deleted.
func Permissions(want spec.IAM) []reconcile.Permission {
	p := reconcile.Permissions{On: []string{"*"}}
	p.Delete("iam:GetAccountAuthorizationDetails", "iam:ListOpenIDConnectProviders")
	if entities(want) > many {
		p.Read("iam:GetAccountAuthorizationDetails", "iam:ListRoles", "tag:GetResources")
	}
	return p.List
}

// policyTags reads the tags of all tagged policies of the account. IAM's
// resources are indexed in the region in which IAM is signed.
func (s *Snapshot) policyTags(ctx context.Context) (map[string]map[string]string, error) {
	err := s.tags.Do(ctx, func() error {
		tags := map[string]map[string]string{}
		all := tagging.NewGetResourcesPaginator(s.tagging, &tagging.GetResourcesInput{
			ResourceTypeFilters: []string{"iam:policy"}, ResourcesPerPage: aws.Int32(100),
		})
		for all.HasMorePages() {
			page, err := all.NextPage(ctx, func(o *tagging.Options) { o.Region = GlobalRegion(s.partition) })
			if err != nil {
				return err
			}
			for _, r := range page.ResourceTagMappingList {
				t := make(map[string]string, len(r.Tags))
				for _, tag := range r.Tags {
					t[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
				}
				tags[aws.ToString(r.ResourceARN)] = t
			}
		}
		s.tagsByARN = tags
		return nil
	})
	return s.tagsByARN, err
}

// GlobalRegion is where the tagging API tells of IAM.
func GlobalRegion(partition string) string {
	switch partition {
	case "aws-cn":
		return "cn-north-1"
	case "aws-us-gov":
		return "us-gov-west-1"
	}
	return "us-east-1"
}

func (d *details) roles(ctx context.Context, names []string) (map[string]liveRole, error) {
	var page pages
	var listed map[string]types.Role
	var reads awsx.Reads
	reads.Go(func() (err error) {
		page, err = d.snapshot.read(ctx)
		return err
	})
	for _, r := range d.want.Roles {
		if r.Description != nil || r.MaxSessionDuration != nil {
			reads.Go(func() (err error) {
				listed, err = d.snapshot.listRoles(ctx)
				return err
			})
			break
		}
	}
	if err := reads.Wait(); err != nil {
		return nil, err
	}
	found := make(map[string]liveRole, len(names))
	for _, name := range names {
		detail, ok := page.roles[name]
		if !ok {
			continue
		}
		is, err := detailRole(detail, listed[name])
		if err != nil {
			return nil, err
		}
		found[name] = liveRole{Exists: true, Is: is}
	}
	return found, nil
}

// detailRole is a role as a spec would declare it; listed is what ListRoles has
// of it beside.
func detailRole(detail types.RoleDetail, listed types.Role) (spec.IAMRole, error) {
	inline, err := inlineDocuments(detail.RolePolicyList)
	if err != nil {
		return spec.IAMRole{}, err
	}
	is, err := role(types.Role{
		RoleName: detail.RoleName, Path: detail.Path, AssumeRolePolicyDocument: detail.AssumeRolePolicyDocument,
		PermissionsBoundary: detail.PermissionsBoundary, Tags: detail.Tags,
		Description: listed.Description, MaxSessionDuration: listed.MaxSessionDuration,
	})
	is.Policies, is.InlinePolicies = attachedARNs(detail.AttachedManagedPolicies), inline
	return is, err
}

func (s *Snapshot) listRoles(ctx context.Context) (map[string]types.Role, error) {
	err := s.roles.Do(ctx, func() error {
		roles := map[string]types.Role{}
		all := iam.NewListRolesPaginator(s.api, &iam.ListRolesInput{MaxItems: aws.Int32(1000)})
		for all.HasMorePages() {
			page, err := all.NextPage(ctx)
			if err != nil {
				return err
			}
			if page.Roles == nil {
				return awsx.Hollow("iam:ListRoles", "Roles", page.ResultMetadata)
			}
			for _, r := range page.Roles {
				roles[aws.ToString(r.RoleName)] = r
			}
		}
		s.listed = roles
		return nil
	})
	return s.listed, err
}

func (d *details) groups(ctx context.Context, names []string) (map[string]liveGroup, error) {
	page, err := d.snapshot.read(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[string]liveGroup, len(names))
	for _, name := range names {
		detail, ok := page.groups[name]
		if !ok {
			continue
		}
		inline, err := inlineDocuments(detail.GroupPolicyList)
		if err != nil {
			return nil, err
		}
		found[name] = liveGroup{Exists: true, Is: spec.IAMGroup{
			Name: aws.ToString(detail.GroupName), Path: aws.ToString(detail.Path),
			Policies: attachedARNs(detail.AttachedManagedPolicies), InlinePolicies: inline,
		}}
	}
	return found, nil
}

func (d *details) users(ctx context.Context, names []string) (map[string]liveUser, error) {
	page, err := d.snapshot.read(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[string]liveUser, len(names))
	for _, name := range names {
		if detail, ok := page.users[name]; ok {
			found[name] = user(detail.UserName, detail.Path, detail.PermissionsBoundary, detail.Tags)
		}
	}
	return found, nil
}

func (d *details) grants(ctx context.Context, names []string) (map[string]grants, error) {
	page, err := d.snapshot.read(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[string]grants, len(names))
	for _, name := range names {
		detail, ok := page.users[name]
		if !ok {
			continue
		}
		if found[name], err = detailGrants(detail); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func detailGrants(detail types.UserDetail) (grants, error) {
	inline, err := inlineDocuments(detail.UserPolicyList)
	return grants{
		attached: attachedARNs(detail.AttachedManagedPolicies), inline: inline, groups: append([]string{}, detail.GroupList...),
	}, err
}

func inlineDocuments(list []types.PolicyDetail) (map[string]spec.Document, error) {
	documents := map[string]spec.Document{}
	for _, p := range list {
		document, err := policy.Decode(aws.ToString(p.PolicyDocument))
		if err != nil {
			return nil, err
		}
		documents[aws.ToString(p.PolicyName)] = spec.Document(document)
	}
	return documents, nil
}
