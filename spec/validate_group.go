package spec

import "strings"

// IAM's limits on groups, as in validate_iam.go.
const (
	maxGroupName     = 128
	maxGroupInline   = 5120
	maxGroupAttached = 10 // cannot be raised
	maxMemberships   = 10 // groups a user; cannot be raised
)

func (c checker) checkGroup(n *node, g *IAMGroup) {
	c.checkIAMName(n, g.Name, g.Path, "group", maxGroupName)
	c.resolvePolicies(n, nil, g.Policies, "group", maxGroupAttached)
	c.checkInline(n.get("inlinePolicies"), g.InlinePolicies, maxGroupInline)
}

// checkMembership checks the groups that a user is in. One that this spec does
// not declare is the account's.
func (c checker) checkMembership(n *node, groups []string) {
	if len(groups) > maxMemberships {
		c.errorf(n, "groups: %d; IAM lets a user be in at most %d", len(groups), maxMemberships)
	}
	seen := make(map[string]bool, len(groups))
	for i, name := range groups {
		item := n.item(i)
		if item.kind != scalar || item.bad || item.isNull() {
			continue
		}
		if len(name) > maxGroupName || !iamName.MatchString(name) {
			c.errorf(item, "groups: %q: a name has 1 to %d letters, digits and _ + = , . @ -; a group goes by its name, not by its ARN", clip(name), maxGroupName)
			continue
		}
		// IAM takes names that differ in case only for the same.
		folded := strings.ToLower(name)
		if seen[folded] {
			c.errorf(item, "groups: %q is listed twice", name)
		}
		seen[folded] = true
		if id := (ID{Group, name}); c.byID[id] != nil {
			c.needs.add(id, item)
			continue
		}
		for id := range c.byID {
			if id.Kind == Group && strings.EqualFold(id.Name, name) {
				c.errorf(item, "groups: %q: this spec has the group as %q; IAM takes both for the same, so write it the same", name, id.Name)
			}
		}
	}
}
