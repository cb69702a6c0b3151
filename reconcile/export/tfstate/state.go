// Package tfstate reads what a Terraform state says to look for in AWS: which
// resources there are, which of their fields Terraform looks after, and which
// outputs are made of them. What AWS has is never taken from a state, which may
// be old. It asks nobody, and tells no secret that it comes by.
package tfstate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/churn-reconcile/churn-reconcile/reconcile/export"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

// A State is what was read of one.
type State struct {
	objects []object // by address
	outputs []output // by name
}

// An object is an instance of a managed resource.
type object struct {
	address  Address
	provider string // with its alias, where the state tells it
	deposed  bool   // its successor stands; Terraform has yet to delete it
	attributes
	place Place
}

type output struct {
	name      string
	value     any // as encoding/json has it; numbers as they stand there
	sensitive bool
}

// A Place is where resources are. A spec is about one.
type Place struct{ Account, Region string }

func (p Place) String() string {
	return fmt.Sprintf("account %s in %s", cmp.Or(p.Account, "(not told)"), cmp.Or(p.Region, "(no region told)"))
}

func known(kind string) bool {
	o := object{address: Address{Type: kind}}
	o.Users = []string{""} // what an attachment for several is for
	_, whole := o.whole()
	return whole || o.parts() != nil
}

func newState(objects []object, outputs []output) *State {
	slices.SortFunc(objects, func(a, b object) int {
		return cmp.Or(cmp.Compare(a.address.Type, b.address.Type), cmp.Compare(a.address.String(), b.address.String()))
	})
	slices.SortFunc(outputs, func(a, b output) int { return cmp.Compare(a.name, b.name) })
	s := &State{objects: objects, outputs: outputs}
	s.locate()
	return s
}

// told is where an object says that it is. Resources of IAM are in no region,
// and a bucket's ARN has no account.
func (o *object) told() Place {
	p := Place{Account: o.RegistryID, Region: o.Region}
	if parts := strings.SplitN(o.ARN, ":", 6); len(parts) == 6 && parts[0] == "arn" {
		p = Place{Account: cmp.Or(parts[4], p.Account), Region: cmp.Or(parts[3], p.Region)}
	}
	return p
}

// locate says of each object where it is. What it does not tell follows from
// others of the same provider, and else from where most of the state is. So
// every object, IAM's among them, is in exactly one place.
func (s *State) locate() {
	type count map[string]int
	accounts, regions := map[string]count{}, map[string]count{}
	add := func(to map[string]count, provider, where string) {
		if where == "" {
			return
		}
		for _, p := range []string{provider, ""} {
			if to[p] == nil {
				to[p] = count{}
			}
			to[p][where]++
		}
	}
	for i := range s.objects {
		o := &s.objects[i]
		if !known(o.address.Type) {
			continue
		}
		told := o.told()
		add(accounts, o.provider, told.Account)
		add(regions, o.provider, told.Region)
	}
	most := func(of count) string {
		names := slices.Sorted(maps.Keys(of))
		if len(names) == 0 {
			return ""
		}
		return slices.MaxFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(of[a], of[b]), -cmp.Compare(a, b)) })
	}
	for i := range s.objects {
		o := &s.objects[i]
		o.place = o.told()
		o.place.Account = cmp.Or(o.place.Account, most(accounts[o.provider]), most(accounts[""]))
		o.place.Region = cmp.Or(o.place.Region, most(regions[o.provider]), most(regions[""]))
	}
}

// Places lists where the state has resources that the product has a kind for.
func (s *State) Places() []Place {
	seen := map[Place]bool{}
	for i := range s.objects {
		if _, ok := s.objects[i].whole(); ok && !s.objects[i].deposed {
			seen[s.objects[i].place] = true
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Region, b.Region))
	})
}

// In picks the place that an account and a region are, either of which may be
// left out where it follows.
func (s *State) In(account, region string) (Place, error) {
	places := s.Places()
	fits := slices.DeleteFunc(slices.Clone(places), func(p Place) bool {
		return account != "" && p.Account != "" && p.Account != account || region != "" && p.Region != "" && p.Region != region
	})
	if len(fits) == 1 {
		return fits[0], nil
	}
	var told strings.Builder
	for _, p := range places {
		n := len(s.At(p).Wants)
		fmt.Fprintf(&told, "\n  --account %s --region %s  (%d)", p.Account, p.Region, n)
	}
	switch {
	case len(places) == 0:
		return Place{}, errors.New("the state has no resource of a kind that a spec has")
	case len(fits) == 0:
		return Place{}, fmt.Errorf("the state has nothing there; it has resources in:%s", told.String())
	}
	return Place{}, fmt.Errorf("the state has resources in %d places, and a spec is about one; choose with flags:%s", len(places), told.String())
}

// A Part is the part of a state that one spec can be about.
type Part struct {
	Place Place
	Wants []export.Want // by address

	// Left is what stays with Terraform whatever AWS has, by type and address.
	Left []Left

	taken   []taken
	outputs []output
	secrets []key
	blocks  map[string]bool // buckets of which Terraform looks after which encryption they block
}

// A Left is a resource that stays with Terraform.
type Left struct {
	Address Address
	Reason  string // "": the product has no kind for it
}

// taken is an object that goes over to the spec with the resources that it is,
// or is a part of.
type taken struct {
	address Address
	of      []spec.ID
}

// A key is an access key as the state has it.
type key struct {
	user, id, secret, password string
}

// At is the part of the state that is in a place. Objects of no kind are in
// every place.
func (s *State) At(place Place) Part {
	p := Part{Place: place, outputs: s.outputs, blocks: map[string]bool{}}
	wants := map[spec.ID]*export.Want{}
	leave := func(o *object, reason string) {
		p.Left = append(p.Left, Left{o.address, reason})
	}
	var parts []*object
	for i := range s.objects {
		o := &s.objects[i]
		if o.Secret != "" || o.SMTPPassword != "" || o.address.Type == "aws_iam_access_key" {
			p.secrets = append(p.secrets, key{o.User, o.ID, o.Secret, o.SMTPPassword})
		}
		f, whole := o.whole()
		switch {
		case o.deposed:
			leave(o, "it is deposed: Terraform has put another in its place and has yet to delete it")
		case !whole && o.parts() == nil && !known(o.address.Type):
			leave(o, "")
		case o.place != place:
		case !whole:
			parts = append(parts, o)
		case f.id.Name == "":
			leave(o, "the state does not tell its name")
		default:
			want := wants[f.id]
			if want == nil {
				want = &export.Want{ID: f.id, Path: f.path, Fields: []string{}}
				wants[f.id] = want
			}
			want.Fields = append(want.Fields, f.fields...)
			want.Comments = append(want.Comments, f.notes...)
			p.taken = append(p.taken, taken{o.address, []spec.ID{f.id}})
		}
	}
	for _, o := range parts {
		var of []spec.ID
		var missing []string
		for _, f := range o.parts() {
			owner := f.id
			if owner.Kind == spec.AccessKey {
				owner.Kind = spec.User
			}
			want := wants[owner]
			if want == nil {
				missing = append(missing, owner.String())
				continue
			}
			want.Fields = append(want.Fields, f.fields...)
			if f.blocks {
				p.blocks[f.id.Name] = true
			}
			if f.id != owner && wants[f.id] == nil {
				wants[f.id] = &export.Want{ID: f.id}
			}
			if f.id != owner {
				wants[f.id].Comments = append(wants[f.id].Comments, o.keyComments(wants[f.id])...)
			}
			of = append(of, f.id)
		}
		switch {
		case len(missing) > 0:
			leave(o, "it is about "+strings.Join(missing, ", ")+", not a resource of this state")
		case len(of) == 0:
			leave(o, "it is about nothing")
		default:
			p.taken = append(p.taken, taken{o.address, of})
		}
	}
	for i := range s.objects {
		o := &s.objects[i]
		if want := wants[spec.ID{Kind: spec.Bucket, Name: o.Bucket}]; want != nil && o.address.Type == "aws_s3_bucket" {
			want.Comments = append(want.Comments, o.inlineComments(want.Fields)...)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(wants), spec.Compare) {
		want := wants[id]
		slices.Sort(want.Fields)
		want.Fields = slices.Compact(want.Fields)
		want.Comments = slices.Compact(want.Comments)
		p.Wants = append(p.Wants, *want)
	}
	slices.SortStableFunc(p.Left, func(a, b Left) int {
		return cmp.Or(cmp.Compare(a.Address.Type, b.Address.Type), cmp.Compare(a.Address.String(), b.Address.String()))
	})
	return p
}

// inlineComments say what a bucket has beside what Terraform's resources about
// it keep. It may be set by arguments of the bucket's own, as before version 4 of
// the provider; the state of a later one shows it whoever has set it.
func (o *object) inlineComments(kept []string) []string {
	var shown []string
	if len(o.Versioning) > 0 && o.Versioning[0].Enabled && !slices.Contains(kept, "versioning") {
		shown = append(shown, "versioning")
	}
	if bool(o.LifecycleRule) && !slices.Contains(kept, "lifecycleRules") {
		shown = append(shown, "lifecycle rules")
	}
	if len(shown) == 0 {
		return nil
	}
	return []string{"It has " + strings.Join(shown, " and ") + ", which no Terraform resource of its own keeps: left alone here. --all writes it too."}
}

// keyComments say what becomes of an access key.
func (o *object) keyComments(so *export.Want) []string {
	if len(so.Comments) > 0 {
		return []string{"Terraform keeps another key of this user. A stack keeps one; the other stays as it is."}
	}
	if o.Secret == "" {
		return []string{`Whoever got its secret from Terraform has it: "churn-reconcile rotate" gives the`, "key a successor, and delivers that."}
	}
	return []string{`Its secret stood in Terraform's state in clear text: "churn-reconcile rotate" gives`, "the key a successor, and delivers that."}
}

// Outputs are the outputs that a spec can have as well, where it declares what
// declared says. Of a sensitive one it has at most where an access key's value
// comes from. The others are left out, and notes say why.
func (p Part) Outputs(declared func(spec.ID) bool) (outputs []spec.Output, notes []string) {
	for _, o := range p.outputs {
		value, why := p.output(o, declared)
		if why != "" {
			notes = append(notes, fmt.Sprintf("Output %s %s.", o.name, why))
			continue
		}
		outputs = append(outputs, spec.Output{Name: o.name, Value: value})
	}
	return outputs, notes
}

// outputName is what a spec takes for the name of an output.
var outputName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

func (p Part) output(o output, declared func(spec.ID) bool) (value spec.Template, why string) {
	if !outputName.MatchString(o.name) {
		return nil, "has a name that a spec does not take"
	}
	var text string
	switch v := o.value.(type) {
	case string:
		text = v
	case json.Number:
		text = v.String()
	case bool:
		text = fmt.Sprint(v)
	case nil:
		return nil, "has no value"
	default:
		if p.tells(v) {
			return nil, "holds a secret of an access key"
		}
		return nil, "is a list or an object, and an output of a spec is text"
	}
	for _, k := range p.secrets {
		of := spec.ID{Kind: spec.AccessKey, Name: k.user}
		attr := ""
		switch {
		case text == "":
		case text == k.id:
			attr = "accessKeyId"
		case text == k.secret:
			attr = "secretAccessKey"
		}
		switch {
		case attr != "" && declared(of):
			return spec.Template{{ID: of, Attr: attr}}, ""
		case attr != "":
			return nil, "is of an access key that is left out"
		}
	}
	switch {
	case o.sensitive:
		return nil, "is sensitive"
	case p.Tells(text):
		return nil, "holds a secret of an access key"
	}
	for _, t := range p.taken {
		if id := t.of[0]; id.Kind == spec.TaskDefinition && declared(id) && isRevision(text, id.Name) {
			return spec.Template{{ID: id, Attr: "arn"}}, ""
		}
	}
	return spec.Template{{Text: text}}, ""
}

// isRevision says that a text is the ARN of a revision of a family.
func isRevision(text, family string) bool {
	arn, revision, _ := strings.Cut(text, ":task-definition/"+family+":")
	return strings.HasPrefix(arn, "arn:") && !strings.ContainsAny(arn, "/ ") && revision != "" && strings.Trim(revision, "0123456789") == ""
}

// Tells says that a text holds a secret of an access key of the state.
func (p Part) Tells(text string) bool {
	return slices.ContainsFunc(p.secrets, func(k key) bool {
		return k.secret != "" && strings.Contains(text, k.secret) || k.password != "" && strings.Contains(text, k.password)
	})
}

func (p Part) tells(value any) bool {
	switch v := value.(type) {
	case string:
		return p.Tells(v)
	case spec.Document:
		return p.Tells(string(v))
	case []any:
		return slices.ContainsFunc(v, p.tells)
	case map[string]any:
		for name, item := range v {
			if p.Tells(name) || p.tells(item) {
				return true
			}
		}
	}
	return false
}

// Release lists the commands that make Terraform forget what the spec has taken
// over, each on a line of its own. An object that is about a resource which the
// spec does not declare stays.
func (p Part) Release(declared func(spec.ID) bool) []string {
	var lines []string
	for _, a := range p.over(declared) {
		lines = append(lines, "terraform state rm "+quoteShell(a.String()))
	}
	return lines
}

// RemovedBlocks is the same as blocks for the configuration, for Terraform 1.7
// and later. A block is about every instance of a resource, so there is none
// where an instance stays.
func (p Part) RemovedBlocks(declared func(spec.ID) bool) (lines, notes []string) {
	over := p.over(declared)
	goes := map[string]bool{}
	for _, a := range over {
		goes[a.String()] = true
	}
	stays := map[string]bool{}
	for _, t := range p.taken {
		if !goes[t.address.String()] {
			stays[t.address.declaration()] = true
		}
	}
	for _, l := range p.Left {
		stays[l.Address.declaration()] = true
	}
	var done []string
	for _, a := range over {
		from := a.declaration()
		switch {
		case slices.Contains(done, from):
			continue
		case stays[from]:
			notes = append(notes, "No removed block for "+from+": some of its instances stay with Terraform.")
		default:
			lines = append(lines, "removed {", "  from = "+from, "", "  lifecycle {", "    destroy = false", "  }", "}")
		}
		done = append(done, from)
	}
	return lines, notes
}

// over are the addresses of what the spec has taken over, by address.
func (p Part) over(declared func(spec.ID) bool) []Address {
	var over []Address
	for _, t := range p.taken {
		if !slices.ContainsFunc(t.of, func(id spec.ID) bool { return !declared(id) }) {
			over = append(over, t.address)
		}
	}
	slices.SortFunc(over, func(a, b Address) int { return cmp.Compare(a.String(), b.String()) })
	return over
}
