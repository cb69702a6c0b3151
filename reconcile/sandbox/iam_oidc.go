package sandbox

import (
	"crypto/sha1" // AWS's thumbprints are SHA-1
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"time"
)

// An oidcProvider is an OpenID Connect provider. URL has no scheme: IAM takes
// it with https:// and answers it without.
type oidcProvider struct {
	Arn         string
	URL         string
	ClientIDs   []string `json:",omitempty"`
	Thumbprints []string
	Created     time.Time
	Tags        []tag // nil: never had any
}

var thumbprint = &pattern{expr: `^[0-9a-fA-F]{40}$`}

func oidcHandlers() map[string]handler {
	return map[string]handler{
		"CreateOpenIDConnectProvider":             createProvider,
		"GetOpenIDConnectProvider":                getProvider,
		"ListOpenIDConnectProviders":              listProviders,
		"DeleteOpenIDConnectProvider":             deleteProvider,
		"UpdateOpenIDConnectProviderThumbprint":   updateThumbprints,
		"AddClientIDToOpenIDConnectProvider":      addClientID,
		"RemoveClientIDFromOpenIDConnectProvider": removeClientID,
		"TagOpenIDConnectProvider":                tagProvider,
		"UntagOpenIDConnectProvider":              untagProvider,
		"ListOpenIDConnectProviderTags":           listProviderTags,
	}
}

// provider finds the request's OIDC provider.
func (st *iamState) provider(r *request) (*oidcProvider, error) {
	arn := r.form.Get("OpenIDConnectProviderArn")
	if p := st.Providers[arn]; p != nil {
		return p, nil
	}
	return nil, noSuchEntity("OpenIDConnect Provider not found for arn %s", arn)
}

func createProvider(st *state, r *request) (any, error) {
	u, err := url.Parse(r.form.Get("Url"))
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, iamInvalid("Url", r.form.Get("Url"), "Invalid Open ID Connect Provider URL")
	}
	name := providerName(u)
	prints, err := thumbprints(r.form)
	if err != nil {
		return nil, err
	}
	if len(prints) == 0 {
		// AWS asks the provider for its certificate then. The sandbox calls
		// nobody, but answers a thumbprint of its own as AWS would.
		sum := sha1.Sum([]byte(name))
		prints = []string{hex.EncodeToString(sum[:])}
	}
	ids := formList(r.form, "ClientIDList")
	if err := clientIDs(ids); err != nil {
		return nil, err
	}
	tags, err := formTags(r.form, false)
	if err != nil {
		return nil, err
	}
	p := &oidcProvider{
		Arn: iamARN(r, "oidc-provider", "/", name), URL: name, ClientIDs: ids,
		Thumbprints: prints, Created: r.now, Tags: tags,
	}
	if st.IAM.Providers[p.Arn] != nil {
		return nil, entityExists("Provider with url https://%s already exists.", name)
	}
	if st.IAM.Providers == nil {
		st.IAM.Providers = map[string]*oidcProvider{}
	}
	st.IAM.Providers[p.Arn] = p
	return struct {
		OpenIDConnectProviderArn string
		Tags                     members[tag]
	}{p.Arn, members[tag]{p.Tags}}, nil
}

// providerName is a provider's URL as its ARN has it.
func providerName(u *url.URL) string { return strings.TrimSuffix(u.Host+u.Path, "/") }

func thumbprints(f url.Values) ([]string, error) {
	list := formList(f, "ThumbprintList")
	if len(list) > 5 {
		return nil, invalidInput("Thumbprint list must contain fewer than 5 entries.")
	}
	for _, t := range list {
		if !thumbprint.MatchString(t) {
			return nil, iamInvalid("ThumbprintList", t, "Member must have length greater than or equal to 40")
		}
	}
	return list, nil
}

func clientIDs(ids []string) error {
	if len(ids) > 100 {
		return limitExceeded("Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100")
	}
	for _, id := range ids {
		if id == "" || len(id) > 255 {
			return iamInvalid("ClientID", id, "Member must have length between 1 and 255")
		}
	}
	return nil
}

func getProvider(st *state, r *request) (any, error) {
	p, err := st.IAM.provider(r)
	if err != nil {
		return nil, err
	}
	return struct {
		URL            string `xml:"Url"`
		ClientIDList   members[string]
		ThumbprintList members[string]
		CreateDate     time.Time
		Tags           members[tag]
	}{p.URL, members[string]{p.ClientIDs}, members[string]{p.Thumbprints}, p.Created, members[tag]{p.Tags}}, nil
}

func listProviders(st *state, _ *request) (any, error) {
	type entry struct{ Arn string }
	var list []entry
	for arn := range st.IAM.Providers {
		list = append(list, entry{arn})
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.Arn, b.Arn) })
	return struct{ OpenIDConnectProviderList members[entry] }{members[entry]{list}}, nil
}

// deleteProvider is idempotent, as in AWS.
func deleteProvider(st *state, r *request) (any, error) {
	delete(st.IAM.Providers, r.form.Get("OpenIDConnectProviderArn"))
	return nil, nil
}

func updateThumbprints(st *state, r *request) (any, error) {
	p, err := st.IAM.provider(r)
	if err != nil {
		return nil, err
	}
	list, err := thumbprints(r.form)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, iamInvalid("ThumbprintList", "", "Member must not be null")
	}
	p.Thumbprints = list
	return nil, nil
}

// addClientID is idempotent, as in AWS.
func addClientID(st *state, r *request) (any, error) {
	p, err := st.IAM.provider(r)
	if err != nil {
		return nil, err
	}
	id := r.form.Get("ClientID")
	if slices.Contains(p.ClientIDs, id) {
		return nil, nil
	}
	ids := append(slices.Clone(p.ClientIDs), id)
	if err := clientIDs(ids); err != nil {
		return nil, err
	}
	p.ClientIDs = ids
	return nil, nil
}

// removeClientID is idempotent, as in AWS.
func removeClientID(st *state, r *request) (any, error) {
	p, err := st.IAM.provider(r)
	if err != nil {
		return nil, err
	}
	id := r.form.Get("ClientID")
	p.ClientIDs = slices.DeleteFunc(p.ClientIDs, func(o string) bool { return o == id })
	return nil, nil
}

func tagProvider(st *state, r *request) (any, error) {
	p, err := st.IAM.provider(r)
	if err != nil {
		return nil, err
	}
	return nil, tagInto(&p.Tags, r.form, false)
}

func untagProvider(st *state, r *request) (any, error) {
	p, err := st.IAM.provider(r)
	if err != nil {
		return nil, err
	}
	untag(&p.Tags, r.form, false)
	return nil, nil
}

func listProviderTags(st *state, r *request) (any, error) {
	p, err := st.IAM.provider(r)
	if err != nil {
		return nil, err
	}
	return listTags(p.Tags, r.form)
}
