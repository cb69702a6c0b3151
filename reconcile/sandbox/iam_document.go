package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

func malformed(message string) *apiError {
	return &apiError{http.StatusBadRequest, "MalformedPolicyDocument", message}
}

const policySyntax = "Syntax errors in policy."

// A statement is what the sandbox checks of a policy's statement. It reads
// documents to accept or refuse them, and never evaluates one.
type statement struct {
	Sid          string
	Effect       string
	Principal    principals
	NotPrincipal principals
	Action       texts
	NotAction    texts
	Resource     texts
	NotResource  texts
	Condition    map[string]map[string]json.RawMessage
}

// texts is a string or a list of strings.
type texts []string

func (t *texts) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*t = texts{one}
		return nil
	}
	list := []string{}
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	*t = list
	return nil
}

// principals are lists by kind: AWS, Service, Federated, CanonicalUser. The
// text "*" is kept as the kind "*".
type principals map[string]texts

func (p *principals) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		if one != "*" {
			return fmt.Errorf("principal %q", one)
		}
		*p = principals{"*": nil}
		return nil
	}
	var kinds map[string]texts
	if err := json.Unmarshal(raw, &kinds); err != nil {
		return err
	}
	*p = kinds
	return nil
}

// statements reads a policy document and checks what all kinds of policies
// have in common.
func statements(doc string) ([]statement, *apiError) {
	raw := []byte(doc)
	if !uniqueKeys(raw) {
		return nil, malformed(policySyntax)
	}
	var policy struct {
		Version   string
		ID        string `json:"Id"`
		Statement json.RawMessage
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&policy); err != nil {
		return nil, malformed(policySyntax)
	}
	switch policy.Version {
	case "", "2008-10-17", "2012-10-17":
	default:
		return nil, malformed(policySyntax)
	}
	list := policy.Statement
	if s := bytes.TrimSpace(list); len(s) > 0 && s[0] == '{' {
		list = slices.Concat([]byte("["), s, []byte("]"))
	}
	var all []statement
	dec = json.NewDecoder(bytes.NewReader(list))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&all); err != nil || len(all) == 0 {
		return nil, malformed(policySyntax)
	}
	sids := map[string]bool{}
	for _, s := range all {
		switch {
		case s.Effect != "Allow" && s.Effect != "Deny":
			return nil, malformed(policySyntax)
		case s.Action == nil && s.NotAction == nil:
			return nil, malformed("Policy statement must contain actions.")
		case s.Action != nil && s.NotAction != nil, s.Resource != nil && s.NotResource != nil:
			return nil, malformed(policySyntax)
		case s.Sid != "" && sids[s.Sid]:
			return nil, malformed("Statement IDs (SID) in a single policy must be unique.")
		}
		sids[s.Sid] = true
		for _, a := range slices.Concat(s.Action, s.NotAction) {
			if vendor, action, ok := strings.Cut(a, ":"); a != "*" && (!ok || vendor == "" || action == "") {
				return nil, malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
			}
		}
	}
	return all, nil
}

var sidText = &pattern{expr: `^[A-Za-z0-9]*$`}

// policyText reads a parameter that has to hold a document.
func policyText(f url.Values, param string) (string, error) {
	doc := f.Get(param)
	if doc == "" {
		return "", iamInvalid(param, doc, "Member must have length greater than or equal to 1")
	}
	return doc, nil
}

// identityPolicy checks a policy that is attached to an identity: managed or
// inline.
func identityPolicy(doc string) error {
	all, e := statements(doc)
	if e != nil {
		return e
	}
	for _, s := range all {
		switch {
		case s.Principal != nil || s.NotPrincipal != nil:
			return malformed("Policy document should not specify a principal.")
		case s.Resource == nil && s.NotResource == nil:
			return malformed("Policy statement must contain resources.")
		case !sidText.MatchString(s.Sid):
			return malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
		}
		for _, res := range slices.Concat(s.Resource, s.NotResource) {
			if !arnLike(res) {
				return malformed(fmt.Sprintf(`Resource %s must be in ARN format or "*".`, res))
			}
		}
	}
	return nil
}

// arnLike says whether a text has an ARN's six parts, or begins as a pattern
// that may match some.
func arnLike(s string) bool {
	if s == "*" {
		return true
	}
	if !strings.HasPrefix(s, "arn:") {
		return false
	}
	return strings.Count(s, ":") >= 5 || strings.HasSuffix(s, "*")
}

// trust reads and checks a role's trust policy.
func (st *iamState) trust(r *request, param string) (string, error) {
	doc, err := policyText(r.form, param)
	if err != nil {
		return "", err
	}
	all, e := statements(doc)
	if e != nil {
		return "", e
	}
	for _, s := range all {
		switch {
		case s.Resource != nil || s.NotResource != nil:
			return "", malformed("Has prohibited field Resource")
		case s.Principal == nil && s.NotPrincipal == nil:
			return "", malformed("Missing required field Principal")
		}
		for _, a := range slices.Concat(s.Action, s.NotAction) {
			if a != "*" && !strings.HasPrefix(strings.ToLower(a), "sts:") {
				return "", malformed("AssumeRole policy may only specify STS AssumeRole actions.")
			}
		}
		for _, p := range []principals{s.Principal, s.NotPrincipal} {
			if bad := st.unknownPrincipal(r, p); bad != "" {
				return "", malformed("Invalid principal in policy: " + bad)
			}
		}
	}
	if size(doc) > maxTrust {
		return "", limitExceeded("Cannot exceed quota for ACLSizePerRole: %d", maxTrust)
	}
	return st.withUniqueIDs(doc), nil
}

// unknownPrincipal names a principal that AWS would refuse: a kind that does
// not exist, or a user or role of this account that does not. Those of other
// accounts are beyond the sandbox's knowledge.
func (st *iamState) unknownPrincipal(r *request, p principals) string {
	own := fmt.Sprintf("arn:%s:iam::%s:", partition(r.region), r.account)
	for kind, values := range p {
		for _, v := range values {
			ok := false
			switch kind {
			case "AWS":
				rest, mine := strings.CutPrefix(v, own)
				ok = v == "*" || accountID.MatchString(v) || principalARN.MatchString(v) &&
					(!mine || rest == "root" || st.byARN(v) != "") || st.byID(v) != ""
			case "Service":
				ok = servicePrincipal.MatchString(v)
			case "Federated", "CanonicalUser":
				ok = v != ""
			}
			if !ok {
				return fmt.Sprintf("%q:%q", kind, v)
			}
		}
		if kind != "*" && len(values) == 0 {
			return fmt.Sprintf("%q:[]", kind)
		}
	}
	return ""
}

var (
	principalARN     = &pattern{expr: `^arn:[\w-]+:(iam::\d{12}:(root|(user|role)/.+)|sts::\d{12}:(assumed-role|federated-user)/.+)$`}
	servicePrincipal = &pattern{expr: `^[a-z0-9.-]+\.(amazonaws\.com(\.cn)?|amazon\.com|aws\.internal)$`}
	uniqueID         = &pattern{expr: `"(AIDA|AROA)[A-Z2-7]{17}"`}
	entityARN        = &pattern{expr: `"arn:[\w-]+:iam::\d{12}:(user|role)/[^"\\]+"`}
)

// byARN gives the unique ID of the user or role of an ARN; "" is none.
func (st *iamState) byARN(arn string) string {
	n := strings.ToLower(arn[strings.LastIndex(arn, "/")+1:])
	if u := st.Users[n]; u != nil && u.Arn == arn {
		return u.ID
	}
	if o := st.Roles[n]; o != nil && o.Arn == arn {
		return o.ID
	}
	return ""
}

// byID gives the ARN of the user or role of a unique ID; "" is none.
func (st *iamState) byID(id string) string {
	for _, u := range st.Users {
		if u.ID == id {
			return u.Arn
		}
	}
	for _, o := range st.Roles {
		if o.ID == id {
			return o.Arn
		}
	}
	return ""
}

// withUniqueIDs puts unique IDs in the place of the ARNs of users and roles.
// AWS keeps principals so: one that is deleted and made again is another one,
// and the policy shows the dead one's ID from then on.
func (st *iamState) withUniqueIDs(doc string) string {
	return entityARN.compiled().ReplaceAllStringFunc(doc, func(arn string) string {
		if id := st.byARN(strings.Trim(arn, `"`)); id != "" {
			return `"` + id + `"`
		}
		return arn
	})
}

// withoutDeleted is the way back: ARNs for unique IDs that still live.
func (st *iamState) withoutDeleted(doc string) string {
	return uniqueID.compiled().ReplaceAllStringFunc(doc, func(id string) string {
		if arn := st.byID(strings.Trim(id, `"`)); arn != "" {
			return `"` + arn + `"`
		}
		return id
	})
}

// uniqueKeys says whether a text is one JSON value in which no object has a
// key twice, which IAM refuses and encoding/json would let pass.
func uniqueKeys(raw []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if !uniqueIn(dec) {
		return false
	}
	_, err := dec.Token()
	return errors.Is(err, io.EOF)
}

func uniqueIn(dec *json.Decoder) bool {
	t, err := dec.Token()
	if err != nil {
		return false
	}
	open, ok := t.(json.Delim)
	if !ok {
		return true
	}
	keys := map[string]bool{}
	for dec.More() {
		if open == '{' {
			k, err := dec.Token()
			s, isText := k.(string)
			if err != nil || !isText || keys[s] {
				return false
			}
			keys[s] = true
		}
		if !uniqueIn(dec) {
			return false
		}
	}
	_, err = dec.Token()
	return err == nil
}
