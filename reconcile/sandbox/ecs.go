package sandbox

import (
	"maps"
	"slices"
	"strings"
)

type ecsState struct {
	Clusters byRegion[*ecsCluster]
	Families byRegion[ecsFamily]
	Settings byRegion[string] // account settings that were put, by name
}

func ecsHandlers() map[string]handler {
	return map[string]handler{
		"CreateCluster":               withInput(ecsCreateCluster),
		"DescribeClusters":            withInput(ecsDescribeClusters),
		"ListClusters":                withInput(ecsListClusters),
		"UpdateCluster":               withInput(ecsUpdateCluster),
		"UpdateClusterSettings":       withInput(ecsUpdateCluster),
		"PutClusterCapacityProviders": withInput(ecsPutClusterCapacityProviders),
		"DeleteCluster":               withInput(ecsDeleteCluster),
		"DescribeCapacityProviders":   withInput(ecsDescribeCapacityProviders),
		"RegisterTaskDefinition":      withInput(ecsRegisterTaskDefinition),
		"DescribeTaskDefinition":      withInput(ecsDescribeTaskDefinition),
		"ListTaskDefinitions":         withInput(ecsListTaskDefinitions),
		"ListTaskDefinitionFamilies":  withInput(ecsListTaskDefinitionFamilies),
		"DeregisterTaskDefinition":    withInput(ecsDeregisterTaskDefinition),
		"DeleteTaskDefinitions":       withInput(ecsDeleteTaskDefinitions),
		"CreateService":               withInput(ecsCreateService),
		"DeleteService":               withInput(ecsDeleteService),
		"ListServices":                withInput(ecsListServices),
		"RunTask":                     withInput(ecsRunTask),
		"StopTask":                    withInput(ecsStopTask),
		"DescribeTasks":               withInput(ecsDescribeTasks),
		"ListTasks":                   withInput(ecsListTasks),
		"RegisterContainerInstance":   withInput(ecsRegisterContainerInstance),
		"DeregisterContainerInstance": withInput(ecsDeregisterContainerInstance),
		"ListTagsForResource":         withInput(ecsListTagsForResource),
		"TagResource":                 withInput(ecsTagResource),
		"UntagResource":               withInput(ecsUntagResource),
		"ListAccountSettings":         withInput(ecsListAccountSettings),
		"PutAccountSetting":           withInput(ecsPutAccountSetting),
	}
}

var (
	ecsTags = tagRules{invalid: "InvalidParameterException", tooMany: "InvalidParameterException"}
	ecsName = &pattern{expr: `^[a-zA-Z0-9_-]{1,255}$`}
)

func ecsInvalid(format string, args ...any) *apiError {
	return badRequest("InvalidParameterException", format, args...)
}

func ecsRefused(format string, args ...any) *apiError {
	return badRequest("ClientException", format, args...)
}

// An ecsTag is a tag with the names that ECS gives its parts.
type ecsTag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func ecsTagList(tags map[string]string) []ecsTag {
	list := make([]ecsTag, 0, len(tags))
	for _, t := range tagList(tags) {
		list = append(list, ecsTag(t))
	}
	return list
}

// ecsAddTags lays a list of tags over those that are there. ECS takes no list
// at all, but not an empty one.
func ecsAddTags(have map[string]string, list []tag) (map[string]string, error) {
	if list != nil && len(list) == 0 {
		return nil, ecsInvalid("Tags can not be empty.")
	}
	return ecsTags.add(have, list)
}

// An ecsFailure says which of a call's many subjects it could not serve.
type ecsFailure struct {
	ARN    string `json:"arn"`
	Reason string `json:"reason"`
}

// ecsTagsOf finds the tags of what an ARN names.
func ecsTagsOf(st *state, r *request, arn string) (*map[string]string, error) {
	resource, ok := strings.CutPrefix(arn, regionalARN(r, "ecs", ""))
	if !ok {
		return nil, ecsInvalid("Invalid ARN: %s", arn)
	}
	kind, name, _ := strings.Cut(resource, "/")
	switch kind {
	case "cluster":
		cluster := st.ECS.Clusters[r.region][name]
		if cluster == nil {
			return nil, badRequest("ClusterNotFoundException", "Cluster not found.")
		}
		if cluster.Status == "INACTIVE" {
			return nil, ecsInvalid("The specified cluster is inactive. Specify an active cluster and try again.")
		}
		return &cluster.Tags, nil
	case "task-definition":
		_, definition := ecsFindRevision(st, r, name)
		if definition == nil {
			return nil, ecsInvalid("The specified task definition does not exist. Specify a valid account, family, revision and try again.")
		}
		if definition.Status != "ACTIVE" {
			return nil, ecsInvalid("The specified task definition is inactive. Specify an active task definition and try again.")
		}
		return &definition.Tags, nil
	default:
		return nil, ecsInvalid("The sandbox keeps clusters and task definitions only, not %s", arn)
	}
}

func ecsListTagsForResource(st *state, r *request, in struct{ ResourceARN string }) (any, error) {
	tags, err := ecsTagsOf(st, r, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return map[string]any{"tags": ecsTagList(*tags)}, nil
}

func ecsTagResource(st *state, r *request, in struct {
	ResourceARN string
	Tags        []tag
},
) (any, error) {
	tags, err := ecsTagsOf(st, r, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	if in.Tags == nil {
		return nil, ecsInvalid("Tags can not be empty.")
	}
	merged, err := ecsAddTags(*tags, in.Tags)
	if err != nil {
		return nil, err
	}
	*tags = merged
	return empty{}, nil
}

func ecsUntagResource(st *state, r *request, in struct {
	ResourceARN string
	TagKeys     []string
},
) (any, error) {
	tags, err := ecsTagsOf(st, r, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	for _, key := range in.TagKeys {
		delete(*tags, key)
	}
	return empty{}, nil
}

// ecsAccountDefaults are the settings of an account that put none.
func ecsAccountDefaults() map[string]string {
	return map[string]string{
		"serviceLongArnFormat":            "enabled",
		"taskLongArnFormat":               "enabled",
		"containerInstanceLongArnFormat":  "enabled",
		"awsvpcTrunking":                  "disabled",
		"containerInsights":               "disabled",
		"fargateFIPSMode":                 "disabled",
		"tagResourceAuthorization":        "on",
		"fargateTaskRetirementWaitPeriod": "7",
		"guardDutyActivate":               "off",
		"defaultLogDriverMode":            "non-blocking",
		"fargateEventWindows":             "disabled",
	}
}

// accountSetting is what the account has for a setting.
func (st *ecsState) accountSetting(region, name string) string {
	if value, ok := st.Settings[region][name]; ok {
		return value
	}
	return ecsAccountDefaults()[name]
}

type ecsAccountSetting struct {
	Name         string `json:"name"`
	Value        string `json:"value"`
	PrincipalARN string `json:"principalArn"`
	Type         string `json:"type"`
}

func ecsListAccountSettings(st *state, r *request, in struct {
	Name              string
	Value             string
	EffectiveSettings bool
},
) (any, error) {
	settings := []ecsAccountSetting{}
	for _, name := range slices.Sorted(maps.Keys(ecsAccountDefaults())) {
		_, put := st.ECS.Settings[r.region][name]
		value := st.ECS.accountSetting(r.region, name)
		if !put && !in.EffectiveSettings || in.Name != "" && in.Name != name || in.Value != "" && in.Value != value {
			continue
		}
		settings = append(settings, ecsAccountSetting{name, value, r.caller.ARN, "user"})
	}
	return map[string]any{"settings": settings}, nil
}

func ecsPutAccountSetting(st *state, r *request, in struct{ Name, Value string }) (any, error) {
	if _, ok := ecsAccountDefaults()[in.Name]; !ok {
		return nil, ecsInvalid("Invalid setting name: %s", in.Name)
	}
	if in.Name == "containerInsights" {
		if err := ecsCheckInsights(in.Value); err != nil {
			return nil, err
		}
	}
	st.ECS.Settings.put(r.region, in.Name, in.Value)
	return map[string]any{"setting": ecsAccountSetting{in.Name, in.Value, r.caller.ARN, "user"}}, nil
}
