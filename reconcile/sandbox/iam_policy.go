package sandbox

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

type iamPolicy struct {
	Name        string
	ID          string
	Arn         string
	Path        string
	Description string `json:",omitempty"`
	Created     time.Time
	Updated     time.Time       // when the latest version was made
	Tags        []tag           // nil: never had any
	Versions    []policyVersion // in the order of their creation
	Default     string          // a version's ID
	Next        int             // the number of the next version; numbers are never used twice
}

type policyVersion struct {
	ID       string
	Document string
	Created  time.Time
}

const (
	maxAttached = 10
	maxVersions = 5
	maxPolicy   = 6144 // characters that are no white space
)

func policyHandlers() map[string]handler {
	return map[string]handler{
		"CreatePolicy":            createPolicy,
		"GetPolicy":               getPolicy,
		"ListPolicies":            listPolicies,
		"DeletePolicy":            deletePolicy,
		"CreatePolicyVersion":     createPolicyVersion,
		"GetPolicyVersion":        getPolicyVersion,
		"ListPolicyVersions":      listPolicyVersions,
		"SetDefaultPolicyVersion": setDefaultPolicyVersion,
		"DeletePolicyVersion":     deletePolicyVersion,
		"ListEntitiesForPolicy":   listEntitiesForPolicy,
		"TagPolicy":               tagPolicy,
		"UntagPolicy":             untagPolicy,
		"ListPolicyTags":          listPolicyTags,
	}
}

// policy finds a policy, the account's own or one of AWS's; nil where there is
// none.
func (st *iamState) policy(arn string) *iamPolicy {
	if p := st.Policies[arn]; p != nil {
		return p
	}
	return awsPolicy(arn)
}

// requested finds the request's policy.
func (st *iamState) requested(r *request) (*iamPolicy, error) {
	arn := r.form.Get("PolicyArn")
	if p := st.policy(arn); p != nil {
		return p, nil
	}
	return nil, noSuchEntity("Policy %s was not found.", arn)
}

// own finds the request's policy, which has to be the account's to be changed.
func (st *iamState) own(r *request) (*iamPolicy, error) {
	arn := r.form.Get("PolicyArn")
	if p := st.Policies[arn]; p != nil {
		return p, nil
	}
	if awsPolicy(arn) != nil {
		return nil, &apiError{http.StatusForbidden, "AccessDenied", "User: " + r.caller.ARN +
			" is not authorized to perform: iam:" + r.operation + " on resource: policy " + arn}
	}
	return nil, noSuchEntity("Policy %s was not found.", arn)
}

func (p *iamPolicy) version(id string) *policyVersion {
	for i := range p.Versions {
		if p.Versions[i].ID == id {
			return &p.Versions[i]
		}
	}
	return nil
}

// A usage is how often a policy is attached, and how often it is a boundary.
type usage struct{ attached, bounds int }

// usages counts over all identities at once: a list of policies that looked at
// each identity for each policy would be slow in a large account.
func (st *iamState) usages() map[string]usage {
	all := map[string]usage{}
	count := func(id *identity) {
		for _, arn := range id.Attached {
			u := all[arn]
			u.attached++
			all[arn] = u
		}
		if id.Boundary != "" {
			u := all[id.Boundary]
			u.bounds++
			all[id.Boundary] = u
		}
	}
	for _, u := range st.Users {
		count(&u.identity)
	}
	for _, o := range st.Roles {
		count(&o.identity)
	}
	for _, g := range st.Groups {
		count(&g.identity)
	}
	return all
}

type wirePolicy struct {
	PolicyName                    string
	PolicyID                      string `xml:"PolicyId"`
	Arn                           string
	Path                          string
	DefaultVersionID              string `xml:"DefaultVersionId"`
	AttachmentCount               int
	PermissionsBoundaryUsageCount int
	IsAttachable                  bool
	Description                   string `xml:",omitempty"`
	CreateDate                    time.Time
	UpdateDate                    time.Time
	Tags                          *members[tag]
}

type policyResult struct{ Policy wirePolicy }

// summary is a policy as lists have it: without description and tags.
func (p *iamPolicy) summary(u usage) wirePolicy {
	return wirePolicy{
		PolicyName: p.Name, PolicyID: p.ID, Arn: p.Arn, Path: p.Path, DefaultVersionID: p.Default,
		AttachmentCount: u.attached, PermissionsBoundaryUsageCount: u.bounds,
		IsAttachable: true, CreateDate: p.Created, UpdateDate: p.Updated,
	}
}

func (st *iamState) wirePolicy(p *iamPolicy) wirePolicy {
	w := p.summary(st.usages()[p.Arn])
	w.Description = p.Description
	w.Tags = &members[tag]{p.Tags}
	return w
}

type wireVersion struct {
	Document         string `xml:",omitempty"`
	VersionID        string `xml:"VersionId"`
	IsDefaultVersion bool
	CreateDate       time.Time
}

// wireVersion leaves the document out, as lists and creates do.
func (p *iamPolicy) wireVersion(v policyVersion) wireVersion {
	return wireVersion{VersionID: v.ID, IsDefaultVersion: v.ID == p.Default, CreateDate: v.Created}
}

// managedDocument reads and checks the document of a managed policy.
func managedDocument(f url.Values) (string, error) {
	doc, err := policyText(f, "PolicyDocument")
	if err != nil {
		return "", err
	}
	if err := identityPolicy(doc); err != nil {
		return "", err
	}
	if size(doc) > maxPolicy {
		return "", limitExceeded("Cannot exceed quota for PolicySize: %d", maxPolicy)
	}
	return doc, nil
}

// size counts as IAM does: without white space.
func size(doc string) int {
	n := 0
	for _, c := range doc {
		if !unicode.IsSpace(c) {
			n++
		}
	}
	return n
}

func createPolicy(st *state, r *request) (any, error) {
	n, err := iamName(r.form, "PolicyName", 128)
	if err != nil {
		return nil, err
	}
	path, err := iamPath(r.form)
	if err != nil {
		return nil, err
	}
	if err := description(r.form); err != nil {
		return nil, err
	}
	tags, err := formTags(r.form, false)
	if err != nil {
		return nil, err
	}
	doc, err := managedDocument(r.form)
	if err != nil {
		return nil, err
	}
	for _, p := range st.IAM.Policies {
		if strings.EqualFold(p.Name, n) {
			return nil, entityExists("A policy called %s already exists. Duplicate names are not allowed.", n)
		}
	}
	p := &iamPolicy{
		Name: n, ID: newID("ANPA"), Arn: iamARN(r, "policy", path, n), Path: path,
		Description: r.form.Get("Description"), Created: r.now, Updated: r.now, Tags: tags,
		Versions: []policyVersion{{"v1", doc, r.now}}, Default: "v1", Next: 2,
	}
	if st.IAM.Policies == nil {
		st.IAM.Policies = map[string]*iamPolicy{}
	}
	st.IAM.Policies[p.Arn] = p
	w := st.IAM.wirePolicy(p)
	w.Description = "" // left out of CreatePolicy's answer
	return policyResult{w}, nil
}

func getPolicy(st *state, r *request) (any, error) {
	p, err := st.IAM.requested(r)
	if err != nil {
		return nil, err
	}
	return policyResult{st.IAM.wirePolicy(p)}, nil
}

func listPolicies(st *state, r *request) (any, error) {
	scope := cmp.Or(r.form.Get("Scope"), "All")
	var all []*iamPolicy
	if scope == "All" || scope == "Local" {
		for _, p := range st.IAM.Policies {
			all = append(all, p)
		}
	}
	if scope == "All" || scope == "AWS" {
		all = append(all, awsPolicies(partition(r.region))...)
	}
	used := st.IAM.usages()
	var list []wirePolicy
	for _, p := range all {
		w := p.summary(used[p.Arn])
		if !underPrefix(r.form, p.Path) || r.form.Get("OnlyAttached") == "true" && w.AttachmentCount == 0 {
			continue
		}
		list = append(list, w)
	}
	policies, more, err := iamPage(r.form, list, func(p wirePolicy) string { return p.Arn })
	return struct {
		Policies members[wirePolicy]
		paged
	}{policies, more}, err
}

func deletePolicy(st *state, r *request) (any, error) {
	p, err := st.IAM.own(r)
	if err != nil {
		return nil, err
	}
	used := st.IAM.usages()[p.Arn]
	switch {
	case used.attached > 0:
		return nil, deleteConflict("Cannot delete a policy attached to entities.")
	case used.bounds > 0:
		return nil, deleteConflict("Cannot delete a policy that is in use as a permissions boundary.")
	case len(p.Versions) > 1:
		return nil, deleteConflict("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	}
	delete(st.IAM.Policies, p.Arn)
	return nil, nil
}

func createPolicyVersion(st *state, r *request) (any, error) {
	p, err := st.IAM.own(r)
	if err != nil {
		return nil, err
	}
	doc, err := managedDocument(r.form)
	if err != nil {
		return nil, err
	}
	if len(p.Versions) >= maxVersions {
		return nil, limitExceeded("A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions)
	}
	v := policyVersion{"v" + strconv.Itoa(p.Next), doc, r.now}
	p.Versions = append(p.Versions, v)
	p.Next++
	if r.form.Get("SetAsDefault") == "true" {
		p.Default = v.ID
	}
	p.Updated = r.now
	return struct{ PolicyVersion wireVersion }{p.wireVersion(v)}, nil
}

// requestedVersion finds a version of the policy.
func requestedVersion(p *iamPolicy, f url.Values) (*policyVersion, error) {
	if v := p.version(f.Get("VersionId")); v != nil {
		return v, nil
	}
	return nil, noSuchEntity("Policy %s version %s does not exist or is not attachable.", p.Arn, f.Get("VersionId"))
}

func getPolicyVersion(st *state, r *request) (any, error) {
	p, err := st.IAM.requested(r)
	if err != nil {
		return nil, err
	}
	v, err := requestedVersion(p, r.form)
	if err != nil {
		return nil, err
	}
	w := p.wireVersion(*v)
	w.Document = encoded(v.Document)
	return struct{ PolicyVersion wireVersion }{w}, nil
}

func listPolicyVersions(st *state, r *request) (any, error) {
	p, err := st.IAM.requested(r)
	if err != nil {
		return nil, err
	}
	var all []wireVersion
	for _, v := range p.Versions {
		all = append(all, p.wireVersion(v))
	}
	versions, more, err := iamPage(r.form, all, func(v wireVersion) string { return v.VersionID })
	return struct {
		Versions members[wireVersion]
		paged
	}{versions, more}, err
}

func setDefaultPolicyVersion(st *state, r *request) (any, error) {
	p, err := st.IAM.own(r)
	if err != nil {
		return nil, err
	}
	v, err := requestedVersion(p, r.form)
	if err != nil {
		return nil, err
	}
	p.Default = v.ID
	return nil, nil
}

func deletePolicyVersion(st *state, r *request) (any, error) {
	p, err := st.IAM.own(r)
	if err != nil {
		return nil, err
	}
	v, err := requestedVersion(p, r.form)
	if err != nil {
		return nil, err
	}
	if v.ID == p.Default {
		return nil, deleteConflict("Cannot delete the default version of a policy.")
	}
	id := v.ID
	p.Versions = slices.DeleteFunc(p.Versions, func(v policyVersion) bool { return v.ID == id })
	return nil, nil
}

func listEntitiesForPolicy(st *state, r *request) (any, error) {
	p, err := st.IAM.requested(r)
	if err != nil {
		return nil, err
	}
	// One list over all kinds of entities, so that a page may end anywhere.
	type entity struct{ kind, name, id string }
	var all []entity
	wants := func(kind, boundary string, attached []string, path string) bool {
		if f := r.form.Get("EntityFilter"); f != "" && f != kind || !underPrefix(r.form, path) {
			return false
		}
		if r.form.Get("PolicyUsageFilter") == "PermissionsBoundary" {
			return boundary == p.Arn
		}
		return slices.Contains(attached, p.Arn)
	}
	for _, u := range st.IAM.Users {
		if wants("User", u.Boundary, u.Attached, u.Path) {
			all = append(all, entity{"User", u.Name, u.ID})
		}
	}
	for _, o := range st.IAM.Roles {
		if wants("Role", o.Boundary, o.Attached, o.Path) {
			all = append(all, entity{"Role", o.Name, o.ID})
		}
	}
	for _, g := range st.IAM.Groups {
		if wants("Group", g.Boundary, g.Attached, g.Path) {
			all = append(all, entity{"Group", g.Name, g.ID})
		}
	}
	list, more, err := iamPage(r.form, all, func(e entity) string { return e.kind + "/" + e.name })
	if err != nil {
		return nil, err
	}
	type user struct {
		UserName string
		UserID   string `xml:"UserId"`
	}
	type role struct {
		RoleName string
		RoleID   string `xml:"RoleId"`
	}
	type group struct {
		GroupName string
		GroupID   string `xml:"GroupId"`
	}
	answer := struct {
		PolicyGroups members[group]
		PolicyUsers  members[user]
		PolicyRoles  members[role]
		paged
	}{paged: more}
	for _, e := range list.Member {
		switch e.kind {
		case "User":
			answer.PolicyUsers.Member = append(answer.PolicyUsers.Member, user{e.name, e.id})
		case "Role":
			answer.PolicyRoles.Member = append(answer.PolicyRoles.Member, role{e.name, e.id})
		case "Group":
			answer.PolicyGroups.Member = append(answer.PolicyGroups.Member, group{e.name, e.id})
		}
	}
	return answer, nil
}

func tagPolicy(st *state, r *request) (any, error) {
	p, err := st.IAM.own(r)
	if err != nil {
		return nil, err
	}
	return nil, tagInto(&p.Tags, r.form, false)
}

func untagPolicy(st *state, r *request) (any, error) {
	p, err := st.IAM.own(r)
	if err != nil {
		return nil, err
	}
	untag(&p.Tags, r.form, false)
	return nil, nil
}

func listPolicyTags(st *state, r *request) (any, error) {
	p, err := st.IAM.requested(r)
	if err != nil {
		return nil, err
	}
	return listTags(p.Tags, r.form)
}

// policyOf reads a policy's name and path out of its ARN.
func policyOf(arn string) (name, path string) {
	_, rest, _ := strings.Cut(arn, ":policy/")
	i := strings.LastIndex(rest, "/") + 1
	return rest[i:], "/" + rest[:i]
}
