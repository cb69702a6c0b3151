package sandbox

import (
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"
)

type iamRole struct {
	identity
	Description string `json:",omitempty"`
	MaxSession  int    // seconds
	Trust       string
}

const (
	defaultSession = 3600
	maxSession     = 43200
	maxTrust       = 2048
)

func roleHandlers() map[string]handler {
	h := map[string]handler{
		"CreateRole":             createRole,
		"GetRole":                getRole,
		"ListRoles":              listRoles,
		"UpdateRole":             updateRole,
		"UpdateRoleDescription":  updateRoleDescription,
		"UpdateAssumeRolePolicy": updateAssumeRolePolicy,
		"DeleteRole":             deleteRole,
	}
	find := func(st *iamState, r *request) (*identity, error) {
		o, err := st.role(r)
		if err != nil {
			return nil, err
		}
		return &o.identity, nil
	}
	maps.Copy(h, principalHandlers("Role", find))
	maps.Copy(h, grantHandlers("Role", "PoliciesPerRole", 10240, find))
	return h
}

// role finds the request's role.
func (st *iamState) role(r *request) (*iamRole, error) {
	n := r.form.Get("RoleName")
	if o := st.Roles[strings.ToLower(n)]; o != nil && o.Name == n {
		return o, nil
	}
	return nil, noSuchEntity("The role with name %s cannot be found.", n)
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
	if err := st.IAM.boundable(bound); err != nil {
		return nil, err
	}
	if st.IAM.Roles[strings.ToLower(n)] != nil {
		return nil, entityExists("Role with name %s already exists.", n)
	}
	o := &iamRole{
		identity: identity{
			Name: n, ID: newID("AROA"), Arn: iamARN(r, "role", p, n), Path: p,
			Created: r.now, Tags: tags, Boundary: bound,
		},
		Description: r.form.Get("Description"), MaxSession: session, Trust: trust,
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
	if err := o.deletable(); err != nil {
		return nil, err
	}
	delete(st.IAM.Roles, strings.ToLower(o.Name))
	return nil, nil
}
