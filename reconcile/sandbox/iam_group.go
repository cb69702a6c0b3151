package sandbox

import (
	"maps"
	"slices"
	"strings"
	"time"
)

type iamGroup struct{ identity }

// maxMemberships is how many groups a user may be in.
const maxMemberships = 10

func groupHandlers() map[string]handler {
	h := map[string]handler{
		"CreateGroup":         createGroup,
		"GetGroup":            getGroup,
		"ListGroups":          listGroups,
		"DeleteGroup":         deleteGroup,
		"ListGroupsForUser":   listGroupsForUser,
		"AddUserToGroup":      addUserToGroup,
		"RemoveUserFromGroup": removeUserFromGroup,
	}
	maps.Copy(h, grantHandlers("Group", "PoliciesPerGroup", 5120, func(st *iamState, r *request) (*identity, error) {
		g, err := st.group(r)
		if err != nil {
			return nil, err
		}
		return &g.identity, nil
	}))
	return h
}

// group finds the request's group.
func (st *iamState) group(r *request) (*iamGroup, error) {
	n := r.form.Get("GroupName")
	if g := st.Groups[strings.ToLower(n)]; g != nil && g.Name == n {
		return g, nil
	}
	return nil, noSuchEntity("The group with name %s cannot be found.", n)
}

// membership finds the request's group and user. Unlike other operations on
// users, those on members take no caller for the user.
func (st *iamState) membership(r *request) (*iamGroup, *iamUser, error) {
	g, err := st.group(r)
	if err != nil {
		return nil, nil, err
	}
	if _, err := iamName(r.form, "UserName", 128); err != nil {
		return nil, nil, err
	}
	u, err := st.user(r)
	return g, u, err
}

type wireGroup struct {
	Path       string
	GroupName  string
	GroupID    string `xml:"GroupId"`
	Arn        string
	CreateDate time.Time
}

func (g *iamGroup) wire() wireGroup {
	return wireGroup{Path: g.Path, GroupName: g.Name, GroupID: g.ID, Arn: g.Arn, CreateDate: g.Created}
}

type listGroupsResult struct {
	Groups members[wireGroup]
	paged
}

func pageOfGroups(r *request, all []wireGroup) (any, error) {
	groups, more, err := iamPage(r.form, all, func(g wireGroup) string { return g.GroupName })
	return listGroupsResult{groups, more}, err
}

func createGroup(st *state, r *request) (any, error) {
	n, err := iamName(r.form, "GroupName", 128)
	if err != nil {
		return nil, err
	}
	p, err := iamPath(r.form)
	if err != nil {
		return nil, err
	}
	if st.IAM.Groups[strings.ToLower(n)] != nil {
		return nil, entityExists("Group with name %s already exists.", n)
	}
	g := &iamGroup{identity{Name: n, ID: newID("AGPA"), Arn: iamARN(r, "group", p, n), Path: p, Created: r.now}}
	if st.IAM.Groups == nil {
		st.IAM.Groups = map[string]*iamGroup{}
	}
	st.IAM.Groups[strings.ToLower(n)] = g
	return struct{ Group wireGroup }{g.wire()}, nil
}

func getGroup(st *state, r *request) (any, error) {
	g, err := st.IAM.group(r)
	if err != nil {
		return nil, err
	}
	var in []wireUser
	for _, u := range st.IAM.Users {
		if slices.Contains(u.Groups, g.Name) {
			in = append(in, u.summary())
		}
	}
	users, more, err := iamPage(r.form, in, func(u wireUser) string { return u.UserName })
	return struct {
		Group wireGroup
		Users members[wireUser]
		paged
	}{g.wire(), users, more}, err
}

func listGroups(st *state, r *request) (any, error) {
	var all []wireGroup
	for _, g := range st.IAM.Groups {
		if underPrefix(r.form, g.Path) {
			all = append(all, g.wire())
		}
	}
	return pageOfGroups(r, all)
}

func listGroupsForUser(st *state, r *request) (any, error) {
	u, err := st.IAM.user(r)
	if err != nil {
		return nil, err
	}
	var all []wireGroup
	for _, n := range u.Groups {
		if g := st.IAM.Groups[strings.ToLower(n)]; g != nil {
			all = append(all, g.wire())
		}
	}
	return pageOfGroups(r, all)
}

func deleteGroup(st *state, r *request) (any, error) {
	g, err := st.IAM.group(r)
	if err != nil {
		return nil, err
	}
	if err := g.deletable(); err != nil {
		return nil, err
	}
	for _, u := range st.IAM.Users {
		if slices.Contains(u.Groups, g.Name) {
			return nil, deleteConflict("Cannot delete entity, must remove users from group first.")
		}
	}
	delete(st.IAM.Groups, strings.ToLower(g.Name))
	return nil, nil
}

// addUserToGroup is idempotent, as in AWS.
func addUserToGroup(st *state, r *request) (any, error) {
	g, u, err := st.IAM.membership(r)
	if err != nil {
		return nil, err
	}
	if slices.Contains(u.Groups, g.Name) {
		return nil, nil
	}
	if len(u.Groups) >= maxMemberships {
		return nil, limitExceeded("Cannot exceed quota for GroupsPerUser: %d", maxMemberships)
	}
	u.Groups = append(u.Groups, g.Name)
	slices.Sort(u.Groups)
	return nil, nil
}

func removeUserFromGroup(st *state, r *request) (any, error) {
	g, u, err := st.IAM.membership(r)
	if err != nil {
		return nil, err
	}
	i := slices.Index(u.Groups, g.Name)
	if i < 0 {
		return nil, noSuchEntity("The user with name %s is not in the group with name %s.", u.Name, g.Name)
	}
	u.Groups = slices.Delete(u.Groups, i, i+1)
	return nil, nil
}
