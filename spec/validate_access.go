package spec

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// An Assertion is one line of the spec's access: a principal and what it can or
// cannot do. Whether that is so is for whoever reads policies to say.
type Assertion struct {
	Principal ID
	Can       bool   // false: it cannot
	Action    string // with wildcards, as in policies
	On        string // an ARN, or "*", with wildcards

	at Problem // where it stands
}

// Broken is what is wrong with an assertion, at its place.
func (a Assertion) Broken(why string) Problem {
	p := a.at
	p.Message = fmt.Sprintf("access: %s: %s", a, why)
	return p
}

func (a Assertion) String() string {
	verb := "cannot"
	if a.Can {
		verb = "can"
	}
	return fmt.Sprintf("%s %s %s on %s", a.Principal, verb, a.Action, a.On)
}

var (
	actionPattern = regexp.MustCompile(`^(\*|[A-Za-z0-9*?-]+:[A-Za-z0-9*?]+)$`)
	arnPattern    = regexp.MustCompile(`^(\*|arn:[^:]+:[^:]+:[^:]*:[^:]*:.+)$`)
)

// access reads what principals can and cannot do.
func (d decoder) access(root *node) ([]Access, []Assertion) {
	n := root.field("access")
	if n == nil || n.isNull() {
		return nil, nil
	}
	var list []Access
	d.decode(n, reflect.ValueOf(&list).Elem(), "access", nil)
	var all []Assertion
	for i, a := range list {
		at := n.item(i)
		if at.kind != mapping {
			continue
		}
		principal, ok := d.principal(at.field("principal"), a.Principal)
		if at.field("can") == nil && at.field("cannot") == nil {
			d.errorf(at, "access: neither can nor cannot; one of them says what %s may do", a.Principal)
		}
		on := a.On
		if a.On == nil {
			on = []string{"*"}
		}
		for j, arn := range a.On {
			if item := at.field("on").item(j); item.kind == scalar && !item.isNull() && !arnPattern.MatchString(arn) {
				d.errorf(item, "access: on: %q is no ARN; one looks like arn:aws:s3:::bucket/*, and * is everything", clip(arn))
				ok = false
			}
		}
		for _, half := range []struct {
			field   string
			actions []string
		}{{"can", a.Can}, {"cannot", a.Cannot}} {
			for j, action := range half.actions {
				item := at.field(half.field).item(j)
				if item.kind != scalar || item.isNull() || item.bad {
					continue
				}
				if !actionPattern.MatchString(action) {
					d.errorf(item, "access: %s: %q is no action; one looks like s3:GetObject or iam:*", half.field, clip(action))
					continue
				}
				if !ok {
					continue
				}
				line, column := item.place()
				for _, arn := range on {
					all = append(all, Assertion{
						Principal: principal, Can: half.field == "can", Action: action, On: arn,
						at: item.src.problem(line, column, ""),
					})
				}
			}
		}
	}
	return list, all
}

// principal is a user or a role of this spec.
func (d decoder) principal(n *node, address string) (ID, bool) {
	if n == nil || n.kind != scalar || n.bad || n.isNull() {
		return ID{}, false // that it is missing has been told
	}
	kind, name, _ := strings.Cut(address, "/")
	id := ID{Kind(kind), name}
	switch {
	case id.Kind != User && id.Kind != Role:
		d.errorf(n, "access: principal: %q is no address of a user or a role; one looks like iam.user/NAME", clip(address))
	case d.index.byID[id] == nil && d.index.incomplete[id.Kind]: // it may be the one whose name is wrong
	case d.index.byID[id] == nil:
		d.errorf(n, "access: principal: the spec has no %s%s", clip(address), suggest(address, d.index.addresses()))
	default:
		return id, true
	}
	return ID{}, false
}
