package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ecsWork is what lies on a cluster and keeps it from being deleted, and the
// tasks that have ended. Nothing of it runs: services start no tasks, tasks that
// need an instance stay PENDING, and those on Fargate end as they begin.
type ecsWork struct {
	Services  map[string]*ecsService `json:",omitempty"` // by name
	Tasks     map[string]string      `json:",omitempty"` // the revision by the task's ID
	Stopped   map[string]*ecsStopped `json:",omitempty"` // by the task's ID
	Instances []string               `json:",omitempty"` // IDs of container instances
	Next      int                    `json:",omitempty"` // numbers tasks and instances
}

type ecsService struct {
	TaskDefinition string
	DesiredCount   int
	CreatedAt      int64
}

func (w *ecsWork) number() string {
	w.Next++
	return fmt.Sprintf("%032x", w.Next)
}

func ecsServiceAnswer(r *request, cluster, name, status string, s *ecsService) map[string]any {
	return map[string]any{"service": map[string]any{
		"serviceArn": regionalARN(r, "ecs", "service/"+cluster+"/"+name), "serviceName": name, "clusterArn": ecsClusterARN(r, cluster),
		"status": status, "desiredCount": s.DesiredCount, "runningCount": 0, "pendingCount": 0,
		"taskDefinition": s.TaskDefinition, "createdAt": s.CreatedAt,
	}}
}

func ecsServiceNotFound() error { return badRequest("ServiceNotFoundException", "Service not found.") }

// ecsUsable gives the ARN of a revision that tasks can be started from.
func ecsUsable(st *state, r *request, ref string) (string, error) {
	family, revision := ecsParseRevision(r, ref)
	var d *ecsTaskDefinition
	if revision == 0 {
		revision, d = st.ECS.Families[r.region][family].active()
	} else {
		_, d = ecsFindRevision(st, r, ref)
	}
	if d == nil {
		return "", ecsRefused("TaskDefinition not found.")
	}
	if d.Status != "ACTIVE" {
		return "", ecsRefused("TaskDefinition is inactive")
	}
	return ecsRevisionARN(r, family, revision), nil
}

func ecsCreateService(st *state, r *request, in struct {
	Cluster        string
	ServiceName    string
	TaskDefinition string
	DesiredCount   int
},
) (any, error) {
	cluster, c, err := ecsFindCluster(st, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	if !ecsName.MatchString(in.ServiceName) {
		return nil, ecsInvalid("Identifier contains invalid characters or is longer than 255: %s", in.ServiceName)
	}
	definition, err := ecsUsable(st, r, in.TaskDefinition)
	if err != nil {
		return nil, err
	}
	if c.Services[in.ServiceName] != nil {
		return nil, ecsInvalid("Creation of service was not idempotent.")
	}
	if c.Services == nil {
		c.Services = map[string]*ecsService{}
	}
	s := &ecsService{definition, in.DesiredCount, r.now.Unix()}
	c.Services[in.ServiceName] = s
	return ecsServiceAnswer(r, cluster, in.ServiceName, "ACTIVE", s), nil
}

// ecsServiceName takes a service's name out of its ARN.
func ecsServiceName(r *request, cluster, ref string) string {
	return strings.TrimPrefix(ref, regionalARN(r, "ecs", "service/"+cluster+"/"))
}

func ecsDeleteService(st *state, r *request, in struct {
	Cluster string
	Service string
	Force   bool
},
) (any, error) {
	cluster, c, err := ecsFindCluster(st, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	name := ecsServiceName(r, cluster, in.Service)
	s := c.Services[name]
	if s == nil {
		return nil, ecsServiceNotFound()
	}
	if s.DesiredCount > 0 && !in.Force {
		return nil, ecsInvalid("The service cannot be stopped while it is scaled above 0.")
	}
	delete(c.Services, name)
	return ecsServiceAnswer(r, cluster, name, "INACTIVE", s), nil
}

func ecsListServices(st *state, r *request, in struct {
	Cluster    string
	NextToken  string
	MaxResults int
},
) (any, error) {
	cluster, c, err := ecsFindCluster(st, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	var arns []string
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		arns = append(arns, regionalARN(r, "ecs", "service/"+cluster+"/"+name))
	}
	return ecsPage("serviceArns", arns, in.NextToken, in.MaxResults)
}

func ecsTaskAnswer(r *request, cluster, id, definition, status string) map[string]any {
	return map[string]any{
		"taskArn": ecsTaskARN(r, cluster, id), "clusterArn": ecsClusterARN(r, cluster),
		"taskDefinitionArn": definition, "lastStatus": status, "desiredStatus": "RUNNING", "containers": []any{},
	}
}

func ecsStopTask(st *state, r *request, in struct{ Cluster, Task string }) (any, error) {
	cluster, c, err := ecsFindCluster(st, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	id := ecsTaskID(r, cluster, in.Task)
	definition, ok := c.Tasks[id]
	if !ok {
		return nil, ecsInvalid("The referenced task was not found.")
	}
	delete(c.Tasks, id)
	return map[string]any{"task": ecsTaskAnswer(r, cluster, id, definition, "STOPPED")}, nil
}

func ecsListTasks(st *state, r *request, in struct {
	Cluster       string
	DesiredStatus string
	NextToken     string
	MaxResults    int
},
) (any, error) {
	cluster, c, err := ecsFindCluster(st, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(c.Tasks))
	if in.DesiredStatus == "STOPPED" {
		ids = slices.Sorted(maps.Keys(c.Stopped))
	}
	var arns []string
	for _, id := range ids {
		arns = append(arns, ecsTaskARN(r, cluster, id))
	}
	return ecsPage("taskArns", arns, in.NextToken, in.MaxResults)
}

func ecsInstanceAnswer(r *request, cluster, id, status string) map[string]any {
	return map[string]any{"containerInstance": map[string]any{
		"containerInstanceArn": regionalARN(r, "ecs", "container-instance/"+cluster+"/"+id), "status": status, "agentConnected": false,
		"runningTasksCount": 0, "pendingTasksCount": 0,
	}}
}

// ecsRegisterContainerInstance is the call that the agent of an instance makes.
func ecsRegisterContainerInstance(st *state, r *request, in struct{ Cluster string }) (any, error) {
	cluster, c, err := ecsFindCluster(st, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	id := c.number()
	c.Instances = append(c.Instances, id)
	return ecsInstanceAnswer(r, cluster, id, "ACTIVE"), nil
}

func ecsDeregisterContainerInstance(st *state, r *request, in struct{ Cluster, ContainerInstance string }) (any, error) {
	cluster, c, err := ecsFindCluster(st, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	id := strings.TrimPrefix(in.ContainerInstance, regionalARN(r, "ecs", "container-instance/"+cluster+"/"))
	i := slices.Index(c.Instances, id)
	if i < 0 {
		return nil, ecsInvalid("The referenced container instance was not found.")
	}
	c.Instances = slices.Delete(c.Instances, i, i+1)
	return ecsInstanceAnswer(r, cluster, id, "INACTIVE"), nil
}
