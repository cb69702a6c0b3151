package sandbox

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

type ecsCluster struct {
	Status                 string // ACTIVE, INACTIVE
	Tags                   map[string]string
	ContainerInsights      string         // the one setting that there is
	Configuration          map[string]any // as it was given
	ServiceConnectDefaults map[string]any // as it was given
	CapacityProviders      []string
	Strategy               []ecsStrategyItem
	ecsWork
}

type ecsStrategyItem struct {
	CapacityProvider string `json:"capacityProvider"`
	Weight           int    `json:"weight"`
	Base             int    `json:"base"`
}

// ecsPair is a name and its value, as settings and statistics have them.
type ecsPair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ecsClusterDescription is a cluster as ECS's answers have it. Lists that were
// not asked for are empty, not absent.
type ecsClusterDescription struct {
	ClusterARN                        string            `json:"clusterArn"`
	ClusterName                       string            `json:"clusterName"`
	Configuration                     map[string]any    `json:"configuration,omitempty"`
	Status                            string            `json:"status"`
	RegisteredContainerInstancesCount int               `json:"registeredContainerInstancesCount"`
	RunningTasksCount                 int               `json:"runningTasksCount"`
	PendingTasksCount                 int               `json:"pendingTasksCount"`
	ActiveServicesCount               int               `json:"activeServicesCount"`
	Statistics                        []ecsPair         `json:"statistics"`
	Tags                              []ecsTag          `json:"tags"`
	Settings                          []ecsPair         `json:"settings"`
	CapacityProviders                 []string          `json:"capacityProviders"`
	DefaultCapacityProviderStrategy   []ecsStrategyItem `json:"defaultCapacityProviderStrategy"`
	ServiceConnectDefaults            map[string]any    `json:"serviceConnectDefaults,omitempty"`
}

// ecsClusterFields are the parts that DescribeClusters answers on request.
// Auto Scaling, the only source of attachments, does not exist here.
var ecsClusterFields = []string{"ATTACHMENTS", "CONFIGURATIONS", "SETTINGS", "STATISTICS", "TAGS"}

func (c *ecsCluster) describe(r *request, name string, include []string) ecsClusterDescription {
	d := ecsClusterDescription{
		ClusterARN:                        ecsClusterARN(r, name),
		ClusterName:                       name,
		Status:                            c.Status,
		RegisteredContainerInstancesCount: len(c.Instances),
		PendingTasksCount:                 len(c.Tasks),
		ActiveServicesCount:               len(c.Services),
		Statistics:                        []ecsPair{},
		Tags:                              []ecsTag{},
		Settings:                          []ecsPair{},
		CapacityProviders:                 append([]string{}, c.CapacityProviders...),
		DefaultCapacityProviderStrategy:   append([]ecsStrategyItem{}, c.Strategy...),
		ServiceConnectDefaults:            c.ServiceConnectDefaults,
	}
	if slices.Contains(include, "CONFIGURATIONS") {
		d.Configuration = c.Configuration
	}
	if slices.Contains(include, "SETTINGS") {
		d.Settings = []ecsPair{{"containerInsights", c.ContainerInsights}}
	}
	if slices.Contains(include, "STATISTICS") {
		for _, name := range []string{
			"runningEC2TasksCount", "runningFargateTasksCount", "pendingEC2TasksCount", "pendingFargateTasksCount",
			"activeEC2ServiceCount", "activeFargateServiceCount", "drainingEC2ServiceCount", "drainingFargateServiceCount",
		} {
			count := 0
			switch name { // whatever starts here is Fargate's
			case "pendingFargateTasksCount":
				count = len(c.Tasks)
			case "activeFargateServiceCount":
				count = len(c.Services)
			}
			d.Statistics = append(d.Statistics, ecsPair{name, strconv.Itoa(count)})
		}
	}
	if slices.Contains(include, "TAGS") {
		d.Tags = ecsTagList(c.Tags)
	}
	return d
}

// ecsClusterAnswer is the answer of a call that writes: the cluster with all
// that it has.
func ecsClusterAnswer(r *request, name string, c *ecsCluster) map[string]any {
	return map[string]any{"cluster": c.describe(r, name, []string{"CONFIGURATIONS", "SETTINGS", "TAGS"})}
}

func ecsClusterARN(r *request, name string) string { return regionalARN(r, "ecs", "cluster/"+name) }

// ecsClusterName takes a cluster's name out of its ARN. The ARN of another
// account or region names none of these clusters, and stays as it is.
func ecsClusterName(r *request, ref string) string {
	if ref == "" {
		return "default"
	}
	return strings.TrimPrefix(ref, ecsClusterARN(r, ""))
}

// ecsFindCluster gives the active cluster that a call is to change.
func ecsFindCluster(st *state, r *request, ref string) (name string, c *ecsCluster, err error) {
	name = ecsClusterName(r, ref)
	c = st.ECS.Clusters[r.region][name]
	if c == nil || c.Status != "ACTIVE" {
		return "", nil, badRequest("ClusterNotFoundException", "Cluster not found.")
	}
	return name, c, nil
}

func ecsCheckInsights(value string) error {
	switch value {
	case "enabled", "disabled", "enhanced":
		return nil
	default:
		return ecsInvalid("containerInsights can be enabled, disabled or enhanced, not '%s'", value)
	}
}

func ecsCheckSettings(settings []ecsPair) error {
	for _, s := range settings {
		if s.Name != "containerInsights" {
			return ecsInvalid("Setting name '%s' is not valid", s.Name)
		}
		if err := ecsCheckInsights(s.Value); err != nil {
			return err
		}
	}
	return nil
}

// ecsCheckConfiguration looks at the one rule that ties the configuration's
// fields together.
func ecsCheckConfiguration(configuration map[string]any) error {
	exec, _ := configuration["executeCommandConfiguration"].(map[string]any)
	if exec == nil {
		return nil
	}
	switch exec["logging"] {
	case nil, "NONE", "DEFAULT":
		if exec["logConfiguration"] != nil {
			return ecsInvalid("logConfiguration can be specified only when logging is OVERRIDE")
		}
	case "OVERRIDE":
		if exec["logConfiguration"] == nil {
			return ecsInvalid("logConfiguration is required when logging is OVERRIDE")
		}
	default:
		return ecsInvalid("Logging '%v' is not valid: NONE, DEFAULT or OVERRIDE", exec["logging"])
	}
	return nil
}

// ecsFargateProviders are the capacity providers that every account has. Those
// of Auto Scaling groups do not exist here.
var ecsFargateProviders = []string{"FARGATE", "FARGATE_SPOT"}

func ecsCheckProviders(providers []string, strategy []ecsStrategyItem) error {
	for i, p := range providers {
		if !slices.Contains(ecsFargateProviders, p) {
			return ecsInvalid("The specified capacity provider '%s' was not found. Specify a valid name or ARN and try again.", p)
		}
		if slices.Contains(providers[:i], p) {
			return ecsInvalid("The capacity provider '%s' is listed more than once", p)
		}
	}
	bases, weights := 0, 0
	for i, item := range strategy {
		switch {
		case !slices.Contains(providers, item.CapacityProvider):
			return ecsInvalid("The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster: '%s'", item.CapacityProvider)
		case slices.ContainsFunc(strategy[:i], func(s ecsStrategyItem) bool { return s.CapacityProvider == item.CapacityProvider }):
			return ecsInvalid("The capacity provider '%s' is listed more than once in the strategy", item.CapacityProvider)
		case item.Weight < 0 || item.Weight > 1000 || item.Base < 0 || item.Base > 100000:
			return ecsInvalid("A capacity provider's weight is 0 to 1000, its base 0 to 100000")
		}
		if item.Base > 0 {
			bases++
		}
		weights += item.Weight
	}
	if bases > 1 {
		return ecsInvalid("Only one capacity provider of a strategy can have a base")
	}
	if len(strategy) > 1 && weights == 0 {
		return ecsInvalid("At least one capacity provider of a strategy must have a weight greater than zero")
	}
	return nil
}

func ecsCreateCluster(st *state, r *request, in struct {
	ClusterName                     string
	Tags                            []tag
	Settings                        []ecsPair
	Configuration                   map[string]any
	ServiceConnectDefaults          map[string]any
	CapacityProviders               []string
	DefaultCapacityProviderStrategy []ecsStrategyItem
},
) (any, error) {
	if in.ClusterName == "" {
		in.ClusterName = "default"
	}
	if !ecsName.MatchString(in.ClusterName) {
		return nil, ecsInvalid("Identifier contains invalid characters or is longer than 255: %s", in.ClusterName)
	}
	tags, err := ecsAddTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	if err := ecsCheckSettings(in.Settings); err != nil {
		return nil, err
	}
	if err := ecsCheckConfiguration(in.Configuration); err != nil {
		return nil, err
	}
	if err := ecsCheckProviders(in.CapacityProviders, in.DefaultCapacityProviderStrategy); err != nil {
		return nil, err
	}
	// CreateCluster is "create or get": an active cluster stays as it is,
	// whatever else the call says.
	if old := st.ECS.Clusters[r.region][in.ClusterName]; old != nil && old.Status == "ACTIVE" {
		return ecsClusterAnswer(r, in.ClusterName, old), nil
	}
	c := &ecsCluster{
		Status:                 "ACTIVE",
		Tags:                   tags,
		ContainerInsights:      st.ECS.accountSetting(r.region, "containerInsights"),
		Configuration:          in.Configuration,
		ServiceConnectDefaults: in.ServiceConnectDefaults,
		CapacityProviders:      in.CapacityProviders,
		Strategy:               in.DefaultCapacityProviderStrategy,
	}
	c.set(in.Settings)
	st.ECS.Clusters.put(r.region, in.ClusterName, c)
	return ecsClusterAnswer(r, in.ClusterName, c), nil
}

func (c *ecsCluster) set(settings []ecsPair) {
	for _, s := range settings {
		c.ContainerInsights = s.Value
	}
}

func ecsDescribeClusters(st *state, r *request, in struct {
	Clusters []string
	Include  []string
},
) (any, error) {
	if len(in.Clusters) == 0 {
		in.Clusters = []string{"default"}
	}
	if len(in.Clusters) > 100 {
		return nil, ecsInvalid("Clusters cannot have more than 100 elements.")
	}
	for _, field := range in.Include {
		if !slices.Contains(ecsClusterFields, field) {
			return nil, ecsInvalid("Include '%s' is not one of %v", field, ecsClusterFields)
		}
	}
	clusters, failures := []ecsClusterDescription{}, []ecsFailure{}
	for _, ref := range in.Clusters {
		name := ecsClusterName(r, ref)
		c := st.ECS.Clusters[r.region][name]
		switch {
		case c != nil:
			clusters = append(clusters, c.describe(r, name, in.Include))
		case strings.HasPrefix(name, "arn:"):
			failures = append(failures, ecsFailure{name, "MISSING"})
		default:
			failures = append(failures, ecsFailure{ecsClusterARN(r, name), "MISSING"})
		}
	}
	return map[string]any{"clusters": clusters, "failures": failures}, nil
}

func ecsListClusters(st *state, r *request, in struct {
	NextToken  string
	MaxResults int
},
) (any, error) {
	var arns []string
	for _, name := range slices.Sorted(maps.Keys(st.ECS.Clusters[r.region])) {
		if st.ECS.Clusters[r.region][name].Status == "ACTIVE" {
			arns = append(arns, ecsClusterARN(r, name))
		}
	}
	return ecsPage("clusterArns", arns, in.NextToken, in.MaxResults)
}

// ecsPage answers a page of the list calls, which all have the same limits.
func ecsPage(member string, all []string, token string, limit int) (any, error) {
	items, next, ok := slicePage(all, token, limit, 100, 100)
	if !ok {
		return nil, ecsInvalid("Invalid token or maxResults: maxResults is 1 to 100, nextToken one that ECS gave")
	}
	answer := map[string]any{member: append([]string{}, items...)}
	if next != "" {
		answer["nextToken"] = next
	}
	return answer, nil
}

// ecsUpdateCluster serves UpdateClusterSettings too, which is the same with
// fewer fields.
func ecsUpdateCluster(st *state, r *request, in struct {
	Cluster                string
	Settings               []ecsPair
	Configuration          map[string]any
	ServiceConnectDefaults map[string]any
},
) (any, error) {
	name, c, err := ecsFindCluster(st, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	if err := ecsCheckSettings(in.Settings); err != nil {
		return nil, err
	}
	if err := ecsCheckConfiguration(in.Configuration); err != nil {
		return nil, err
	}
	c.set(in.Settings)
	if in.Configuration != nil {
		c.Configuration = in.Configuration
	}
	if in.ServiceConnectDefaults != nil {
		c.ServiceConnectDefaults = in.ServiceConnectDefaults
	}
	return ecsClusterAnswer(r, name, c), nil
}

// ecsPutClusterCapacityProviders replaces both lists, which is why both have
// to be there.
func ecsPutClusterCapacityProviders(st *state, r *request, in struct {
	Cluster                         string
	CapacityProviders               []string
	DefaultCapacityProviderStrategy []ecsStrategyItem
},
) (any, error) {
	name, c, err := ecsFindCluster(st, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	if in.CapacityProviders == nil || in.DefaultCapacityProviderStrategy == nil {
		return nil, ecsInvalid("capacityProviders and defaultCapacityProviderStrategy are both required; they may be empty")
	}
	if err := ecsCheckProviders(in.CapacityProviders, in.DefaultCapacityProviderStrategy); err != nil {
		return nil, err
	}
	c.CapacityProviders, c.Strategy = in.CapacityProviders, in.DefaultCapacityProviderStrategy
	return ecsClusterAnswer(r, name, c), nil
}

// ecsDeleteCluster leaves an INACTIVE cluster behind, as AWS does for a while:
// DescribeClusters goes on answering it.
func ecsDeleteCluster(st *state, r *request, in struct{ Cluster string }) (any, error) {
	name, c, err := ecsFindCluster(st, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	switch {
	case len(c.Instances) > 0:
		return nil, badRequest("ClusterContainsContainerInstancesException", "The Cluster cannot be deleted while Container Instances are active or draining.")
	case len(c.Services) > 0:
		return nil, badRequest("ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active.")
	case len(c.Tasks) > 0:
		return nil, badRequest("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
	}
	c.Status = "INACTIVE"
	return ecsClusterAnswer(r, name, c), nil
}

func ecsDescribeCapacityProviders(_ *state, r *request, in struct{ CapacityProviders []string }) (any, error) {
	type provider struct {
		CapacityProviderARN string   `json:"capacityProviderArn"`
		Name                string   `json:"name"`
		Status              string   `json:"status"`
		Type                string   `json:"type"`
		Tags                []ecsTag `json:"tags"`
	}
	if len(in.CapacityProviders) == 0 {
		in.CapacityProviders = ecsFargateProviders
	}
	providers, failures := []provider{}, []ecsFailure{}
	prefix := regionalARN(r, "ecs", "capacity-provider/")
	for _, ref := range in.CapacityProviders {
		name := strings.TrimPrefix(ref, prefix)
		if !slices.Contains(ecsFargateProviders, name) {
			failures = append(failures, ecsFailure{ref, "MISSING"})
			continue
		}
		providers = append(providers, provider{prefix + name, name, "ACTIVE", name, []ecsTag{}})
	}
	return map[string]any{"capacityProviders": providers, "failures": failures}, nil
}
