package sandbox

import (
	"maps"
	"slices"
	"strings"
)

type logsState struct {
	Groups byRegion[*logGroup]
}

type logGroup struct {
	Name         string
	CreationTime int64 // milliseconds since the epoch
	Retention    int   // days; 0: events never expire
	KMSKeyID     string
	Class        string
	Protected    bool
	Tags         map[string]string
	Streams      map[string]*logStream
}

type logStream struct {
	CreationTime int64
	Events       []logEvent
}

type logEvent struct {
	Timestamp     int64  `json:"timestamp"`
	Message       string `json:"message"`
	IngestionTime int64  `json:"ingestionTime"`
}

func logsHandlers() map[string]handler {
	return map[string]handler{
		"CreateLogGroup":                withInput(logsCreateLogGroup),
		"DescribeLogGroups":             withInput(logsDescribeLogGroups),
		"DeleteLogGroup":                withInput(logsDeleteLogGroup),
		"PutRetentionPolicy":            withInput(logsPutRetentionPolicy),
		"DeleteRetentionPolicy":         withInput(logsDeleteRetentionPolicy),
		"PutLogGroupDeletionProtection": withInput(logsPutDeletionProtection),
		"AssociateKmsKey":               withInput(logsAssociateKmsKey),
		"DisassociateKmsKey":            withInput(logsDisassociateKmsKey),
		"TagResource":                   withInput(logsTagResource),
		"UntagResource":                 withInput(logsUntagResource),
		"ListTagsForResource":           withInput(logsListTagsForResource),
		"TagLogGroup":                   withInput(logsTagLogGroup),
		"UntagLogGroup":                 withInput(logsUntagLogGroup),
		"ListTagsLogGroup":              withInput(logsListTagsLogGroup),
		"CreateLogStream":               withInput(logsCreateLogStream),
		"DescribeLogStreams":            withInput(logsDescribeLogStreams),
		"PutLogEvents":                  withInput(logsPutLogEvents),
		"GetLogEvents":                  withInput(logsGetLogEvents),
		"FilterLogEvents":               withInput(logsFilterLogEvents),
	}
}

var logsTags = tagRules{invalid: "InvalidParameterException", tooMany: "TooManyTagsException"}

var (
	logGroupName  = &pattern{expr: `^[.\-_/#A-Za-z0-9]{1,512}$`}
	logStreamName = &pattern{expr: `^[^:*]{1,512}$`}
)

func logsInvalid(format string, args ...any) *apiError {
	return badRequest("InvalidParameterException", format, args...)
}

func logsCheckName(name string) error {
	if !logGroupName.MatchString(name) {
		return logsInvalid("Value '%s' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", name, logGroupName)
	}
	return nil
}

// logsFind gives the group of a name.
func logsFind(st *state, r *request, name string) (*logGroup, error) {
	if err := logsCheckName(name); err != nil {
		return nil, err
	}
	group := st.Logs.Groups[r.region][name]
	if group == nil {
		return nil, badRequest("ResourceNotFoundException", "The specified log group does not exist.")
	}
	return group, nil
}

// logsFindARN gives the group that the tagging calls name by its ARN: the one
// without ":*", other than the arn that DescribeLogGroups answers.
func logsFindARN(st *state, r *request, arn string) (*logGroup, error) {
	if !strings.HasPrefix(arn, "arn:") {
		return nil, logsInvalid("Value '%s' at 'resourceArn' is no ARN", arn)
	}
	name, ok := strings.CutPrefix(arn, logGroupARN(r, ""))
	if !ok {
		return nil, badRequest("ResourceNotFoundException", "The specified resource does not exist.")
	}
	return logsFind(st, r, name)
}

func logGroupARN(r *request, name string) string { return regionalARN(r, "logs", "log-group:"+name) }

func logsCheckKey(key string) error {
	if !strings.HasPrefix(key, "arn:") || !strings.Contains(key, ":kms:") {
		return logsInvalid("The KMS key must be given by its ARN: '%s'", key)
	}
	return nil
}

func logsCreateLogGroup(st *state, r *request, in struct {
	LogGroupName              string
	KMSKeyID                  string
	Tags                      map[string]string
	LogGroupClass             string
	DeletionProtectionEnabled bool
},
) (any, error) {
	if err := logsCheckName(in.LogGroupName); err != nil {
		return nil, err
	}
	if st.Logs.Groups[r.region][in.LogGroupName] != nil {
		return nil, badRequest("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	switch in.LogGroupClass {
	case "":
		in.LogGroupClass = "STANDARD"
	case "STANDARD", "INFREQUENT_ACCESS", "DELIVERY":
	default:
		return nil, logsInvalid("Value '%s' at 'logGroupClass' failed to satisfy constraint: Member must satisfy enum value set: [STANDARD, INFREQUENT_ACCESS, DELIVERY]", in.LogGroupClass)
	}
	if in.KMSKeyID != "" {
		if err := logsCheckKey(in.KMSKeyID); err != nil {
			return nil, err
		}
	}
	tags, err := logsTags.add(nil, tagList(in.Tags))
	if err != nil {
		return nil, err
	}
	group := &logGroup{
		Name:         in.LogGroupName,
		CreationTime: r.now.UnixMilli(),
		KMSKeyID:     in.KMSKeyID,
		Class:        in.LogGroupClass,
		Protected:    in.DeletionProtectionEnabled,
		Tags:         tags,
	}
	if group.Class == "DELIVERY" {
		// Its retention is fixed by AWS.
		group.Retention = 2
	}
	st.Logs.Groups.put(r.region, group.Name, group)
	return empty{}, nil
}

// logGroupDescription is a group as DescribeLogGroups answers it.
type logGroupDescription struct {
	LogGroupName string `json:"logGroupName"`
	CreationTime int64  `json:"creationTime"`
	// Absent where events never expire.
	RetentionInDays           int    `json:"retentionInDays,omitempty"`
	MetricFilterCount         int    `json:"metricFilterCount"`
	ARN                       string `json:"arn"` // ends in ":*"
	StoredBytes               int    `json:"storedBytes"`
	KMSKeyID                  string `json:"kmsKeyId,omitempty"`
	LogGroupClass             string `json:"logGroupClass"`
	LogGroupARN               string `json:"logGroupArn"` // without ":*"
	DeletionProtectionEnabled bool   `json:"deletionProtectionEnabled"`
}

func (g *logGroup) describe(r *request) logGroupDescription {
	stored := 0
	for _, stream := range g.Streams {
		for _, e := range stream.Events {
			stored += len(e.Message)
		}
	}
	return logGroupDescription{
		LogGroupName:              g.Name,
		CreationTime:              g.CreationTime,
		RetentionInDays:           g.Retention,
		ARN:                       logGroupARN(r, g.Name) + ":*",
		StoredBytes:               stored,
		KMSKeyID:                  g.KMSKeyID,
		LogGroupClass:             g.Class,
		LogGroupARN:               logGroupARN(r, g.Name),
		DeletionProtectionEnabled: g.Protected,
	}
}

func logsDescribeLogGroups(st *state, r *request, in struct {
	LogGroupNamePrefix  string
	LogGroupNamePattern string
	LogGroupIdentifiers []string
	LogGroupClass       string
	NextToken           string
	Limit               int
},
) (any, error) {
	if in.LogGroupNamePrefix != "" && in.LogGroupNamePattern != "" {
		return nil, logsInvalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	if len(in.LogGroupIdentifiers) > 0 && (in.LogGroupNamePrefix != "" || in.LogGroupNamePattern != "" || in.LogGroupClass != "") {
		return nil, logsInvalid("logGroupIdentifiers goes with nextToken and limit only.")
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(st.Logs.Groups[r.region])) {
		group := st.Logs.Groups[r.region][name]
		if !strings.HasPrefix(name, in.LogGroupNamePrefix) || !strings.Contains(name, in.LogGroupNamePattern) {
			continue
		}
		if in.LogGroupClass != "" && in.LogGroupClass != group.Class {
			continue
		}
		if len(in.LogGroupIdentifiers) > 0 && !slices.Contains(in.LogGroupIdentifiers, name) &&
			!slices.Contains(in.LogGroupIdentifiers, logGroupARN(r, name)) {
			continue
		}
		names = append(names, name)
	}
	names, next, ok := slicePage(names, in.NextToken, in.Limit, 50, 50)
	if !ok {
		return nil, logsInvalid("nextToken is one that CloudWatch Logs gave, limit 1 to 50.")
	}
	groups := []logGroupDescription{}
	for _, name := range names {
		groups = append(groups, st.Logs.Groups[r.region][name].describe(r))
	}
	return struct {
		LogGroups []logGroupDescription `json:"logGroups"`
		NextToken string                `json:"nextToken,omitempty"`
	}{groups, next}, nil
}

// logsRef names a group in a call's input. Embedded, its field is the input's
// own.
type logsRef struct{ LogGroupName string }

func logsDeleteLogGroup(st *state, r *request, in logsRef) (any, error) {
	group, err := logsFind(st, r, in.LogGroupName)
	if err != nil {
		return nil, err
	}
	if group.Protected {
		return nil, badRequest("ValidationException", "The log group has deletion protection enabled.")
	}
	delete(st.Logs.Groups[r.region], in.LogGroupName)
	return empty{}, nil
}

// retentionDays are the values that PutRetentionPolicy documents.
var retentionDays = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

func logsPutRetentionPolicy(st *state, r *request, in struct {
	logsRef
	RetentionInDays int
},
) (any, error) {
	group, err := logsFind(st, r, in.LogGroupName)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(retentionDays, in.RetentionInDays) {
		return nil, logsInvalid("Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: %v", in.RetentionInDays, retentionDays)
	}
	if group.Class == "DELIVERY" {
		return nil, logsInvalid("The retention of a log group of class DELIVERY cannot be changed.")
	}
	group.Retention = in.RetentionInDays
	return empty{}, nil
}

func logsDeleteRetentionPolicy(st *state, r *request, in logsRef) (any, error) {
	group, err := logsFind(st, r, in.LogGroupName)
	if err != nil {
		return nil, err
	}
	if group.Class == "DELIVERY" {
		return nil, logsInvalid("The retention of a log group of class DELIVERY cannot be changed.")
	}
	group.Retention = 0
	return empty{}, nil
}

func logsPutDeletionProtection(st *state, r *request, in struct {
	LogGroupIdentifier        string // its name, or its ARN
	DeletionProtectionEnabled *bool
},
) (any, error) {
	if in.DeletionProtectionEnabled == nil {
		return nil, logsInvalid("deletionProtectionEnabled is missing")
	}
	find := logsFind
	if strings.HasPrefix(in.LogGroupIdentifier, "arn:") {
		find = logsFindARN
	}
	group, err := find(st, r, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	group.Protected = *in.DeletionProtectionEnabled
	return empty{}, nil
}

// logsKeyRef names the group whose key is set: by its name, or by its ARN.
type logsKeyRef struct {
	LogGroupName       string
	ResourceIdentifier string
}

func (ref logsKeyRef) find(st *state, r *request) (*logGroup, error) {
	switch {
	case (ref.LogGroupName == "") == (ref.ResourceIdentifier == ""):
		return nil, logsInvalid("Exactly one of logGroupName and resourceIdentifier is needed.")
	case ref.ResourceIdentifier != "":
		return logsFindARN(st, r, ref.ResourceIdentifier)
	default:
		return logsFind(st, r, ref.LogGroupName)
	}
}

func logsAssociateKmsKey(st *state, r *request, in struct {
	logsKeyRef
	KMSKeyID string
},
) (any, error) {
	group, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	if err := logsCheckKey(in.KMSKeyID); err != nil {
		return nil, err
	}
	group.KMSKeyID = in.KMSKeyID
	return empty{}, nil
}

func logsDisassociateKmsKey(st *state, r *request, in logsKeyRef) (any, error) {
	group, err := in.find(st, r)
	if err != nil {
		return nil, err
	}
	group.KMSKeyID = ""
	return empty{}, nil
}

func (g *logGroup) tag(tags map[string]string) error {
	if len(tags) == 0 {
		return logsInvalid("At least one tag is needed.")
	}
	merged, err := logsTags.add(g.Tags, tagList(tags))
	if err != nil {
		return err
	}
	g.Tags = merged
	return nil
}

func (g *logGroup) untag(keys []string) {
	for _, key := range keys {
		delete(g.Tags, key)
	}
}

type logsTagsAnswer struct {
	Tags map[string]string `json:"tags"`
}

// listed are the group's tags as they are answered: {} where there are none.
func (g *logGroup) listed() logsTagsAnswer {
	if g.Tags == nil {
		return logsTagsAnswer{map[string]string{}}
	}
	return logsTagsAnswer{g.Tags}
}

func logsTagResource(st *state, r *request, in struct {
	ResourceARN string
	Tags        map[string]string
},
) (any, error) {
	group, err := logsFindARN(st, r, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return empty{}, group.tag(in.Tags)
}

func logsUntagResource(st *state, r *request, in struct {
	ResourceARN string
	TagKeys     []string
},
) (any, error) {
	group, err := logsFindARN(st, r, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	group.untag(in.TagKeys)
	return empty{}, nil
}

func logsListTagsForResource(st *state, r *request, in struct{ ResourceARN string }) (any, error) {
	group, err := logsFindARN(st, r, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return group.listed(), nil
}

// The three that follow are the older form of the three above. AWS deprecates
// them and still answers them.

func logsTagLogGroup(st *state, r *request, in struct {
	logsRef
	Tags map[string]string
},
) (any, error) {
	group, err := logsFind(st, r, in.LogGroupName)
	if err != nil {
		return nil, err
	}
	return empty{}, group.tag(in.Tags)
}

func logsUntagLogGroup(st *state, r *request, in struct {
	logsRef
	Tags []string
},
) (any, error) {
	group, err := logsFind(st, r, in.LogGroupName)
	if err != nil {
		return nil, err
	}
	group.untag(in.Tags)
	return empty{}, nil
}

func logsListTagsLogGroup(st *state, r *request, in logsRef) (any, error) {
	group, err := logsFind(st, r, in.LogGroupName)
	if err != nil {
		return nil, err
	}
	return group.listed(), nil
}
