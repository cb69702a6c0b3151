package sandbox

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

type iamUser struct {
	identity
	Keys   []accessKey `json:",omitempty"`
	Groups []string    `json:",omitempty"` // by name
}

func userHandlers() map[string]handler {
	h := map[string]handler{
		"CreateUser": createUser,
		"GetUser":    getUser,
		"ListUsers":  listUsers,
		"UpdateUser": updateUser,
		"DeleteUser": deleteUser,
	}
	find := func(st *iamState, r *request) (*identity, error) {
		u, err := st.user(r)
		if err != nil {
			return nil, err
		}
		return &u.identity, nil
	}
	maps.Copy(h, principalHandlers("User", find))
	maps.Copy(h, grantHandlers("User", "PoliciesPerUser", 2048, find))
	return h
}

// userName is the request's UserName, or its caller's: IAM takes the caller
// where most user operations name nobody.
func (st *iamState) userName(r *request) string {
	return cmp.Or(r.form.Get("UserName"), r.caller.User)
}

// user finds the request's user.
func (st *iamState) user(r *request) (*iamUser, error) {
	n := st.userName(r)
	if n == "" {
		return nil, &apiError{http.StatusBadRequest, "ValidationError", "Must specify userName when calling with non-User credentials"}
	}
	if u := st.Users[strings.ToLower(n)]; u != nil && u.Name == n {
		return u, nil
	}
	return nil, noSuchEntity("The user with name %s cannot be found.", n)
}

type wireUser struct {
	Path                string
	UserName            string
	UserID              string `xml:"UserId"`
	Arn                 string
	CreateDate          time.Time
	PermissionsBoundary *boundary
	Tags                *members[tag]
}

type userResult struct{ User wireUser }

// summary is a user as lists have it: without tags and boundary.
func (u *iamUser) summary() wireUser {
	return wireUser{Path: u.Path, UserName: u.Name, UserID: u.ID, Arn: u.Arn, CreateDate: u.Created}
}

func (u *iamUser) wire() wireUser {
	w := u.summary()
	w.PermissionsBoundary = wireBoundary(u.Boundary)
	if len(u.Tags) > 0 {
		w.Tags = &members[tag]{u.Tags}
	}
	return w
}

func createUser(st *state, r *request) (any, error) {
	n, err := iamName(r.form, "UserName", 64)
	if err != nil {
		return nil, err
	}
	p, err := iamPath(r.form)
	if err != nil {
		return nil, err
	}
	tags, err := formTags(r.form, true)
	if err != nil {
		return nil, err
	}
	bound := r.form.Get("PermissionsBoundary")
	if err := st.IAM.boundable(bound); err != nil {
		return nil, err
	}
	if st.IAM.Users[strings.ToLower(n)] != nil {
		return nil, entityExists("User with name %s already exists.", n)
	}
	u := &iamUser{identity: identity{
		Name: n, ID: newID("AIDA"), Arn: iamARN(r, "user", p, n), Path: p,
		Created: r.now, Tags: tags, Boundary: bound,
	}}
	if st.IAM.Users == nil {
		st.IAM.Users = map[string]*iamUser{}
	}
	st.IAM.Users[strings.ToLower(n)] = u
	return userResult{u.wire()}, nil
}

func getUser(st *state, r *request) (any, error) {
	if !r.form.Has("UserName") && r.caller.root() {
		return userResult{wireUser{Path: "/", UserID: r.caller.ID, Arn: r.caller.ARN}}, nil
	}
	u, err := st.IAM.user(r)
	if err != nil {
		return nil, err
	}
	return userResult{u.wire()}, nil
}

func listUsers(st *state, r *request) (any, error) {
	var all []wireUser
	for _, u := range st.IAM.Users {
		if underPrefix(r.form, u.Path) {
			all = append(all, u.summary())
		}
	}
	users, more, err := iamPage(r.form, all, func(u wireUser) string { return u.UserName })
	return struct {
		Users members[wireUser]
		paged
	}{users, more}, err
}

func updateUser(st *state, r *request) (any, error) {
	u, err := st.IAM.user(r)
	if err != nil {
		return nil, err
	}
	n, p := u.Name, u.Path
	if r.form.Has("NewUserName") {
		if n, err = iamName(r.form, "NewUserName", 64); err != nil {
			return nil, err
		}
		if other := st.IAM.Users[strings.ToLower(n)]; other != nil && other != u {
			return nil, entityExists("User with name %s already exists.", n)
		}
	}
	if r.form.Has("NewPath") {
		if p, err = iamPath(url.Values{"Path": {r.form.Get("NewPath")}}); err != nil {
			return nil, err
		}
	}
	delete(st.IAM.Users, strings.ToLower(u.Name))
	u.Name, u.Path, u.Arn = n, p, iamARN(r, "user", p, n)
	st.IAM.Users[strings.ToLower(n)] = u
	return nil, nil
}

func deleteUser(st *state, r *request) (any, error) {
	u, err := st.IAM.user(r)
	if err != nil {
		return nil, err
	}
	if err := u.deletable(); err != nil {
		return nil, err
	}
	if len(u.Groups) > 0 {
		return nil, deleteConflict("Cannot delete entity, must remove users from group first.")
	}
	if len(u.Keys) > 0 {
		return nil, deleteConflict("Cannot delete entity, must delete access keys first.")
	}
	delete(st.IAM.Users, strings.ToLower(u.Name))
	return nil, nil
}
