package sandbox

import (
	"cmp"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// iamState is the account's IAM. Users, roles and groups are keyed by their
// names in lower case, because AWS holds names to be unique without regard to
// case; policies and providers by ARN.
type iamState struct {
	Users     map[string]*iamUser
	Roles     map[string]*iamRole
	Groups    map[string]*iamGroup
	Policies  map[string]*iamPolicy
	Providers map[string]*oidcProvider

	// Sessions are roles that were assumed, by the ID of their access key.
	Sessions map[string]*roleSession `json:",omitempty"`

	// DeletedKeys are the IDs of keys that once were: a call that they sign is
	// refused, while a key that the sandbox never saw is the account's own.
	DeletedKeys []string
}

// iamHandlers lists IAM's operations.
func iamHandlers() map[string]handler {
	h := map[string]handler{
		"GetAccountAuthorizationDetails": getAccountAuthorizationDetails,
		"ListAccountAliases":             noMembers[listAccountAliasesResult],
		"ListMFADevices":                 ofUser(func(*iamUser) any { return listMFADevicesResult{} }),
		"ListSSHPublicKeys":              ofUser(func(*iamUser) any { return listSSHPublicKeysResult{} }),
		"ListSigningCertificates":        ofUser(func(*iamUser) any { return listSigningCertificatesResult{} }),
		"ListServiceSpecificCredentials": ofUser(func(*iamUser) any { return listServiceSpecificCredentialsResult{} }),
		"GetLoginProfile":                getLoginProfile,
		"ListInstanceProfilesForRole":    listInstanceProfilesForRole,
		"ListInstanceProfiles":           noMembers[listInstanceProfilesResult],
		"ListVirtualMFADevices":          noMembers[listVirtualMFADevicesResult],
	}
	for _, more := range []map[string]handler{userHandlers(), keyHandlers(), groupHandlers(), roleHandlers(), policyHandlers(), oidcHandlers()} {
		maps.Copy(h, more)
	}
	return h
}

// A principal is who a call acts as.
type principal struct {
	ARN  string
	ID   string
	User string // the user's name, where it is one of IAM's

	kind    string       // as policies name it: AWS, Service, Federated; "" is nobody
	user    *iamUser     // nil where it is none
	role    *iamRole     // nil where it is none, or was deleted
	session *roleSession // nil where it is none
}

func (p principal) root() bool {
	return p.User == "" && p.kind == "AWS" && p.session == nil && p.role == nil
}

// principal says who signed the call, and whether IAM knows the key. A key that
// it never saw is the account's root. So is no key at all, unless policies are
// enforced: then it is nobody.
func (st *iamState) principal(r *request) (principal, bool) {
	if u, _ := st.key(r.accessKey); u != nil {
		return principal{ARN: u.Arn, ID: u.ID, User: u.Name, kind: "AWS", user: u}, true
	}
	if s := st.Sessions[r.accessKey]; s != nil {
		return st.sessionPrincipal(r, s), true
	}
	if r.accessKey == "" && r.enforced {
		return principal{}, false
	}
	return principal{ARN: r.arn("iam", "", "root"), ID: r.account, kind: "AWS"}, false
}

// signIn records the use of an access key and says why it may not be used; nil
// is that it may. A new key is unknown for as many calls as delay says.
func (st *iamState) signIn(svc service, r *request, delay int) *apiError {
	if slices.Contains(st.DeletedKeys, r.accessKey) {
		return svc.untrusted(r)
	}
	if s := st.Sessions[r.accessKey]; s != nil && !r.now.Before(s.Expires) {
		return svc.expired(r)
	}
	_, k := st.key(r.accessKey)
	if k == nil {
		return nil
	}
	if k.Status != "Active" {
		return svc.untrusted(r)
	}
	if k.Refused < delay {
		k.Refused++
		return svc.untrusted(r)
	}
	k.Used, k.UsedService, k.UsedRegion = r.now, r.service, r.region
	return nil
}

// key finds an access key and its user; nil where there is none.
func (st *iamState) key(id string) (*iamUser, *accessKey) {
	if id == "" {
		return nil, nil
	}
	for _, u := range st.Users {
		for i := range u.Keys {
			if u.Keys[i].ID == id {
				return u, &u.Keys[i]
			}
		}
	}
	return nil, nil
}

// IAM's errors.

func noSuchEntity(format string, args ...any) error {
	return &apiError{http.StatusNotFound, "NoSuchEntity", fmt.Sprintf(format, args...)}
}

func entityExists(format string, args ...any) error {
	return &apiError{http.StatusConflict, "EntityAlreadyExists", fmt.Sprintf(format, args...)}
}

func deleteConflict(message string) error {
	return &apiError{http.StatusConflict, "DeleteConflict", message}
}

func limitExceeded(format string, args ...any) error {
	return &apiError{http.StatusConflict, "LimitExceeded", fmt.Sprintf(format, args...)}
}

func invalidInput(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, "InvalidInput", fmt.Sprintf(format, args...)}
}

// iamInvalid is AWS's word for a parameter that breaks the API's model.
func iamInvalid(param, value, constraint string) error {
	return &apiError{http.StatusBadRequest, "ValidationError", fmt.Sprintf(
		"1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s",
		value, strings.ToLower(param[:1])+param[1:], constraint)}
}

var (
	entityName = &pattern{expr: `^[\w+=,.@-]+$`}
	entityPath = &pattern{expr: `^(/|/[\x21-\x7E]+/)$`}
	tagText    = &pattern{expr: `^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`}
)

// iamName reads a required name parameter.
func iamName(f url.Values, param string, limit int) (string, error) {
	v := f.Get(param)
	switch {
	case v == "":
		return "", iamInvalid(param, v, "Member must have length greater than or equal to 1")
	case len(v) > limit:
		return "", iamInvalid(param, v, "Member must have length less than or equal to "+strconv.Itoa(limit))
	case !entityName.MatchString(v):
		return "", iamInvalid(param, v, `Member must satisfy regular expression pattern: [\w+=,.@-]+`)
	}
	return v, nil
}

// iamPath reads the optional Path parameter.
func iamPath(f url.Values) (string, error) {
	v := cmp.Or(f.Get("Path"), "/")
	if len(v) > 512 || !entityPath.MatchString(v) {
		return "", iamInvalid("Path", v, "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	return v, nil
}

// iamARN is the ARN of something in the account.
func iamARN(r *request, kind, path, name string) string {
	return fmt.Sprintf("arn:%s:iam::%s:%s%s%s", partition(r.region), r.account, kind, path, name)
}

// newID makes a unique ID: four letters that say what of, and 17 characters.
func newID(prefix string) string { return prefix + randomBase32(17) }

func randomBase32(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base32.StdEncoding.EncodeToString(b)[:n]
}

// encoded is a document as IAM answers it: percent-encoded by RFC 3986.
func encoded(doc string) string { return strings.ReplaceAll(url.QueryEscape(doc), "+", "%20") }

// paged is the end of every list.
type paged struct {
	IsTruncated bool
	Marker      string `xml:",omitempty"`
}

// iamPage cuts a list, sorted by its keys, to what MaxItems and Marker ask for. A
// marker holds the last key that was answered, so that a list that changes
// between two pages neither repeats nor skips what stayed.
func iamPage[T any](f url.Values, list []T, key func(T) string) (members[T], paged, error) {
	size := 100
	if v := f.Get("MaxItems"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 1000 {
			return members[T]{}, paged{}, iamInvalid("MaxItems", v, "Member must be between 1 and 1000")
		}
		size = n
	}
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	if m := f.Get("Marker"); m != "" {
		last, err := base64.RawURLEncoding.DecodeString(m)
		if err != nil {
			return members[T]{}, paged{}, &apiError{http.StatusBadRequest, "ValidationError", "Invalid Marker."}
		}
		i, found := slices.BinarySearchFunc(list, string(last), func(t T, k string) int { return cmp.Compare(key(t), k) })
		if found {
			i++
		}
		list = list[i:]
	}
	if len(list) <= size {
		return members[T]{list}, paged{}, nil
	}
	list = list[:size]
	return members[T]{list}, paged{true, base64.RawURLEncoding.EncodeToString([]byte(key(list[size-1])))}, nil
}

// underPrefix says whether a list's PathPrefix lets a path through.
func underPrefix(f url.Values, path string) bool {
	return strings.HasPrefix(path, cmp.Or(f.Get("PathPrefix"), "/"))
}

type tag struct {
	Key   string
	Value string
}

// formTags reads Tags.member.N and checks them. Keys of users and roles differ
// in more than case; those of policies and providers are case-sensitive.
func formTags(f url.Values, foldCase bool) ([]tag, error) {
	tags := formTagList(f)
	for i, t := range tags {
		at := fmt.Sprintf("tags.%d.member.key", i+1)
		switch {
		case t.Key == "":
			return nil, iamInvalid(at, t.Key, "Member must have length greater than or equal to 1")
		case utf8.RuneCountInString(t.Key) > 128:
			return nil, iamInvalid(at, t.Key, "Member must have length less than or equal to 128")
		case utf8.RuneCountInString(t.Value) > 256:
			return nil, iamInvalid(fmt.Sprintf("tags.%d.member.value", i+1), t.Value, "Member must have length less than or equal to 256")
		case !tagText.MatchString(t.Key) || !tagText.MatchString(t.Value):
			return nil, iamInvalid(at, t.Key, `Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+`)
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return nil, invalidInput("Tag keys and values cannot start with 'aws:'. This prefix is reserved for AWS use.")
		}
		for _, before := range tags[:i] {
			if sameKey(before.Key, t.Key, foldCase) {
				return nil, invalidInput("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
			}
		}
	}
	if len(tags) > maxTags {
		return nil, limitExceeded("The number of tags has reached the maximum limit.")
	}
	return tags, nil
}

// formTagList reads Tags.member.N as they are.
func formTagList(f url.Values) []tag {
	var tags []tag
	for i := 1; ; i++ {
		at := "Tags.member." + strconv.Itoa(i)
		if !f.Has(at + ".Key") {
			return tags
		}
		tags = append(tags, tag{f.Get(at + ".Key"), f.Get(at + ".Value")})
	}
}

const maxTags = 50

func sameKey(a, b string, foldCase bool) bool {
	return a == b || foldCase && strings.EqualFold(a, b)
}

// tagInto lays the request's tags over those that are there.
func tagInto(have *[]tag, f url.Values, foldCase bool) error {
	tags, err := formTags(f, foldCase)
	if err != nil {
		return err
	}
	merged := slices.Clone(*have)
	for _, t := range tags {
		merged = slices.DeleteFunc(merged, func(old tag) bool { return sameKey(old.Key, t.Key, foldCase) })
		merged = append(merged, t)
	}
	if len(merged) > maxTags {
		return limitExceeded("The number of tags has reached the maximum limit.")
	}
	*have = merged
	return nil
}

// untag takes the keys of TagKeys.member.N away; those that are not there are
// no error.
func untag(have *[]tag, f url.Values, foldCase bool) {
	for _, k := range formList(f, "TagKeys") {
		*have = slices.DeleteFunc(*have, func(t tag) bool { return sameKey(t.Key, k, foldCase) })
	}
}

type listTagsResult struct {
	Tags members[tag]
	paged
}

func listTags(have []tag, f url.Values) (any, error) {
	tags, more, err := iamPage(f, slices.Clone(have), func(t tag) string { return t.Key })
	return listTagsResult{tags, more}, err
}

// A boundary is how IAM answers a permissions boundary.
type boundary struct {
	PermissionsBoundaryType string
	PermissionsBoundaryArn  string
}

func wireBoundary(arn string) *boundary {
	if arn == "" {
		return nil
	}
	return &boundary{"Policy", arn}
}

// What the sandbox has none of, and clients ask about before they delete.

type (
	listMFADevicesResult struct {
		MFADevices members[struct{}]
		paged
	}
	listVirtualMFADevicesResult struct {
		VirtualMFADevices members[struct{}]
		paged
	}
	listSSHPublicKeysResult struct {
		SSHPublicKeys members[struct{}]
		paged
	}
	listSigningCertificatesResult struct {
		Certificates members[struct{}]
		paged
	}
	listServiceSpecificCredentialsResult struct {
		ServiceSpecificCredentials members[struct{}]
	}
	listInstanceProfilesResult struct {
		InstanceProfiles members[struct{}]
		paged
	}
	listAccountAliasesResult struct {
		AccountAliases members[string]
		paged
	}
)

func noMembers[T any](*state, *request) (any, error) {
	var none T
	return none, nil
}

// ofUser answers about a user that has to exist.
func ofUser(answer func(*iamUser) any) handler {
	return func(st *state, r *request) (any, error) {
		u, err := st.IAM.user(r)
		if err != nil {
			return nil, err
		}
		return answer(u), nil
	}
}

func getLoginProfile(st *state, r *request) (any, error) {
	u, err := st.IAM.user(r)
	if err != nil {
		return nil, err
	}
	return nil, noSuchEntity("Login Profile for User %s cannot be found.", u.Name)
}

func listInstanceProfilesForRole(st *state, r *request) (any, error) {
	if _, err := st.IAM.role(r); err != nil {
		return nil, err
	}
	return listInstanceProfilesResult{}, nil
}
