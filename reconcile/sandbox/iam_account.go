package sandbox

import (
	"maps"
	"slices"
	"time"
)

// How GetAccountAuthorizationDetails answers: less than the single reads do.
// It has no role's description or session duration, no policy's description or
// tags, and no access keys.

type inlinePolicy struct{ PolicyName, PolicyDocument string }

type userDetail struct {
	Path                    string
	UserName                string
	UserID                  string `xml:"UserId"`
	Arn                     string
	CreateDate              time.Time
	UserPolicyList          members[inlinePolicy]
	GroupList               members[string]
	AttachedManagedPolicies members[attachedPolicy]
	PermissionsBoundary     *boundary
	Tags                    members[tag]
}

type groupDetail struct {
	Path                    string
	GroupName               string
	GroupID                 string `xml:"GroupId"`
	Arn                     string
	CreateDate              time.Time
	GroupPolicyList         members[inlinePolicy]
	AttachedManagedPolicies members[attachedPolicy]
}

type roleDetail struct {
	Path                     string
	RoleName                 string
	RoleID                   string `xml:"RoleId"`
	Arn                      string
	CreateDate               time.Time
	AssumeRolePolicyDocument string
	InstanceProfileList      members[struct{}]
	RolePolicyList           members[inlinePolicy]
	AttachedManagedPolicies  members[attachedPolicy]
	PermissionsBoundary      *boundary
	Tags                     members[tag]
	RoleLastUsed             struct{}
}

type policyDetail struct {
	PolicyName                    string
	PolicyID                      string `xml:"PolicyId"`
	Arn                           string
	Path                          string
	DefaultVersionID              string `xml:"DefaultVersionId"`
	AttachmentCount               int
	PermissionsBoundaryUsageCount int
	IsAttachable                  bool
	CreateDate                    time.Time
	UpdateDate                    time.Time
	PolicyVersionList             members[wireVersion]
}

func getAccountAuthorizationDetails(st *state, r *request) (any, error) {
	filter := formList(r.form, "Filter")
	wants := func(kind string) bool { return len(filter) == 0 || slices.Contains(filter, kind) }
	for _, f := range filter {
		if !slices.Contains([]string{"User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"}, f) {
			return nil, iamInvalid("Filter", f, "Member must satisfy enum value set: [User, Role, Group, LocalManagedPolicy, AWSManagedPolicy]")
		}
	}

	// One list over all kinds, so that a page may end anywhere. It holds the
	// keys alone; only what the page has is worth building.
	type entity struct {
		key    string
		user   *iamUser
		group  *iamGroup
		role   *iamRole
		policy *iamPolicy
	}
	var all []entity
	if wants("User") {
		for _, u := range st.IAM.Users {
			all = append(all, entity{key: "1" + u.Arn, user: u})
		}
	}
	if wants("Group") {
		for _, g := range st.IAM.Groups {
			all = append(all, entity{key: "2" + g.Arn, group: g})
		}
	}
	if wants("Role") {
		for _, o := range st.IAM.Roles {
			all = append(all, entity{key: "3" + o.Arn, role: o})
		}
	}
	if wants("LocalManagedPolicy") {
		for _, p := range st.IAM.Policies {
			all = append(all, entity{key: "4" + p.Arn, policy: p})
		}
	}
	if wants("AWSManagedPolicy") {
		for _, p := range awsPolicies(partition(r.region)) {
			all = append(all, entity{key: "4" + p.Arn, policy: p})
		}
	}
	list, more, err := iamPage(r.form, all, func(e entity) string { return e.key })
	if err != nil {
		return nil, err
	}

	answer := struct {
		UserDetailList  members[userDetail]
		GroupDetailList members[groupDetail]
		RoleDetailList  members[roleDetail]
		Policies        members[policyDetail]
		paged
	}{paged: more}
	used := st.IAM.usages()
	for _, e := range list.Member {
		switch {
		case e.user != nil:
			answer.UserDetailList.Member = append(answer.UserDetailList.Member, e.user.detail())
		case e.group != nil:
			answer.GroupDetailList.Member = append(answer.GroupDetailList.Member, e.group.detail())
		case e.role != nil:
			answer.RoleDetailList.Member = append(answer.RoleDetailList.Member, st.IAM.roleDetail(e.role))
		default:
			answer.Policies.Member = append(answer.Policies.Member, e.policy.detail(used[e.policy.Arn]))
		}
	}
	return answer, nil
}

func wireInline(policies map[string]string) members[inlinePolicy] {
	var list []inlinePolicy
	for _, n := range slices.Sorted(maps.Keys(policies)) {
		list = append(list, inlinePolicy{n, encoded(policies[n])})
	}
	return members[inlinePolicy]{list}
}

func (u *iamUser) detail() userDetail {
	return userDetail{
		Path: u.Path, UserName: u.Name, UserID: u.ID, Arn: u.Arn, CreateDate: u.Created,
		UserPolicyList: wireInline(u.Inline), AttachedManagedPolicies: wireAttached(u.Attached),
		GroupList:           members[string]{u.Groups},
		PermissionsBoundary: wireBoundary(u.Boundary), Tags: members[tag]{u.Tags},
	}
}

func (g *iamGroup) detail() groupDetail {
	return groupDetail{
		Path: g.Path, GroupName: g.Name, GroupID: g.ID, Arn: g.Arn, CreateDate: g.Created,
		GroupPolicyList: wireInline(g.Inline), AttachedManagedPolicies: wireAttached(g.Attached),
	}
}

func (st *iamState) roleDetail(o *iamRole) roleDetail {
	return roleDetail{
		Path: o.Path, RoleName: o.Name, RoleID: o.ID, Arn: o.Arn, CreateDate: o.Created,
		AssumeRolePolicyDocument: encoded(st.withoutDeleted(o.Trust)),
		RolePolicyList:           wireInline(o.Inline), AttachedManagedPolicies: wireAttached(o.Attached),
		PermissionsBoundary: wireBoundary(o.Boundary), Tags: members[tag]{o.Tags},
	}
}

func (p *iamPolicy) detail(u usage) policyDetail {
	d := policyDetail{
		PolicyName: p.Name, PolicyID: p.ID, Arn: p.Arn, Path: p.Path, DefaultVersionID: p.Default,
		AttachmentCount: u.attached, PermissionsBoundaryUsageCount: u.bounds,
		IsAttachable: true, CreateDate: p.Created, UpdateDate: p.Updated,
	}
	for _, v := range p.Versions {
		w := p.wireVersion(v)
		w.Document = encoded(v.Document)
		d.PolicyVersionList.Member = append(d.PolicyVersionList.Member, w)
	}
	return d
}
