package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Policy is a document made ready to be evaluated many times.
type Policy struct {
	// Name is what reasons call the policy.
	Name string

	statements []rule
}

// Compile reads a document as Canonical does. It refuses what AWS would: a
// statement without an effect or actions, and elements that do not exist.
func Compile(name string, doc []byte) (*Policy, error) {
	d, err := read(doc)
	if err != nil {
		return nil, err
	}
	p := &Policy{Name: name}
	for _, s := range d.statements {
		r, err := compileRule(s, d.rest.children["Version"].value != defaultVersion)
		if err != nil {
			return nil, fmt.Errorf("policy document: statement %s: %w", s.label(), err)
		}
		p.statements = append(p.statements, r)
	}
	return p, nil
}

// Unknown is a policy whose document is not at hand: it might allow anything
// and might deny anything.
func Unknown(name, why string) *Policy {
	why = name + ": " + why
	return &Policy{Name: name, statements: []rule{
		{label: "0", allow: true, unknown: why, notAction: true, notResource: true, notPrincipal: true, text: "unknown " + name},
		{label: "0", unknown: why, notAction: true, notResource: true, notPrincipal: true, text: "unknown " + name},
	}}
}

// Join makes one policy of those of several resources, by ARN, so that a Set can
// have them all. A statement that does not say what it is about, as those of ECR
// repositories, is about its own resource.
func Join(policies map[string]*Policy) *Policy {
	joined := &Policy{}
	for _, arn := range slices.Sorted(maps.Keys(policies)) {
		for _, r := range policies[arn].statements {
			if r.resources == nil {
				r.resources = []*pattern{compileARN(arn, syntax{})}
			}
			r.of = policies[arn].Name
			joined.statements = append(joined.statements, r)
		}
	}
	return joined
}

// A Set is all policies that decide about a request, by the part that they
// have in it.
type Set struct {
	// Identity is what is attached to the caller, inline or managed.
	Identity []*Policy
	// Boundary is the caller's permissions boundary; nil is none.
	Boundary *Policy
	// Session is what a session was made with; nil is none.
	Session []*Policy
	// Resource is the policy of the resource; nil is none.
	Resource *Policy
	// Trust is the trust policy of the role that is to be assumed; nil is
	// none. Unlike Resource, it has to allow the request in any account.
	Trust *Policy

	// AnyCaller asks what Resource or Trust let in by themselves: the
	// caller's own policies are taken to allow all that the resource leaves
	// to them.
	AnyCaller bool
}

// A Request is one call, as AWS authorizes it.
type Request struct {
	Principal Principal
	Action    string // s3:GetObject
	Resource  string // an ARN, or "*" where the action has no resource

	// Account owns the resource; "" is the one of the resource's ARN or,
	// where that has none, the caller's.
	Account string

	// Context has the request's condition keys, in any case. A key that is
	// not there is absent from the request. What the principal says by
	// itself is filled in: aws:PrincipalArn, aws:PrincipalAccount,
	// aws:PrincipalType and aws:username.
	Context map[string][]string
	// Partial says that Context does not have everything: conditions on
	// other keys cannot be decided.
	Partial bool
}

// A Principal is a caller, by the words of a policy's Principal element.
type Principal struct {
	// Type is AWS, Service, Federated or CanonicalUser; "" is anonymous.
	Type string
	// ID is the ARN of a user, a role, a role's session or an account's
	// root, the name of a service, or an identity provider. A role's ARN
	// stands for a session of it of any name.
	ID string
}

func (p Principal) String() string {
	if p.Type == "" {
		return "anyone"
	}
	return p.ID
}

// A Verdict is what AWS answers to a request.
type Verdict uint8

const (
	// ImplicitDeny is a request that nothing allows.
	ImplicitDeny Verdict = iota
	// ExplicitDeny is a request that a statement denies.
	ExplicitDeny
	// Allow is a request that goes through.
	Allow
	// Undecided is a request of which Decision.Why says what is not known.
	Undecided
)

func (v Verdict) String() string {
	return [...]string{"implicit deny", "explicit deny", "allow", "unknown"}[v]
}

// A Kind is the part that a policy has in a decision.
type Kind uint8

const (
	Identity Kind = iota
	Boundary
	Session
	Resource
	Trust
)

// String is what AWS's messages call the kind.
func (k Kind) String() string {
	return [...]string{"identity-based policy", "permissions boundary", "session policy", "resource-based policy", "role trust policy"}[k]
}

// A Decision is a verdict and what it rests on.
type Decision struct {
	Verdict Verdict
	// Kind is of the policies that deny, explicitly or by not allowing, or
	// that allow.
	Kind Kind
	// Policy and Statement are the statement that denies or allows; "" where
	// there is none.
	Policy, Statement string
	// Why is what Undecided is for.
	Why string
}

func (d Decision) String() string {
	switch d.Verdict {
	case Undecided:
		return "unknown: " + d.Why
	case ImplicitDeny:
		return fmt.Sprintf("no %s allows it", d.Kind)
	}
	verb := "allowed"
	if d.Verdict == ExplicitDeny {
		verb = "denied"
	}
	if d.Statement == "" {
		return verb
	}
	return fmt.Sprintf("%s by statement %s of the %s %s", verb, d.Statement, d.Kind, d.Policy)
}

// Evaluate decides about a request as AWS does.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
//
// Organizations' policies, VPC endpoints' and access control lists are not
// part of it, nor is what a service adds of its own: a KMS key's policy has to
// allow its own account first, and S3 can block public policies.
func Evaluate(req Request, set Set) Decision {
	e := newEnv(req)
	return set.decide(e, set.placed())
}

// A rule is a statement made ready.
type rule struct {
	label   string
	of      string // the policy that it is of, where that is joined to others
	text    string // canonical
	allow   bool
	unknown string // why it cannot be decided

	notAction, notResource, notPrincipal bool

	actions    []*pattern
	resources  []*pattern // none without notResource: any, as in a trust policy
	principals map[string][]string
	conditions []condition
}

func compileRule(s statement, variables bool) (rule, error) {
	r := rule{label: s.label(), text: s.text}
	if !variables {
		r.text += defaultVersion
	}
	for _, name := range slices.Sorted(maps.Keys(s.children)) {
		child := s.children[name]
		switch name {
		case "Sid":
		case "Effect":
			r.allow = child.value == "Allow"
			if !r.allow && child.value != "Deny" {
				return rule{}, fmt.Errorf("effect %v is neither Allow nor Deny", child.value)
			}
		case "Action", "NotAction":
			if r.actions != nil {
				return rule{}, fmt.Errorf("it has both Action and NotAction")
			}
			r.notAction = name == "NotAction"
			r.actions = []*pattern{}
			for _, action := range slices.Sorted(maps.Keys(child.children)) {
				p := compile(action, syntax{wildcards: true, fold: true})
				p.text = child.children[action].name
				r.actions = append(r.actions, p)
			}
		case "Resource", "NotResource":
			if r.resources != nil {
				return rule{}, fmt.Errorf("it has both Resource and NotResource")
			}
			r.notResource = name == "NotResource"
			r.resources = []*pattern{}
			for _, resource := range slices.Sorted(maps.Keys(child.children)) {
				r.resources = append(r.resources, compileARN(resource, syntax{wildcards: true, variables: variables}))
			}
		case "Principal", "NotPrincipal":
			if r.principals != nil {
				return rule{}, fmt.Errorf("it has both Principal and NotPrincipal")
			}
			r.notPrincipal = name == "NotPrincipal"
			r.principals = map[string][]string{}
			if child.kind == set { // NotPrincipal: "*"
				r.principals["AWS"] = slices.Sorted(maps.Keys(child.children))
			}
			for kind, ids := range child.children {
				if ids.kind == set {
					r.principals[kind] = slices.Sorted(maps.Keys(ids.children))
				}
			}
		case "Condition":
			r.conditions, r.unknown = compileConditions(child, variables)
		default:
			return rule{}, fmt.Errorf("there is no element %s", name)
		}
	}
	switch {
	case s.children["Effect"].value == nil:
		return rule{}, fmt.Errorf("it has no Effect")
	case r.actions == nil:
		return rule{}, fmt.Errorf("it has neither Action nor NotAction")
	}
	return r, nil
}

// A placed rule is one in the part that its policy has in a set.
type placed struct {
	kind   Kind
	policy *Policy
	*rule
}

// from is the name of the policy that a statement is of.
func (p placed) from() string { return cmp.Or(p.of, p.policy.Name) }

func (s Set) placed() []placed {
	var all []placed
	add := func(kind Kind, policies ...*Policy) {
		for _, p := range policies {
			if p == nil {
				continue
			}
			for i := range p.statements {
				all = append(all, placed{kind, p, &p.statements[i]})
			}
		}
	}
	add(Identity, s.Identity...)
	add(Boundary, s.Boundary)
	add(Session, s.Session...)
	add(Resource, s.Resource)
	add(Trust, s.Trust)
	return all
}

// An env is a request as statements look at it.
type env struct {
	Request
	caller
	context map[string][]string // by key in lower case
	// bound says, for the comparison of sets, whether a pattern with
	// variables matches a text; nil where the variables have values.
	bound func(p *pattern, text string) bool
}

func newEnv(req Request) *env {
	e := &env{Request: req, caller: describe(req.Principal), context: req.Context}
	e.Action = strings.ToLower(req.Action)
	for key := range req.Context {
		if key == strings.ToLower(key) {
			continue
		}
		e.context = make(map[string][]string, len(req.Context))
		for key, values := range req.Context {
			e.context[strings.ToLower(key)] = values
		}
		break
	}
	if role := e.context["aws:principalarn"]; e.sessionOf != "" && len(role) == 1 {
		e.role = role[0] // a session's ARN does not have the role's path
	}
	if e.Account == "" {
		// "aws" owns the managed policies, which everybody may look at.
		if fields := strings.SplitN(req.Resource, ":", 6); len(fields) == 6 && fields[4] != "aws" {
			e.Account = fields[4]
		}
	}
	if e.Account == "" {
		e.Account = e.account
	}
	return e
}

// values gives a condition key's values, none where it is absent, and whether
// they are known.
func (e *env) values(key string) ([]string, bool) {
	if values, ok := e.context[key]; ok {
		return values, true
	}
	said := ""
	switch key {
	case "aws:principalarn":
		said = e.arn
	case "aws:principalaccount":
		said = e.account
	case "aws:principaltype":
		said = e.kind
	case "aws:username":
		said = e.user
	default:
		return nil, !e.Partial
	}
	if said == "" {
		return nil, true
	}
	return []string{said}, true
}

func (e *env) match(p *pattern, text string) bool {
	if p.vars && e.bound != nil {
		return e.bound(p, text)
	}
	tokens, ok := p.with(e.single)
	return ok && matches(tokens, text)
}

// single is the value of a variable, which cannot have several.
func (e *env) single(key string) (string, bool) {
	if values, _ := e.values(key); len(values) == 1 {
		return values[0], true
	}
	return "", false
}

// partial says that p has a variable whose value is not known.
func (e *env) partial(p *pattern) string {
	if e.Partial && p.vars {
		for _, key := range p.keys() {
			if _, known := e.values(key); !known {
				return key
			}
		}
	}
	return ""
}

// A grade says how a Principal element names a caller, which decides what can
// take away what a statement gives.
type grade uint8

const (
	stranger grade = iota
	member         // by the account: left to the account's own policies
	ofRole         // by the role: its boundary and the session's policies limit it
	direct         // by itself, or as anyone
)

// A caller is what the ARN of a principal says.
type caller struct {
	account, arn, kind, user, role, sessionOf string
}

func describe(p Principal) caller {
	fields := strings.SplitN(p.ID, ":", 6)
	if p.Type != "AWS" || len(fields) < 6 {
		return caller{}
	}
	c := caller{account: fields[4], arn: p.ID, kind: "User"}
	rest := fields[5]
	switch {
	case rest == "root":
		c.kind = "Account"
	case strings.HasPrefix(rest, "user/"):
		c.user = rest[strings.LastIndex(rest, "/")+1:]
	case strings.HasPrefix(rest, "role/"):
		c.kind, c.role = "AssumedRole", p.ID
	case strings.HasPrefix(rest, "assumed-role/"):
		name, _, _ := strings.Cut(strings.TrimPrefix(rest, "assumed-role/"), "/")
		c.kind, c.sessionOf = "AssumedRole", name
		c.role = strings.Join([]string{fields[0], fields[1], "iam", "", fields[4], "role/" + name}, ":")
		c.arn = c.role
	case strings.HasPrefix(rest, "federated-user/"):
		c.kind = "FederatedUser"
	}
	return c
}

func (r *rule) names(e *env) grade {
	best := stranger
	for _, id := range r.principals["AWS"] {
		g := stranger
		switch {
		case id == "*":
			g = direct
		case e.Principal.Type != "AWS":
		case id == account(e.Principal.ID):
			g = direct
			if id == e.role {
				g = ofRole
			}
		case id == e.role:
			g = ofRole
		case id == e.account:
			g = member
		}
		best = max(best, g)
	}
	if slices.Contains(r.principals[e.Principal.Type], e.Principal.ID) && e.Principal.Type != "AWS" {
		best = direct
	}
	return best
}

// grade says how a statement of a resource's policy takes a caller; where the
// answer is maybe, why says what AWS leaves open.
func (r *rule) grade(e *env, boundary bool) (grade, truth, string) {
	g := r.names(e)
	if !r.notPrincipal {
		return g, truthOf(g != stranger), ""
	}
	switch {
	case e.Principal.Type != "AWS" || g == stranger:
		return direct, truthOf(g == stranger), ""
	case !r.allow && boundary:
		// "The NotPrincipal element with a Deny effect will always deny any
		// IAM principal that has a permissions boundary policy attached."
		return direct, yes, ""
	case slices.Contains(r.principals["AWS"], "*"):
		return direct, no, ""
	case g == member && e.Principal.ID != "" && !strings.HasSuffix(e.Principal.ID, ":root"):
		// The account is spared, its users and roles are not.
		if !r.allow {
			return direct, yes, ""
		}
		return direct, maybe, "AWS does not say whether NotPrincipal with an account spares its users and roles"
	case !r.allow && !r.spares(e):
		return direct, maybe, "NotPrincipal names the caller and not its account or role, which AWS may then deny as a whole"
	}
	return direct, no, ""
}

// spares says whether NotPrincipal names all that AWS may look at one after
// the other: the account, the role and the caller.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
func (r *rule) spares(e *env) bool {
	named := r.principals["AWS"]
	return slices.Contains(named, e.account) && slices.Contains(named, account(e.Principal.ID)) &&
		(e.role == "" || slices.Contains(named, e.role))
}

func (r *rule) matchesAction(action string) bool {
	return slices.ContainsFunc(r.actions, func(p *pattern) bool { return matches(p.tokens, action) }) != r.notAction
}

func (r *rule) matchesResource(e *env) (truth, string) {
	if r.resources == nil {
		return yes, ""
	}
	for _, p := range r.resources {
		if key := e.partial(p); key != "" && matches(p.widest().tokens, e.Resource) {
			return maybe, "it depends on " + key
		}
		if e.match(p, e.Resource) {
			return truthOf(!r.notResource), ""
		}
	}
	return truthOf(r.notResource), ""
}

// applies says whether a statement is about a request, and how it names the
// caller.
func (p placed) applies(e *env, boundary bool) (grade, truth, string) {
	g, t, why := direct, yes, ""
	also := func(other truth, because string) {
		if other < t {
			t, why = other, because
		}
	}
	if !p.matchesAction(e.Action) {
		return g, no, ""
	}
	if p.kind == Resource || p.kind == Trust {
		var named truth
		g, named, why = p.grade(e, boundary)
		t = named
	}
	if t != no {
		also(p.matchesResource(e))
	}
	for i := range p.conditions {
		if t == no {
			break
		}
		also(p.conditions[i].holds(e))
	}
	if t != no && p.unknown != "" {
		also(maybe, p.unknown)
	}
	return g, t, why
}

// A finding is what the statements of one kind say: the strongest answer and
// the statement that gives it.
type finding struct {
	truth truth
	by    placed
	why   string
}

func (f *finding) take(t truth, by placed, why string) {
	if t > f.truth {
		*f = finding{t, by, why}
	}
}

func both(a, b finding) finding {
	if b.truth < a.truth {
		return b
	}
	return a
}

func either(a, b finding) finding {
	if b.truth > a.truth {
		return b
	}
	return a
}

// decide is AWS's evaluation over statements, all of a set's or those of them
// that can apply.
func (s Set) decide(e *env, rules []placed) Decision {
	// "No permissions are required to perform this operation", and a denial
	// of it has no effect.
	if e.Action == "sts:getcalleridentity" {
		return Decision{Verdict: Allow}
	}

	var denies finding
	var allows [Trust + 1]finding
	var grades [direct + 1]finding // of what Resource or Trust allow
	for _, p := range rules {
		g, t, why := p.applies(e, s.Boundary != nil)
		switch {
		case t == no:
		case !p.allow:
			denies.take(t, p, why)
		default:
			allows[p.kind].take(t, p, why)
			if p.kind == Resource || p.kind == Trust {
				grades[g].take(t, p, why)
			}
		}
	}
	if denies.truth == yes {
		return Decision{ExplicitDeny, denies.by.kind, denies.by.from(), denies.by.label, ""}
	}

	allowed, missing := s.allowed(e, allows, grades)
	switch {
	case allowed.truth == no:
		return Decision{Verdict: ImplicitDeny, Kind: missing}
	case allowed.truth == maybe:
		return Decision{Verdict: Undecided, Why: allowed.why}
	case denies.truth == maybe:
		return Decision{Verdict: Undecided, Why: denies.why}
	case allowed.by.rule == nil:
		return Decision{Verdict: Allow} // the root user
	}
	return Decision{Allow, allowed.by.kind, allowed.by.from(), allowed.by.label, ""}
}

// allowed is the request's way through everything that has to allow it, and
// the kind that does not.
func (s Set) allowed(e *env, allows [Trust + 1]finding, grades [direct + 1]finding) (finding, Kind) {
	needed := finding{truth: yes}
	own := Resource
	if s.Trust != nil || s.AnyCaller && s.Resource == nil {
		own = Trust
	}

	if e.Principal.Type != "AWS" {
		return grades[direct], own // it has no policies of its own
	}
	if s.AnyCaller {
		return either(either(grades[direct], grades[ofRole]), grades[member]), own
	}

	// What limits what the caller's own policies give: without one of the
	// kind, nothing does.
	limits, limiting := needed, Identity
	if s.Boundary != nil {
		limits, limiting = both(limits, allows[Boundary]), Boundary
	}
	if s.Session != nil {
		if limits.truth == yes {
			limiting = Session
		}
		limits = both(limits, allows[Session])
	}
	identity := allows[Identity]
	if strings.HasSuffix(e.Principal.ID, ":root") && e.account != "" {
		identity = needed
		if own == Trust {
			return finding{}, Trust // "Roles may not be assumed by root accounts."
		}
	}
	missing := Identity
	if identity.truth != no && limits.truth == no {
		missing = limiting
	}
	mine := both(identity, limits)

	named := either(grades[direct], both(grades[ofRole], limits))
	switch {
	case e.account != e.Account:
		let := either(either(grades[direct], grades[ofRole]), grades[member])
		if mine.truth != no {
			missing = own
		}
		return both(mine, let), missing
	case own == Trust:
		// In its own account too, a role can be assumed by those only that
		// its trust policy names; where that names the account, their own
		// policies decide.
		if grades[member].truth == no && grades[ofRole].truth == no {
			missing = Trust
		}
		return either(named, both(mine, grades[member])), missing
	}
	return either(mine, named), missing
}
