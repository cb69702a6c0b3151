package spec

import (
	"reflect"
	"regexp"
)

// sts:AssumeRole takes these as ExternalId, from 2 to 1,224 of them
// (API_AssumeRole).
var externalID = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`)

const maxExternalID = 1224

// assumeRole reads which role a run takes on.
func (d decoder) assumeRole(root *node) AssumeRole {
	n := root.field("assumeRole")
	if n == nil || n.isNull() || n.kind != mapping {
		return AssumeRole{} // what it is instead was told with the other fields
	}
	var role AssumeRole
	d.decode(n, reflect.ValueOf(&role).Elem(), "assumeRole", nil)
	if at := n.field("roleArn"); at != nil && at.kind == scalar && !at.bad && !at.isNull() && !roleARN.MatchString(role.RoleARN) {
		d.errorf(at, "assumeRole.roleArn: %q is no ARN of a role; one looks like arn:aws:iam::123456789012:role/deploy", role.RoleARN)
	}
	if id := n.field("externalId"); id != nil && !id.isNull() && id.kind == scalar && !id.bad && (!externalID.MatchString(role.ExternalID) || len(role.ExternalID) > maxExternalID) {
		d.errorf(id, "assumeRole.externalId: 2 to 1224 letters, digits and _+=,.@:/- are wanted")
	}
	return role
}
