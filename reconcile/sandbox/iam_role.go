package sandbox

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

type iamRole struct {
	Name        string
	ID          string
	Arn         string
	Path        string
	Description string `json:",omitempty"`
	MaxSession  int    // seconds
	Trust       string
	Created     time.Time
	Tags        []tag             `json:",omitempty"`
	Boundary    string            `json:",omitempty"` // a policy's ARN
	Attached    []string          `json:",omitempty"` // policies' ARNs
	Inline      map[string]string `json:",omitempty"`
}

const (
	defaultSession = 3600
	maxSession     = 43200
	maxTrust       = 2048
)

func roleHandlers() map[string]handler {
	return map[string]handler{
		"CreateRole":                    createRole,
		"GetRole":                       getRole,
		"ListRoles":                     listRoles,
		"UpdateRole":                    updateRole,
		"UpdateRoleDescription":         updateRoleDescription,
		"UpdateAssumeRolePolicy":        updateAssumeRolePolicy,
		"DeleteRole":                    deleteRole,
		"TagRole":                       onRole(func(o *iamRole, f url.Values) error { return tagInto(&o.Tags, f, true) }),
		"UntagRole":                     onRole(func(o *iamRole, f url.Values) error { untag(&o.Tags, f, true); return nil }),
		"ListRoleTags":                  listRoleTags,
		"PutRolePermissionsBoundary":    putRolePermissionsBoundary,
		"DeleteRolePermissionsBoundary": deleteRolePermissionsBoundary,
		"AttachRolePolicy":              attachRolePolicy,
		"DetachRolePolicy":              detachRolePolicy,
		"ListAttachedRolePolicies":      listAttachedRolePolicies,
		"PutRolePolicy":                 putRolePolicy,
		"GetRolePolicy":                 getRolePolicy,
		"DeleteRolePolicy":              deleteRolePolicy,
		"ListRolePolicies":              listRolePolicies,
	}
}

// role finds the request's role.
func (st *iamState) role(r *request) (*iamRole, error) {
	n := r.form.Get("RoleName")
	if o := st.Roles[strings.ToLower(n)]; o != nil && o.Name == n {
		return o, nil
	}
	return nil, noSuchEntity("The role with name %s cannot be found.", n)
}

// onRole changes a role that has to exist and answers nothing.
func onRole(change func(*iamRole, url.Values) error) handler {
	return func(st *state, r *request) (any, error) {
		o, err := st.IAM.role(r)
		if err != nil {
			return nil, err
		}
		return nil, change(o, r.form)
	}
}

type wireRole struct {
	Path                     string
	RoleName                 string
	RoleID                   string `xml:"RoleId"`
	Arn                      string
	CreateDate               time.Time
	AssumeRolePolicyDocument string
	Description              string `xml:",omitempty"`
	MaxSessionDuration       int
	PermissionsBoundary      *boundary
	Tags                     *members[tag]
	RoleLastUsed             *struct{}
}

type roleResult struct{ Role wireRole }

// summary is a role as lists have it: without tags, boundary and last use.
func (st *iamState) summary(o *iamRole) wireRole {
	return wireRole{
		Path: o.Path, RoleName: o.Name, RoleID: o.ID, Arn: o.Arn, CreateDate: o.Created,
		AssumeRolePolicyDocument: encoded(st.withoutDeleted(o.Trust)),
		Description:              o.Description, MaxSessionDuration: o.MaxSession,
	}
}

func (st *iamState) wireRole(o *iamRole) wireRole {
	w := st.summary(o)
	w.PermissionsBoundary = wireBoundary(o.Boundary)
	if len(o.Tags) > 0 {
		w.Tags = &members[tag]{o.Tags}
	}
	w.RoleLastUsed = &struct{}{}
	return w
}

func createRole(st *state, r *request) (any, error) {
	n, err := iamName(r.form, "RoleName", 64)
	if err != nil {
		return nil, err
	}
	p, err := iamPath(r.form)
	if err != nil {
		return nil, err
	}
	session, err := sessionDuration(r.form)
	if err != nil {
		return nil, err
	}
	if err := description(r.form); err != nil {
		return nil, err
	}
	tags, err := formTags(r.form, true)
	if err != nil {
		return nil, err
	}
	trust, err := st.IAM.trust(r, "AssumeRolePolicyDocument")
	if err != nil {
		return nil, err
	}
	bound := r.form.Get("PermissionsBoundary")
	if err := st.IAM.boundable(r, bound); err != nil {
		return nil, err
	}
	if st.IAM.Roles[strings.ToLower(n)] != nil {
		return nil, entityExists("Role with name %s already exists.", n)
	}
	o := &iamRole{
		Name: n, ID: newID("AROA"), Arn: iamARN(r, "role", p, n), Path: p,
		Description: r.form.Get("Description"), MaxSession: session, Trust: trust,
		Created: r.now, Tags: tags, Boundary: bound,
	}
	if st.IAM.Roles == nil {
		st.IAM.Roles = map[string]*iamRole{}
	}
	st.IAM.Roles[strings.ToLower(n)] = o
	return roleResult{st.IAM.wireRole(o)}, nil
}

// sessionDuration is MaxSessionDuration; an hour where it is not given, in
// UpdateRole as in CreateRole.
func sessionDuration(f url.Values) (int, error) {
	v := f.Get("MaxSessionDuration")
	if v == "" {
		return defaultSession, nil
	}
	n, err := strconv.Atoi(v)
	switch {
	case err != nil || n < defaultSession:
		return 0, iamInvalid("MaxSessionDuration", v, "Member must have value greater than or equal to "+strconv.Itoa(defaultSession))
	case n > maxSession:
		return 0, iamInvalid("MaxSessionDuration", v, "Member must have value less than or equal to "+strconv.Itoa(maxSession))
	}
	return n, nil
}

func description(f url.Values) error {
	if v := f.Get("Description"); len([]rune(v)) > 1000 {
		return iamInvalid("Description", v, "Member must have length less than or equal to 1000")
	}
	return nil
}

func getRole(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	return roleResult{st.IAM.wireRole(o)}, nil
}

func listRoles(st *state, r *request) (any, error) {
	var all []wireRole
	for _, o := range st.IAM.Roles {
		if underPrefix(r.form, o.Path) {
			all = append(all, st.IAM.summary(o))
		}
	}
	roles, more, err := iamPage(r.form, all, func(o wireRole) string { return o.RoleName })
	return struct {
		Roles members[wireRole]
		paged
	}{roles, more}, err
}

func updateRole(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	session, err := sessionDuration(r.form)
	if err != nil {
		return nil, err
	}
	if err := description(r.form); err != nil {
		return nil, err
	}
	o.MaxSession = session
	if r.form.Has("Description") {
		o.Description = r.form.Get("Description")
	}
	return struct{}{}, nil
}

func updateRoleDescription(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	if err := description(r.form); err != nil {
		return nil, err
	}
	o.Description = r.form.Get("Description")
	return roleResult{st.IAM.wireRole(o)}, nil
}

func updateAssumeRolePolicy(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	trust, err := st.IAM.trust(r, "PolicyDocument")
	if err != nil {
		return nil, err
	}
	o.Trust = trust
	return nil, nil
}

func deleteRole(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	switch {
	case len(o.Attached) > 0:
		return nil, deleteConflict("Cannot delete entity, must detach all policies first.")
	case len(o.Inline) > 0:
		return nil, deleteConflict("Cannot delete entity, must delete policies first.")
	}
	delete(st.IAM.Roles, strings.ToLower(o.Name))
	return nil, nil
}

func listRoleTags(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	return listTags(o.Tags, r.form)
}

func putRolePermissionsBoundary(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	return nil, st.IAM.putBoundary(r, &o.Boundary)
}

func deleteRolePermissionsBoundary(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	if o.Boundary == "" {
		return nil, noSuchEntity("The permissions boundary for role %s cannot be found.", o.Name)
	}
	o.Boundary = ""
	return nil, nil
}

func attachRolePolicy(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	return nil, st.IAM.attach(r, &o.Attached, "PoliciesPerRole")
}

func detachRolePolicy(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	return nil, detach(r, &o.Attached)
}

func listAttachedRolePolicies(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	return listAttached(r, o.Attached)
}

func putRolePolicy(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	return nil, putInline(r, &o.Inline, 10240, "role "+o.Name)
}

func getRolePolicy(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	doc, err := inline(r, o.Inline, "role")
	if err != nil {
		return nil, err
	}
	return struct{ RoleName, PolicyName, PolicyDocument string }{o.Name, r.form.Get("PolicyName"), encoded(doc)}, nil
}

func deleteRolePolicy(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	if _, err := inline(r, o.Inline, "role"); err != nil {
		return nil, err
	}
	delete(o.Inline, r.form.Get("PolicyName"))
	return nil, nil
}

func listRolePolicies(st *state, r *request) (any, error) {
	o, err := st.IAM.role(r)
	if err != nil {
		return nil, err
	}
	return listInline(r, o.Inline)
}
