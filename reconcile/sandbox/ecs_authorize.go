package sandbox

import (
	"encoding/json"
	"slices"
	"strings"
)

// ecsNeeds lists what ECS's operations need.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
func ecsNeeds() map[string]needs {
	t := map[string]needs{
		"RegisterTaskDefinition":    registerNeeds,
		"DeleteTaskDefinitions":     definitionNeeds,
		"DescribeCapacityProviders": capacityProviderNeeds,
		"RunTask":                   runNeeds,
	}
	theseNeed(t, anyResource,
		"ListClusters", "DescribeTaskDefinition", "ListTaskDefinitions", "ListTaskDefinitionFamilies", "DeregisterTaskDefinition",
		"ListAccountSettings", "PutAccountSetting")
	theseNeed(t, clusterNeeds,
		"CreateCluster", "DescribeClusters", "UpdateCluster", "UpdateClusterSettings", "PutClusterCapacityProviders", "DeleteCluster",
		"RegisterContainerInstance", "DeregisterContainerInstance")
	theseNeed(t, ecsWorkNeeds, "ListTasks", "StopTask", "DescribeTasks", "ListServices", "CreateService", "DeleteService")
	theseNeed(t, ecsTagNeeds, "ListTagsForResource", "TagResource", "UntagResource")
	return t
}

// on is an action on a cluster.
func (st *ecsState) on(r *request, action, cluster string) need {
	if cluster == "" {
		cluster = "default"
	}
	name := ecsClusterName(r, cluster)
	n := needed(action, ecsClusterARN(r, name))
	if strings.HasPrefix(name, "arn:") {
		n.resource = name // of another account or region
	}
	if c := st.Clusters[r.region][name]; c != nil {
		n = n.tagged(tagList(c.Tags), "ecs:ResourceTag/")
	}
	return n
}

func clusterNeeds(st *state, r *request) []need {
	var in struct {
		Cluster     string
		ClusterName string
		Clusters    []string
		Tags        []tag
		Providers   []string `json:"capacityProviders"`
	}
	_ = json.Unmarshal(r.body, &in) // what is malformed is for the operation to refuse
	if r.operation == "CreateCluster" {
		n := st.ECS.on(r, r.action(), in.ClusterName).with("ecs:capacity-provider", providerARNs(r, in.Providers)...)
		all := n.with("ecs:CreateAction", r.operation).alsoTagging("ecs:TagResource", in.Tags)
		if len(st.ECS.Clusters) == 0 {
			all = append(all, linkedRole(r))
		}
		return all
	}
	if r.operation != "DescribeClusters" {
		in.Clusters = []string{in.Cluster}
	} else if len(in.Clusters) == 0 {
		in.Clusters = []string{"default"}
	}
	var all []need
	for _, name := range in.Clusters {
		all = append(all, st.ECS.on(r, r.action(), name).with("ecs:capacity-provider", providerARNs(r, in.Providers)...))
	}
	return all
}

// linkedRole is what an account's first cluster needs beside: ECS makes itself
// the role that it acts with, for whoever makes the cluster.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles.html
func linkedRole(r *request) need {
	return needed("iam:CreateServiceLinkedRole", iamARN(r, "role", "/aws-service-role/ecs.amazonaws.com/", "AWSServiceRoleForECS")).
		with("iam:AWSServiceName", "ecs.amazonaws.com")
}

func providerARNs(r *request, names []string) []string {
	arns := slices.Clone(names)
	for i, name := range arns {
		if !strings.HasPrefix(name, "arn:") {
			arns[i] = regionalARN(r, "ecs", "capacity-provider/"+name)
		}
	}
	return arns
}

func capacityProviderNeeds(_ *state, r *request) []need {
	var in struct{ CapacityProviders []string }
	_ = json.Unmarshal(r.body, &in) // what is malformed is for the operation to refuse
	if len(in.CapacityProviders) == 0 {
		in.CapacityProviders = []string{"*"}
	}
	var all []need
	for _, arn := range providerARNs(r, in.CapacityProviders) {
		all = append(all, needed(r.action(), arn))
	}
	return all
}

func registerNeeds(st *state, r *request) []need {
	var in ecsRegistration
	_ = json.Unmarshal(r.body, &in) // what is malformed is for the operation to refuse
	n := needed(r.action(), regionalARN(r, "ecs", "task-definition/"+in.Family+":*")).
		with("ecs:task-cpu", in.CPU).
		with("ecs:task-memory", in.Memory).
		with("ecs:compute-compatibility", in.RequiresCompatibilities...).
		with("ecs:CreateAction", r.operation)
	all := n.alsoTagging("ecs:TagResource", in.Tags)
	return append(all, st.passing(r, in.ExecutionRoleARN, in.TaskRoleARN)...)
}

// passing is what handing roles to tasks needs.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
func (st *state) passing(r *request, roles ...string) []need {
	var all []need
	for i, arn := range roles {
		if arn == "" || slices.Contains(roles[:i], arn) {
			continue
		}
		if !strings.HasPrefix(arn, "arn:") {
			arn = iamARN(r, "role", "/", arn) // ECS takes a name too
		}
		n := needed("iam:PassRole", arn).with("iam:PassedToService", "ecs-tasks.amazonaws.com")
		if o := st.IAM.assumable(arn); o != nil {
			n = n.tagged(o.Tags, "iam:ResourceTag/")
		}
		all = append(all, n)
	}
	return all
}

func definitionNeeds(st *state, r *request) []need {
	var in struct{ TaskDefinitions []string }
	_ = json.Unmarshal(r.body, &in) // what is malformed is for the operation to refuse
	var all []need
	for _, ref := range in.TaskDefinitions {
		all = append(all, st.ECS.onDefinition(r, r.action(), ref))
	}
	return all
}

// onDefinition is an action on a revision: the newest where only the family is
// named.
func (st *ecsState) onDefinition(r *request, action, ref string) need {
	family, revision := ecsParseRevision(r, ref)
	if revision == 0 {
		revision, _ = st.Families[r.region][family].active()
	}
	d := st.revision(r, ref)
	if d == nil {
		if !strings.HasPrefix(ref, "arn:") {
			ref = regionalARN(r, "ecs", "task-definition/"+ref)
		}
		return needed(action, ref)
	}
	return needed(action, ecsRevisionARN(r, family, revision)).tagged(tagList(d.Tags), "ecs:ResourceTag/")
}

func ecsTagNeeds(st *state, r *request) []need {
	var in struct {
		ResourceARN string
		Tags        []tag
		TagKeys     []string
	}
	_ = json.Unmarshal(r.body, &in) // what is malformed is for the operation to refuse
	n := needed(r.action(), in.ResourceARN)
	if tags, err := ecsTagsOf(st, r, in.ResourceARN); err == nil {
		n = n.tagged(tagList(*tags), "ecs:ResourceTag/")
	}
	return []need{n.tagging(in.Tags).with("aws:TagKeys", append(tagNames(in.Tags), in.TagKeys...)...)}
}

func runNeeds(st *state, r *request) []need {
	var in ecsRun
	_ = json.Unmarshal(r.body, &in) // what is malformed is for the operation to refuse
	n := st.ECS.onDefinition(r, r.action(), in.TaskDefinition).
		with("ecs:cluster", st.ECS.on(r, "", in.Cluster).resource).
		with("ecs:CreateAction", r.operation).
		tagging(in.Tags)
	all := []need{n}
	if len(in.Tags) > 0 {
		also := n
		also.action, also.resource = "ecs:TagResource", regionalARN(r, "ecs", "task/"+ecsClusterName(r, in.Cluster)+"/*")
		all = append(all, also)
	}
	execution, task := in.roles(st, r)
	return append(all, st.passing(r, execution, task)...)
}

// ecsWorkNeeds is about tasks and services, which conditions on their cluster
// can limit.
func ecsWorkNeeds(st *state, r *request) []need {
	var in struct {
		Cluster     string
		Task        string
		Tasks       []string
		Service     string
		ServiceName string
		Tags        []tag
	}
	_ = json.Unmarshal(r.body, &in) // what is malformed is for the operation to refuse
	cluster := st.ECS.on(r, "", in.Cluster).resource
	name := strings.TrimPrefix(cluster, ecsClusterARN(r, ""))
	on := func(kind, ref string) need {
		if !strings.HasPrefix(ref, "arn:") {
			ref = regionalARN(r, "ecs", kind+"/"+name+"/"+ref)
		}
		return needed(r.action(), ref).with("ecs:cluster", cluster)
	}
	switch r.operation {
	case "ListTasks", "ListServices":
		return []need{needed(r.action(), "*").with("ecs:cluster", cluster)}
	case "CreateService":
		return on("service", in.ServiceName).with("ecs:CreateAction", r.operation).alsoTagging("ecs:TagResource", in.Tags)
	case "DeleteService":
		return []need{on("service", in.Service)}
	case "StopTask":
		return []need{on("task", in.Task)}
	}
	var all []need
	for _, ref := range in.Tasks {
		all = append(all, on("task", ref))
	}
	return all
}
