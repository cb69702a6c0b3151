package sandbox

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

type secretsState struct {
	Secrets byRegion[*secret]
}

// A secret is one of Secrets Manager's. Its versions hold the values as they
// were given, the only secrets in the sandbox's state: GetSecretValue has to
// give them back. The state's file is the user's own, mode 0600, and nothing of
// a secret's value goes into an error or a log.
type secret struct {
	ARN         string
	Name        string
	Description string
	KMSKeyID    string // "": the account's aws/secretsmanager key
	Type        string
	Policy      string // as it was given; "" where there is none
	Tags        map[string]string
	Versions    map[string]*secretVersion // by ID

	// Seconds since the epoch. Deletion is when the recovery window ends; 0:
	// the secret is not marked for deletion.
	Created  int64
	Changed  int64
	Deletion int64
}

type secretVersion struct {
	secretValue
	Stages  []string // sorted; none: deprecated
	Created int64
}

// A secretValue is text or bytes.
type secretValue struct {
	SecretString *string `json:",omitempty"`
	SecretBinary []byte  `json:",omitempty"`
}

func (v secretValue) given() bool { return v.SecretString != nil || v.SecretBinary != nil }

func (v secretValue) equal(other secretValue) bool {
	if (v.SecretString == nil) != (other.SecretString == nil) {
		return false
	}
	return (v.SecretString == nil || *v.SecretString == *other.SecretString) && bytes.Equal(v.SecretBinary, other.SecretBinary)
}

func (v secretValue) check() error {
	switch {
	case v.SecretString != nil && v.SecretBinary != nil:
		return secretsInvalid("You can't specify both a binary secret value and a string secret value in the same secret.")
	case v.SecretString != nil && len(*v.SecretString) > 65536, len(v.SecretBinary) > 65536:
		return secretsInvalid("A secret value has at most 65536 bytes.")
	}
	return nil
}

func secretsmanagerHandlers() map[string]handler {
	return map[string]handler{
		"CreateSecret":         withInput(secretsCreate),
		"DescribeSecret":       withInput(secretsDescribe),
		"GetSecretValue":       withInput(secretsGetValue),
		"PutSecretValue":       withInput(secretsPutValue),
		"UpdateSecret":         withInput(secretsUpdate),
		"DeleteSecret":         withInput(secretsDelete),
		"RestoreSecret":        withInput(secretsRestore),
		"ListSecrets":          withInput(secretsList),
		"TagResource":          withInput(secretsTag),
		"UntagResource":        withInput(secretsUntag),
		"GetResourcePolicy":    withInput(secretsGetPolicy),
		"PutResourcePolicy":    withInput(secretsPutPolicy),
		"DeleteResourcePolicy": withInput(secretsDeletePolicy),
	}
}

const (
	stageCurrent  = "AWSCURRENT"
	stagePrevious = "AWSPREVIOUS"
)

var (
	secretsTags = tagRules{invalid: "InvalidParameterException", tooMany: "InvalidParameterException"}
	secretName  = &pattern{expr: `^[A-Za-z0-9/_+=.@-]{1,512}$`}
)

func secretsInvalid(format string, args ...any) *apiError {
	return badRequest("InvalidParameterException", format, args...)
}

// secretARN ends in six characters that AWS takes at random and the sandbox
// from the name.
func secretARN(r *request, name string) string {
	sum := sha256.Sum256([]byte(name))
	return regionalARN(r, "secretsmanager", "secret:"+name+"-"+new(big.Int).SetBytes(sum[:]).Text(62)[:6])
}

// secretsFind gives a secret by its name, its ARN, or its ARN without the six
// characters, marked for deletion or not. One whose recovery window is over is
// gone.
func secretsFind(st *state, r *request, id string) (*secret, error) {
	for _, s := range st.Secrets.Secrets[r.region] {
		if id != s.Name && id != s.ARN && id != s.ARN[:len(s.ARN)-len("-123456")] {
			continue
		}
		if s.Deletion == 0 || s.Deletion > r.now.Unix() {
			return s, nil
		}
	}
	return nil, badRequest("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

// secretsFindLive gives a secret that is not marked for deletion.
func secretsFindLive(st *state, r *request, id string) (*secret, error) {
	s, err := secretsFind(st, r, id)
	if err != nil {
		return nil, err
	}
	if s.Deletion != 0 {
		return nil, badRequest("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	}
	return s, nil
}

// put adds a version. The token makes it idempotent: it is the version's ID,
// and the same value under the same token is no new version.
func (s *secret) put(r *request, token string, value secretValue, stages []string) (id string, err error) {
	if err := value.check(); err != nil {
		return "", err
	}
	if token == "" {
		// The SDKs and the CLI always send one; AWS asks it of everybody else.
		return "", secretsInvalid("You must provide a ClientRequestToken value. We recommend a UUID-type value.")
	}
	if n := len(token); n < 32 || n > 64 {
		return "", secretsInvalid("The ClientRequestToken must have 32 to 64 characters.")
	}
	if old := s.Versions[token]; old != nil {
		if !old.equal(value) {
			return "", badRequest("ResourceExistsException", "You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", token, s.ARN)
		}
		return token, nil
	}
	if len(stages) == 0 || len(s.Versions) == 0 {
		stages = append(slices.Clone(stages), stageCurrent)
	}
	if s.Versions == nil {
		s.Versions = map[string]*secretVersion{}
	}
	s.Versions[token] = &secretVersion{secretValue: value, Created: r.now.Unix()}
	for _, stage := range stages {
		s.stage(token, stage)
	}
	s.Changed = r.now.Unix()
	return token, nil
}

// stage moves a label to a version. AWSPREVIOUS follows behind AWSCURRENT.
func (s *secret) stage(id, stage string) {
	for old, v := range s.Versions {
		i := slices.Index(v.Stages, stage)
		if i < 0 || old == id {
			continue
		}
		v.Stages = slices.Delete(v.Stages, i, i+1)
		if stage == stageCurrent {
			s.stage(old, stagePrevious)
		}
	}
	v := s.Versions[id]
	if !slices.Contains(v.Stages, stage) {
		v.Stages = append(v.Stages, stage)
		slices.Sort(v.Stages)
	}
}

// secretAnswer is what most calls answer.
type secretAnswer struct {
	ARN           string
	Name          string
	VersionID     string   `json:"VersionId,omitempty"`
	VersionStages []string `json:",omitempty"`
}

func secretsCreate(st *state, r *request, in struct {
	secretValue
	Name               string
	ClientRequestToken string
	Description        string
	KMSKeyID           string
	Type               string
	Tags               []tag
},
) (any, error) {
	if !secretName.MatchString(in.Name) {
		return nil, secretsInvalid("Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	if old, err := secretsFind(st, r, in.Name); err == nil && old.Name == in.Name {
		if old.Deletion != 0 {
			return nil, badRequest("InvalidRequestException", "You can't create this secret because a secret with this name is already scheduled for deletion.")
		}
		if v := old.Versions[in.ClientRequestToken]; v != nil && v.equal(in.secretValue) {
			return secretAnswer{ARN: old.ARN, Name: old.Name, VersionID: in.ClientRequestToken}, nil
		}
		return nil, badRequest("ResourceExistsException", "The operation failed because the secret %s already exists.", in.Name)
	}
	tags, err := secretsTags.add(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	s := &secret{
		ARN:         secretARN(r, in.Name),
		Name:        in.Name,
		Description: in.Description,
		KMSKeyID:    in.KMSKeyID,
		Type:        in.Type,
		Tags:        tags,
		Created:     r.now.Unix(),
		Changed:     r.now.Unix(),
	}
	answer := secretAnswer{ARN: s.ARN, Name: s.Name}
	if in.given() {
		answer.VersionID, err = s.put(r, in.ClientRequestToken, in.secretValue, nil)
		if err != nil {
			return nil, err
		}
	}
	st.Secrets.Secrets.put(r.region, in.Name, s)
	return answer, nil
}

// secretDescription is a secret as DescribeSecret and ListSecrets answer it.
// The two differ in the name of the versions' member.
type secretDescription struct {
	ARN                    string
	Name                   string
	Type                   string `json:",omitempty"`
	Description            string `json:",omitempty"`
	KMSKeyID               string `json:"KmsKeyId,omitempty"`
	CreatedDate            int64
	LastChangedDate        int64
	DeletedDate            int64 `json:",omitempty"`
	Tags                   []tag
	VersionIDsToStages     map[string][]string `json:"VersionIdsToStages,omitempty"`
	SecretVersionsToStages map[string][]string `json:",omitempty"`
}

func (s *secret) describe() secretDescription {
	return secretDescription{
		ARN:             s.ARN,
		Name:            s.Name,
		Type:            s.Type,
		Description:     s.Description,
		KMSKeyID:        s.KMSKeyID,
		CreatedDate:     s.Created,
		LastChangedDate: s.Changed,
		DeletedDate:     s.Deletion,
		Tags:            tagList(s.Tags),
	}
}

// stages lists the versions that have a label. Those without are deprecated,
// and not answered.
func (s *secret) stages() map[string][]string {
	stages := map[string][]string{}
	for id, v := range s.Versions {
		if len(v.Stages) > 0 {
			stages[id] = v.Stages
		}
	}
	return stages
}

// secretRef names a secret in a call's input. Embedded, its field is the
// input's own.
type secretRef struct{ SecretID string }

func secretsDescribe(st *state, r *request, in secretRef) (any, error) {
	s, err := secretsFind(st, r, in.SecretID)
	if err != nil {
		return nil, err
	}
	d := s.describe()
	d.VersionIDsToStages = s.stages()
	return d, nil
}

func secretsGetValue(st *state, r *request, in struct {
	secretRef
	VersionID    string
	VersionStage string
},
) (any, error) {
	s, err := secretsFindLive(st, r, in.SecretID)
	if err != nil {
		return nil, err
	}
	want := in.VersionStage
	if in.VersionID == "" {
		want = cmp.Or(want, stageCurrent)
	}
	for id, v := range s.Versions {
		if in.VersionID != "" && in.VersionID != id || want != "" && !slices.Contains(v.Stages, want) {
			continue
		}
		return struct {
			secretAnswer
			secretValue
			CreatedDate int64
		}{secretAnswer{s.ARN, s.Name, id, v.Stages}, v.secretValue, v.Created}, nil
	}
	if in.VersionID != "" {
		return nil, badRequest("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: %s", in.VersionID)
	}
	return nil, badRequest("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: %s", want)
}

func secretsPutValue(st *state, r *request, in struct {
	secretRef
	secretValue
	ClientRequestToken string
	VersionStages      []string
},
) (any, error) {
	s, err := secretsFindLive(st, r, in.SecretID)
	if err != nil {
		return nil, err
	}
	if !in.given() {
		return nil, badRequest("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	}
	id, err := s.put(r, in.ClientRequestToken, in.secretValue, in.VersionStages)
	if err != nil {
		return nil, err
	}
	return secretAnswer{s.ARN, s.Name, id, s.Versions[id].Stages}, nil
}

func secretsUpdate(st *state, r *request, in struct {
	secretRef
	secretValue
	ClientRequestToken string
	Description        *string
	KMSKeyID           *string
	Type               *string
},
) (any, error) {
	s, err := secretsFindLive(st, r, in.SecretID)
	if err != nil {
		return nil, err
	}
	answer := secretAnswer{ARN: s.ARN, Name: s.Name}
	if in.given() {
		answer.VersionID, err = s.put(r, in.ClientRequestToken, in.secretValue, nil)
		if err != nil {
			return nil, err
		}
	}
	for _, field := range []struct {
		to   *string
		from *string
	}{{&s.Description, in.Description}, {&s.KMSKeyID, in.KMSKeyID}, {&s.Type, in.Type}} {
		if field.from != nil {
			*field.to = *field.from
		}
	}
	s.Changed = r.now.Unix()
	return answer, nil
}

func secretsDelete(st *state, r *request, in struct {
	secretRef
	RecoveryWindowInDays       *int
	ForceDeleteWithoutRecovery bool
},
) (any, error) {
	type deleted struct {
		ARN          string `json:",omitempty"`
		Name         string
		DeletionDate int64
	}
	if in.ForceDeleteWithoutRecovery {
		if in.RecoveryWindowInDays != nil {
			return nil, secretsInvalid("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
		}
		s, err := secretsFind(st, r, in.SecretID)
		if err != nil {
			// By force, a secret that is not there is as good as deleted.
			return deleted{"", in.SecretID, r.now.Unix()}, nil
		}
		delete(st.Secrets.Secrets[r.region], s.Name)
		return deleted{s.ARN, s.Name, r.now.Unix()}, nil
	}

	days := 30
	if in.RecoveryWindowInDays != nil {
		days = *in.RecoveryWindowInDays
	}
	if days < 7 || days > 30 {
		return nil, secretsInvalid("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
	}
	s, err := secretsFindLive(st, r, in.SecretID)
	if err != nil {
		return nil, err
	}
	s.Deletion = r.now.Add(time.Duration(days) * 24 * time.Hour).Unix()
	return deleted{s.ARN, s.Name, s.Deletion}, nil
}

func secretsRestore(st *state, r *request, in secretRef) (any, error) {
	s, err := secretsFind(st, r, in.SecretID)
	if err != nil {
		return nil, err
	}
	s.Deletion = 0
	return secretAnswer{ARN: s.ARN, Name: s.Name}, nil
}

type secretFilter struct {
	Key    string
	Values []string
}

// match says whether any of the filter's values begins what its key names.
func (f secretFilter) match(s *secret) bool {
	var texts []string
	if f.Key == "name" || f.Key == "all" {
		texts = append(texts, s.Name)
	}
	if f.Key == "description" || f.Key == "all" {
		texts = append(texts, s.Description)
	}
	if f.Key == "tag-key" || f.Key == "all" {
		texts = slices.AppendSeq(texts, maps.Keys(s.Tags))
	}
	if f.Key == "tag-value" || f.Key == "all" {
		texts = slices.AppendSeq(texts, maps.Values(s.Tags))
	}
	return slices.ContainsFunc(f.Values, func(value string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return strings.HasPrefix(text, value) })
	})
}

// secretsList answers secrets by name.
func secretsList(st *state, r *request, in struct {
	IncludePlannedDeletion bool
	MaxResults             int
	NextToken              string
	Filters                []secretFilter
},
) (any, error) {
	secrets := []secretDescription{}
	for _, name := range slices.Sorted(maps.Keys(st.Secrets.Secrets[r.region])) {
		s, err := secretsFind(st, r, name)
		if err != nil || s.Deletion != 0 && !in.IncludePlannedDeletion {
			continue
		}
		if slices.ContainsFunc(in.Filters, func(f secretFilter) bool { return !f.match(s) }) {
			continue
		}
		d := s.describe()
		d.SecretVersionsToStages = s.stages()
		secrets = append(secrets, d)
	}
	secrets, next, ok := slicePage(secrets, in.NextToken, in.MaxResults, 100, 100)
	if !ok {
		return nil, badRequest("InvalidNextTokenException", "NextToken is one that Secrets Manager gave, MaxResults 1 to 100.")
	}
	return struct {
		SecretList []secretDescription
		NextToken  string `json:",omitempty"`
	}{secrets, next}, nil
}

func secretsTag(st *state, r *request, in struct {
	secretRef
	Tags []tag
},
) (any, error) {
	s, err := secretsFindLive(st, r, in.SecretID)
	if err != nil {
		return nil, err
	}
	tags, err := secretsTags.add(s.Tags, in.Tags)
	if err != nil {
		return nil, err
	}
	s.Tags = tags
	return empty{}, nil
}

func secretsUntag(st *state, r *request, in struct {
	secretRef
	TagKeys []string
},
) (any, error) {
	s, err := secretsFindLive(st, r, in.SecretID)
	if err != nil {
		return nil, err
	}
	for _, key := range in.TagKeys {
		delete(s.Tags, key)
	}
	return empty{}, nil
}

func secretsGetPolicy(st *state, r *request, in secretRef) (any, error) {
	s, err := secretsFindLive(st, r, in.SecretID)
	if err != nil {
		return nil, err
	}
	return struct {
		ARN            string
		Name           string
		ResourcePolicy string `json:",omitempty"`
	}{s.ARN, s.Name, s.Policy}, nil
}

func secretsPutPolicy(st *state, r *request, in struct {
	secretRef
	ResourcePolicy string
},
) (any, error) {
	s, err := secretsFindLive(st, r, in.SecretID)
	if err != nil {
		return nil, err
	}
	if !jsonObject(in.ResourcePolicy) {
		return nil, badRequest("MalformedPolicyDocumentException", "This resource policy contains invalid Json.")
	}
	s.Policy = in.ResourcePolicy
	return secretAnswer{ARN: s.ARN, Name: s.Name}, nil
}

func secretsDeletePolicy(st *state, r *request, in secretRef) (any, error) {
	s, err := secretsFindLive(st, r, in.SecretID)
	if err != nil {
		return nil, err
	}
	s.Policy = ""
	return secretAnswer{ARN: s.ARN, Name: s.Name}, nil
}
