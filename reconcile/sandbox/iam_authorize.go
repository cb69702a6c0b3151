package sandbox

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// iamNeeds lists what IAM's operations need.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
func iamNeeds() map[string]needs {
	t := map[string]needs{}
	theseNeed(t, anyResource,
		"GetAccountAuthorizationDetails", "ListAccountAliases", "ListGroups", "ListInstanceProfiles",
		"ListOpenIDConnectProviders", "ListPolicies", "ListRoles", "ListUsers", "ListVirtualMFADevices")
	theseNeed(t, userNeeds,
		"CreateUser", "GetUser", "UpdateUser", "DeleteUser", "TagUser", "UntagUser", "ListUserTags",
		"PutUserPermissionsBoundary", "DeleteUserPermissionsBoundary",
		"AttachUserPolicy", "DetachUserPolicy", "ListAttachedUserPolicies",
		"PutUserPolicy", "GetUserPolicy", "DeleteUserPolicy", "ListUserPolicies",
		"CreateAccessKey", "ListAccessKeys", "UpdateAccessKey", "DeleteAccessKey",
		"ListMFADevices", "ListSSHPublicKeys", "ListSigningCertificates", "ListServiceSpecificCredentials",
		"GetLoginProfile", "ListGroupsForUser")
	theseNeed(t, keyOwnerNeeds, "GetAccessKeyLastUsed")
	theseNeed(t, roleNeeds,
		"CreateRole", "GetRole", "UpdateRole", "UpdateRoleDescription", "UpdateAssumeRolePolicy", "DeleteRole",
		"TagRole", "UntagRole", "ListRoleTags", "PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary",
		"AttachRolePolicy", "DetachRolePolicy", "ListAttachedRolePolicies",
		"PutRolePolicy", "GetRolePolicy", "DeleteRolePolicy", "ListRolePolicies", "ListInstanceProfilesForRole")
	theseNeed(t, groupNeeds,
		"CreateGroup", "GetGroup", "DeleteGroup", "AddUserToGroup", "RemoveUserFromGroup",
		"AttachGroupPolicy", "DetachGroupPolicy", "ListAttachedGroupPolicies",
		"PutGroupPolicy", "GetGroupPolicy", "DeleteGroupPolicy", "ListGroupPolicies")
	theseNeed(t, policyNeeds,
		"CreatePolicy", "GetPolicy", "DeletePolicy", "CreatePolicyVersion", "GetPolicyVersion", "ListPolicyVersions",
		"SetDefaultPolicyVersion", "DeletePolicyVersion", "ListEntitiesForPolicy", "TagPolicy", "UntagPolicy", "ListPolicyTags")
	theseNeed(t, providerNeeds,
		"CreateOpenIDConnectProvider", "GetOpenIDConnectProvider", "DeleteOpenIDConnectProvider",
		"UpdateOpenIDConnectProviderThumbprint", "AddClientIDToOpenIDConnectProvider", "RemoveClientIDFromOpenIDConnectProvider",
		"TagOpenIDConnectProvider", "UntagOpenIDConnectProvider", "ListOpenIDConnectProviderTags")
	return t
}

func userNeeds(st *state, r *request) []need {
	name := st.IAM.userName(r)
	if name == "" {
		return []need{needed(r.action(), r.caller.ARN)} // its own, of one that is no user
	}
	var id *identity
	if u := st.IAM.Users[strings.ToLower(name)]; u != nil {
		id = &u.identity
	}
	return identityNeeds(r, "user", name, id)
}

func roleNeeds(st *state, r *request) []need {
	name := r.form.Get("RoleName")
	var id *identity
	if o := st.IAM.Roles[strings.ToLower(name)]; o != nil {
		id = &o.identity
	}
	return identityNeeds(r, "role", name, id)
}

func groupNeeds(st *state, r *request) []need {
	name := r.form.Get("GroupName")
	var id *identity
	if g := st.IAM.Groups[strings.ToLower(name)]; g != nil {
		id = &g.identity
	}
	return identityNeeds(r, "group", name, id)
}

// keyOwnerNeeds is about the user whose key it is.
func keyOwnerNeeds(st *state, r *request) []need {
	if u, _ := st.IAM.key(r.form.Get("AccessKeyId")); u != nil {
		return identityNeeds(r, "user", u.Name, &u.identity)
	}
	return []need{needed(r.action(), r.arn("iam", "", "user/*"))}
}

// identityNeeds is about a user, role or group; id is nil where there is none
// of that name.
func identityNeeds(r *request, kind, name string, id *identity) []need {
	// An invalid path is for the operation to refuse.
	path, err := iamPath(r.form)
	if err != nil {
		path = "/"
	}
	n := needed(r.action(), iamARN(r, kind, path, name))
	n.says = kind + " " + name
	bound := r.form.Get("PermissionsBoundary")
	if id != nil {
		n.resource = id.Arn
		n = n.tagged(id.Tags, "iam:ResourceTag/")
		bound = cmp.Or(bound, id.Boundary)
	}
	n = n.with("iam:PermissionsBoundary", bound).with("iam:PolicyARN", r.form.Get("PolicyArn"))
	return n.created(r)
}

// created adds what the tags in IAM's creating and tagging calls need.
func (n need) created(r *request) []need {
	tags := formTagList(r.form)
	if kind, ok := strings.CutPrefix(r.operation, "Create"); ok {
		return n.alsoTagging("iam:Tag"+kind, tags)
	}
	if keys := formList(r.form, "TagKeys"); len(keys) > 0 {
		return []need{n.with("aws:TagKeys", slices.Clone(keys)...)}
	}
	return []need{n.tagging(tags)}
}

func policyNeeds(st *state, r *request) []need {
	if r.operation == "CreatePolicy" {
		path, err := iamPath(r.form)
		if err != nil {
			path = "/"
		}
		n := needed(r.action(), iamARN(r, "policy", path, r.form.Get("PolicyName")))
		n.says = "policy " + r.form.Get("PolicyName")
		return n.created(r)
	}
	arn := r.form.Get("PolicyArn")
	n := needed(r.action(), arn)
	n.says = "policy " + arn
	if p := st.IAM.policy(arn); p != nil {
		n = n.tagged(p.Tags, "iam:ResourceTag/")
	}
	return n.created(r)
}

func providerNeeds(st *state, r *request) []need {
	if r.operation == "CreateOpenIDConnectProvider" {
		name := r.form.Get("Url")
		if u, err := url.Parse(name); err == nil {
			name = providerName(u)
		}
		return needed(r.action(), iamARN(r, "oidc-provider", "/", name)).created(r)
	}
	n := needed(r.action(), r.form.Get("OpenIDConnectProviderArn"))
	if p := st.IAM.Providers[n.resource]; p != nil {
		n = n.tagged(p.Tags, "iam:ResourceTag/")
	}
	return n.created(r)
}
