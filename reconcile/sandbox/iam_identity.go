package sandbox

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// An identity is what users, roles and groups have in common. A group has
// neither tags nor a boundary.
type identity struct {
	Name     string
	ID       string
	Arn      string
	Path     string
	Created  time.Time
	Tags     []tag             `json:",omitempty"`
	Boundary string            `json:",omitempty"` // a policy's ARN
	Attached []string          `json:",omitempty"` // policies' ARNs
	Inline   map[string]string `json:",omitempty"` // documents by name
}

// A finder finds the identity that a request names.
type finder func(*iamState, *request) (*identity, error)

// on is an operation on the identity that a request names.
func (find finder) on(do func(*iamState, *identity, *request) (any, error)) handler {
	return func(st *state, r *request) (any, error) {
		id, err := find(&st.IAM, r)
		if err != nil {
			return nil, err
		}
		return do(&st.IAM, id, r)
	}
}

// principalHandlers lists the operations that users and roles have and groups
// have not. kind is User or Role.
func principalHandlers(kind string, find finder) map[string]handler {
	on, low := find.on, strings.ToLower(kind)
	return map[string]handler{
		"Tag" + kind: on(func(_ *iamState, id *identity, r *request) (any, error) {
			return nil, tagInto(&id.Tags, r.form, true)
		}),
		"Untag" + kind: on(func(_ *iamState, id *identity, r *request) (any, error) {
			untag(&id.Tags, r.form, true)
			return nil, nil
		}),
		"List" + kind + "Tags": on(func(_ *iamState, id *identity, r *request) (any, error) {
			return listTags(id.Tags, r.form)
		}),
		"Put" + kind + "PermissionsBoundary": on(func(st *iamState, id *identity, r *request) (any, error) {
			arn := r.form.Get("PermissionsBoundary")
			if arn == "" {
				return nil, iamInvalid("PermissionsBoundary", arn, "Member must have length greater than or equal to 20")
			}
			if err := st.boundable(arn); err != nil {
				return nil, err
			}
			id.Boundary = arn
			return nil, nil
		}),
		"Delete" + kind + "PermissionsBoundary": on(func(_ *iamState, id *identity, _ *request) (any, error) {
			if id.Boundary == "" {
				return nil, noSuchEntity("The permissions boundary for %s %s cannot be found.", low, id.Name)
			}
			id.Boundary = ""
			return nil, nil
		}),
	}
}

// grantHandlers lists the operations that users, roles and groups all have. kind
// is User, Role or Group; quota names the limit of attachments and inlineLimit
// counts characters over all of an identity's inline policies.
func grantHandlers(kind, quota string, inlineLimit int, find finder) map[string]handler {
	on, low := find.on, strings.ToLower(kind)
	return map[string]handler{
		"Attach" + kind + "Policy": on(func(st *iamState, id *identity, r *request) (any, error) {
			return nil, st.attach(id, r.form.Get("PolicyArn"), quota)
		}),
		"Detach" + kind + "Policy": on(func(_ *iamState, id *identity, r *request) (any, error) {
			arn := r.form.Get("PolicyArn")
			i := slices.Index(id.Attached, arn)
			if i < 0 {
				return nil, noSuchEntity("Policy %s was not found.", arn)
			}
			id.Attached = slices.Delete(id.Attached, i, i+1)
			return nil, nil
		}),
		"ListAttached" + kind + "Policies": on(listAttached),
		"Put" + kind + "Policy": on(func(_ *iamState, id *identity, r *request) (any, error) {
			return nil, id.putInline(r, inlineLimit, low)
		}),
		"Get" + kind + "Policy": on(func(_ *iamState, id *identity, r *request) (any, error) {
			doc, err := id.inline(r, low)
			if err != nil {
				return nil, err
			}
			answer := struct {
				UserName       string `xml:",omitempty"`
				RoleName       string `xml:",omitempty"`
				GroupName      string `xml:",omitempty"`
				PolicyName     string
				PolicyDocument string
			}{PolicyName: r.form.Get("PolicyName"), PolicyDocument: encoded(doc)}
			switch kind {
			case "User":
				answer.UserName = id.Name
			case "Role":
				answer.RoleName = id.Name
			case "Group":
				answer.GroupName = id.Name
			}
			return answer, nil
		}),
		"Delete" + kind + "Policy": on(func(_ *iamState, id *identity, r *request) (any, error) {
			if _, err := id.inline(r, low); err != nil {
				return nil, err
			}
			delete(id.Inline, r.form.Get("PolicyName"))
			return nil, nil
		}),
		"List" + kind + "Policies": on(func(_ *iamState, id *identity, r *request) (any, error) {
			names, more, err := iamPage(r.form, slices.Collect(maps.Keys(id.Inline)), func(n string) string { return n })
			return struct {
				PolicyNames members[string]
				paged
			}{names, more}, err
		}),
	}
}

// attach is idempotent, as in AWS.
func (st *iamState) attach(id *identity, arn, quota string) error {
	if st.policy(arn) == nil {
		return noSuchEntity("Policy %s does not exist or is not attachable.", arn)
	}
	if slices.Contains(id.Attached, arn) {
		return nil
	}
	if len(id.Attached) >= maxAttached {
		return limitExceeded("Cannot exceed quota for %s: %d", quota, maxAttached)
	}
	id.Attached = append(id.Attached, arn)
	return nil
}

// boundable checks a permissions boundary; "" is none.
func (st *iamState) boundable(arn string) error {
	if arn != "" && st.policy(arn) == nil {
		return noSuchEntity("Scope ARN: %s does not exist or is not attachable.", arn)
	}
	return nil
}

// deletable says why the identity cannot be deleted yet. A boundary goes with
// it.
func (id *identity) deletable() error {
	switch {
	case len(id.Attached) > 0:
		return deleteConflict("Cannot delete entity, must detach all policies first.")
	case len(id.Inline) > 0:
		return deleteConflict("Cannot delete entity, must delete policies first.")
	}
	return nil
}

type attachedPolicy struct{ PolicyName, PolicyArn string }

func wireAttached(arns []string) members[attachedPolicy] {
	var list []attachedPolicy
	for _, arn := range arns {
		name, _ := policyOf(arn)
		list = append(list, attachedPolicy{name, arn})
	}
	return members[attachedPolicy]{list}
}

func listAttached(_ *iamState, id *identity, r *request) (any, error) {
	under := slices.DeleteFunc(slices.Clone(id.Attached), func(arn string) bool {
		_, path := policyOf(arn)
		return !underPrefix(r.form, path)
	})
	list, more, err := iamPage(r.form, wireAttached(under).Member, func(p attachedPolicy) string { return p.PolicyArn })
	return struct {
		AttachedPolicies members[attachedPolicy]
		paged
	}{list, more}, err
}

// putInline writes an inline policy. The limit is over all of an identity's
// inline policies together.
func (id *identity) putInline(r *request, limit int, kind string) error {
	n, err := iamName(r.form, "PolicyName", 128)
	if err != nil {
		return err
	}
	doc, err := policyText(r.form, "PolicyDocument")
	if err != nil {
		return err
	}
	if err := identityPolicy(doc); err != nil {
		return err
	}
	total := size(doc)
	for other, d := range id.Inline {
		if other != n {
			total += size(d)
		}
	}
	if total > limit {
		return limitExceeded("Maximum policy size of %d bytes exceeded for %s %s", limit, kind, id.Name)
	}
	if id.Inline == nil {
		id.Inline = map[string]string{}
	}
	id.Inline[n] = doc
	return nil
}

func (id *identity) inline(r *request, kind string) (string, error) {
	n := r.form.Get("PolicyName")
	doc, ok := id.Inline[n]
	if !ok {
		return "", noSuchEntity("The %s policy with name %s cannot be found.", kind, n)
	}
	return doc, nil
}
