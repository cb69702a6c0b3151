package reconcile

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A Scope is what a plan is about: one stack, in one account and region.
type Scope struct {
	Project     string
	Environment string
	Account     string
	Region      string
}

// A ResourceChange is what a plan shows of one resource that has anything to do, and
// what an approval of it is about.
type ResourceChange struct {
	Address string
	Action  Action
	Calls   []string // in the order of the steps
	Lines   []Diff   // in the order of the steps
}

// Pending lists what is to be done, in the order of the results.
func Pending(results []Result) []ResourceChange {
	changes := []ResourceChange{}
	for _, res := range results {
		if res.Status.Pending() {
			changes = append(changes, ResourceChange{res.ID.String(), res.Action, res.Calls, res.Diffs})
		}
	}
	return changes
}

// Digest is the fingerprint of a plan: "sha256:" and the SHA-256 of this JSON,
// in hexadecimal, without white space and with the keys sorted:
//
//	{"account":"…","environment":"…","project":"…","region":"…",
//	 "resources":[{"action":"…","address":"…","calls":["…"],
//	               "diff":[{"after":…,"before":…,"path":"…"}]}]}
//
// The resources are those of the JSON report that are planned or held, in its
// order; the values are the report's own. Notes, outputs, and all that is in
// sync, failed or was skipped count for nothing. The same state of AWS and the
// same spec give the same digest, whenever and by whom they are looked at.
//
// Strings are written as encoding/json does without its escapes for HTML.
func Digest(scope Scope, changes []ResourceChange) string {
	type line struct {
		After  any    `json:"after"`
		Before any    `json:"before"`
		Path   string `json:"path"`
	}
	type resource struct {
		Action  Action   `json:"action"`
		Address string   `json:"address"`
		Calls   []string `json:"calls"`
		Diff    []line   `json:"diff"`
	}
	resources := []resource{}
	for _, c := range changes {
		r := resource{Action: c.Action, Address: c.Address, Calls: append([]string{}, c.Calls...), Diff: []line{}}
		for _, d := range c.Lines {
			r.Diff = append(r.Diff, line{d.After, d.Before, d.Path})
		}
		resources = append(resources, r)
	}
	sum := sha256.Sum256([]byte(canonical(map[string]any{
		"account": scope.Account, "environment": scope.Environment, "project": scope.Project, "region": scope.Region,
		"resources": resources,
	})))
	return fmt.Sprintf("%s%x", digestPrefix, sum)
}

const digestPrefix = "sha256:"

var digestForm = regexp.MustCompile(`^` + digestPrefix + `[0-9a-f]{64}$`)

// IsDigest says whether a text has the form of a plan's digest.
func IsDigest(text string) bool { return digestForm.MatchString(text) }

// canonical is a value as JSON that every spelling of the value shares, be it a
// plan's own or read back from a report: what is no UTF-8 is replaced before,
// and not by an escape.
func canonical(v any) string {
	text, err := encode(v)
	if err == nil {
		var plain any
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if err = dec.Decode(&plain); err == nil {
			text, err = encode(plain)
		}
	}
	if err != nil {
		return strconv.Quote(fmt.Sprint(v)) // no value of a line is like that
	}
	return text
}

func encode(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// An Approval is what a run may write.
type Approval struct {
	// Digest is that of the plan. Where there is nothing but it, a run has to
	// have just that plan; less is another one.
	Digest string

	// Plan is the plan itself, of which a run may do less.
	Plan *ApprovedPlan
}

// An ApprovedPlan is a plan as its report shows it.
type ApprovedPlan struct {
	Scope   Scope
	Changes []ResourceChange
}

// Covers says whether an approval is about a stack, account and region. One by
// digest says so only together with the plan.
func (a *Approval) Covers(scope Scope) error {
	if a.Plan == nil || a.Plan.Scope == scope {
		return nil
	}
	was := a.Plan.Scope
	var moved []string
	for _, field := range []struct{ name, was, now string }{
		{"project", was.Project, scope.Project},
		{"environment", was.Environment, scope.Environment},
		{"account", was.Account, scope.Account},
		{"region", was.Region, scope.Region},
	} {
		if field.was != field.now {
			moved = append(moved, fmt.Sprintf("%s was %s, now %s", field.name, field.was, field.now))
		}
	}
	return fmt.Errorf("what is approved is a plan for something else (%s): nothing was written", strings.Join(moved, "; "))
}

// A NotApprovedError says that a run has other things to do than were approved.
type NotApprovedError struct {
	Digest string   // of what there is to do now
	Other  string   // the digest that was approved, where it was by digest alone
	Moved  []string // address, path, was and now; none by digest alone
}

func (e *NotApprovedError) Error() string {
	if e.Other != "" {
		return fmt.Sprintf("what there is to do now is not the plan that was approved: its digest is %s, and %s was approved; nothing was written. "+
			"Given the JSON report of that dry run in place of the digest, --approved says what moved", e.Digest, e.Other)
	}
	const most = 20
	moved := e.Moved
	if len(moved) > most {
		moved = append(slices.Clone(moved[:most]), fmt.Sprintf("and %d more", len(moved)-most))
	}
	return "what there is to do now goes beyond what was approved, so nothing was written:\n  " +
		strings.Join(moved, "\n  ") + "\nMake a new dry run and have that approved"
}

// Approve lets the run do nothing but what was approved. Where there is anything
// else to do it holds everything, and the error is a *NotApprovedError. What is
// planned anew later on, as after a lost answer, has to stay within it too.
func (r *Run) Approve(a *Approval, scope Scope) error {
	now := Pending(r.Results())
	digest := Digest(scope, now)
	approved := now
	if a.Plan != nil {
		approved = a.Plan.Changes
	} else if digest != a.Digest {
		r.hold(errNotApproved)
		return &NotApprovedError{Digest: digest, Other: a.Digest}
	}

	byAddress := make(map[string]*ResourceChange, len(approved))
	for i := range approved {
		byAddress[approved[i].Address] = &approved[i]
	}
	var moved []string
	for _, c := range now {
		moved = append(moved, c.beyond(byAddress[c.Address])...)
	}
	if len(moved) > 0 {
		r.hold(errNotApproved)
		return &NotApprovedError{Digest: digest, Moved: moved}
	}
	for _, n := range r.nodes {
		n.approved = cmp.Or(byAddress[n.res.ID().String()], &ResourceChange{})
	}
	return nil
}

// Why resources are held. What the run as a whole has to say is told once.
var (
	errNotApproved = errors.New("the run is not what was approved")
	errOverLimit   = errors.New("the run is over the limit")
	errNewAccess   = errors.New("the run would give new access")
	errKept        = errors.New("something else cannot be deleted")
)

// hold keeps what is planned from being written.
func (r *Run) hold(why error) {
	for _, n := range r.nodes {
		if n.result.Status == Planned {
			n.result.Status, n.result.Err = Held, why
		}
	}
}

// beyond tells what of a change is not in one that was approved, nil: nothing
// was.
func (c ResourceChange) beyond(approved *ResourceChange) []string {
	switch {
	case approved == nil:
		if len(c.Lines) == 0 {
			return []string{fmt.Sprintf("%s: was nothing to do, now %s by %s", c.Address, c.Action, strings.Join(c.Calls, ", "))}
		}
		approved = &ResourceChange{Action: c.Action, Calls: c.Calls}
	case c.Action == approved.Action:
	case approved.Action == Create && c.Action == Update && !c.adopts():
		// A run that was cut off has made it, and left the rest to this one.
		return c.rest(*approved)
	default:
		return []string{fmt.Sprintf("%s: was %s, now %s", c.Address, approved.Action, c.Action)}
	}
	return c.outside(*approved, false)
}

// rest tells what of a change is not left over from one that was begun. What
// was to be created has AWS's defaults by now where it had nothing, so what
// a line comes from counts for an update only.
func (c ResourceChange) rest(begun ResourceChange) []string {
	return c.outside(begun, begun.Action == Create)
}

// outside tells which lines and calls of a change an approved one has not.
func (c ResourceChange) outside(approved ResourceChange, anyBefore bool) []string {
	key := func(d Diff) string {
		if anyBefore {
			d.Before = nil
		}
		return canonical([]any{d.Path, d.Before, d.After})
	}
	lines := map[string]int{}
	for _, d := range approved.Lines {
		lines[key(d)]++
	}
	var moved []string
	for _, d := range c.Lines {
		if k := key(d); lines[k] > 0 {
			lines[k]--
			continue
		}
		was := "nothing to do"
		if i := slices.IndexFunc(approved.Lines, func(a Diff) bool { return a.Path == d.Path }); i >= 0 {
			was = change(approved.Lines[i])
		}
		moved = append(moved, fmt.Sprintf("%s: %s: was %s, now %s", c.Address, d.Path, was, change(d)))
	}
	if len(moved) > 0 {
		return moved // the calls follow from the lines
	}
	left := slices.Clone(approved.Calls)
	for _, call := range c.Calls {
		i := slices.Index(left, call)
		if i < 0 {
			moved = append(moved, fmt.Sprintf("%s: calls: was %s, now %s", c.Address, strings.Join(approved.Calls, ", "), strings.Join(c.Calls, ", ")))
			break
		}
		left = slices.Delete(left, i, i+1)
	}
	return moved
}

// adopts says that a change makes the stack's what was not.
func (c ResourceChange) adopts() bool {
	return slices.ContainsFunc(c.Lines, func(d Diff) bool { return d.Path == join("tags", Mark) })
}

// change is what a line does, short enough for a message.
func change(d Diff) string { return short(d.Before) + " -> " + short(d.After) }

func short(v any) string {
	if v == nil {
		return "absent"
	}
	const most = 100
	text := []rune(canonical(v))
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}

// within says whether a plan that was made after a step had been tried stays
// within what was approved for the resource, and lets in no more than it may.
func (n *node) within(plan Plan) error {
	if n.gated {
		if more := gained(plan.access()); len(more) > 0 {
			return fmt.Errorf("what is left to do would give new access (--fail-on-new-access): %s; make a new dry run and look at it", strings.Join(more, "; "))
		}
	}
	if n.approved == nil {
		return nil
	}
	moved := planned(n.res.ID(), plan).rest(*n.approved)
	if len(moved) == 0 {
		return nil
	}
	return fmt.Errorf("what is left to do goes beyond what was approved: %s; make a new dry run and have that approved", strings.Join(moved, "; "))
}

// planned is what a plan does.
func planned(id spec.ID, plan Plan) ResourceChange {
	c := ResourceChange{Address: id.String(), Action: Update}
	switch {
	case len(plan.Steps) == 0:
		c.Action = None
	case plan.Deletes:
		c.Action = Delete
	case !plan.Exists:
		c.Action = Create
	}
	for _, s := range plan.Steps {
		c.Calls = append(c.Calls, s.Call)
		c.Lines = append(c.Lines, s.Diffs...)
	}
	return c
}
