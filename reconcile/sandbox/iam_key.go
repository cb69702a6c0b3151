package sandbox

import (
	"crypto/rand"
	"encoding/base64"
	"slices"
	"time"
)

// An accessKey is what the sandbox keeps of a key pair. The secret is none of
// it: it is answered once and forgotten.
type accessKey struct {
	ID          string
	Status      string // Active, Inactive
	Created     time.Time
	Refused     int       `json:",omitempty"` // calls for which it was still unknown
	Used        time.Time `json:",omitzero"`
	UsedService string    `json:",omitempty"`
	UsedRegion  string    `json:",omitempty"`
}

func keyHandlers() map[string]handler {
	return map[string]handler{
		"CreateAccessKey":      createAccessKey,
		"ListAccessKeys":       listAccessKeys,
		"UpdateAccessKey":      updateAccessKey,
		"DeleteAccessKey":      deleteAccessKey,
		"GetAccessKeyLastUsed": getAccessKeyLastUsed,
	}
}

func createAccessKey(st *state, r *request) (any, error) {
	u, err := st.IAM.user(r)
	if err != nil {
		return nil, err
	}
	// Inactive keys count.
	if len(u.Keys) >= 2 {
		return nil, limitExceeded("Cannot exceed quota for AccessKeysPerUser: 2")
	}
	k := accessKey{ID: "AKIA" + randomBase32(16), Status: "Active", Created: r.now}
	u.Keys = append(u.Keys, k)

	secret := make([]byte, 30) // 40 characters
	_, _ = rand.Read(secret)   // never fails
	type pair struct {
		UserName        string
		AccessKeyID     string `xml:"AccessKeyId"`
		Status          string
		SecretAccessKey string
		CreateDate      time.Time
	}
	return struct{ AccessKey pair }{
		pair{u.Name, k.ID, k.Status, base64.StdEncoding.EncodeToString(secret), k.Created},
	}, nil
}

func listAccessKeys(st *state, r *request) (any, error) {
	u, err := st.IAM.user(r)
	if err != nil {
		return nil, err
	}
	type metadata struct {
		UserName    string
		AccessKeyID string `xml:"AccessKeyId"`
		Status      string
		CreateDate  time.Time
	}
	var all []metadata
	for _, k := range u.Keys {
		all = append(all, metadata{u.Name, k.ID, k.Status, k.Created})
	}
	keys, more, err := iamPage(r.form, all, func(m metadata) string { return m.AccessKeyID })
	return struct {
		AccessKeyMetadata members[metadata]
		paged
	}{keys, more}, err
}

// userKey finds the request's access key, which has to be its user's.
func (st *iamState) userKey(r *request) (*iamUser, *accessKey, error) {
	u, err := st.user(r)
	if err != nil {
		return nil, nil, err
	}
	id := r.form.Get("AccessKeyId")
	owner, k := st.key(id)
	if owner != u {
		return nil, nil, noSuchEntity("The Access Key with id %s cannot be found.", id)
	}
	return u, k, nil
}

func updateAccessKey(st *state, r *request) (any, error) {
	_, k, err := st.IAM.userKey(r)
	if err != nil {
		return nil, err
	}
	switch s := r.form.Get("Status"); s {
	case "Active", "Inactive":
		k.Status = s
		return nil, nil
	default:
		return nil, iamInvalid("Status", s, "Member must satisfy enum value set: [Active, Inactive]")
	}
}

func deleteAccessKey(st *state, r *request) (any, error) {
	u, k, err := st.IAM.userKey(r)
	if err != nil {
		return nil, err
	}
	st.IAM.DeletedKeys = append(st.IAM.DeletedKeys, k.ID)
	u.Keys = slices.DeleteFunc(u.Keys, func(o accessKey) bool { return o.ID == r.form.Get("AccessKeyId") })
	return nil, nil
}

func getAccessKeyLastUsed(st *state, r *request) (any, error) {
	id := r.form.Get("AccessKeyId")
	u, k := st.IAM.key(id)
	if u == nil {
		return nil, noSuchEntity("The Access Key with id %s cannot be found.", id)
	}
	type lastUsed struct {
		LastUsedDate *time.Time
		ServiceName  string
		Region       string
	}
	// AWS writes N/A for a key that was never used, and leaves out the date.
	used := lastUsed{nil, "N/A", "N/A"}
	if !k.Used.IsZero() {
		used = lastUsed{&k.Used, k.UsedService, k.UsedRegion}
	}
	return struct {
		UserName          string
		AccessKeyLastUsed lastUsed
	}{u.Name, used}, nil
}
