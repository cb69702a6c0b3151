package sandbox

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/churn-reconcile/churn-reconcile/reconcile/policy"
)

// An ecsRun is what a call to RunTask asks for.
type ecsRun struct {
	Cluster                  string
	TaskDefinition           string
	Count                    int
	LaunchType               string
	CapacityProviderStrategy []ecsStrategyItem
	NetworkConfiguration     *struct {
		AWSVPCConfiguration struct{ Subnets []string }
	}
	Overrides struct{ ExecutionRoleARN, TaskRoleARN string }
	StartedBy string
	Tags      []tag
}

// An ecsStopped is a task that has ended. AWS tells of it for an hour.
type ecsStopped struct {
	Definition string
	Created    int64
	StartedBy  string            `json:",omitempty"`
	Tags       map[string]string `json:",omitempty"`
	Code       string            // why it has ended, as ECS has codes for it
	Reason     string
	Containers []string
}

const ecsRemembered = time.Hour

func ecsTaskARN(r *request, cluster, id string) string {
	return regionalARN(r, "ecs", "task/"+cluster+"/"+id)
}

func ecsTaskID(r *request, cluster, ref string) string {
	return strings.TrimPrefix(ref, ecsTaskARN(r, cluster, ""))
}

// roles are the roles that the tasks run with, the call's own or the task
// definition's; "" is none.
func (in *ecsRun) roles(st *state, r *request) (execution, task string) {
	if d := st.ECS.revision(r, in.TaskDefinition); d != nil {
		execution, _ = d.Content["executionRoleArn"].(string)
		task, _ = d.Content["taskRoleArn"].(string)
	}
	return cmp.Or(in.Overrides.ExecutionRoleARN, execution), cmp.Or(in.Overrides.TaskRoleARN, task)
}

// revision gives the revision that is named, the newest active one where only
// a family is; nil where there is none.
func (st *ecsState) revision(r *request, ref string) *ecsTaskDefinition {
	family, revision := ecsParseRevision(r, ref)
	f := st.Families[r.region][family]
	if revision == 0 {
		_, d := f.active()
		return d
	}
	if revision > len(f) {
		return nil
	}
	return f[revision-1]
}

// fargate says whether the tasks need no instance.
func (in *ecsRun) fargate(c *ecsCluster) bool {
	strategy := in.CapacityProviderStrategy
	if in.LaunchType == "" && len(strategy) == 0 {
		strategy = c.Strategy
	}
	return in.LaunchType == "FARGATE" || slices.ContainsFunc(strategy, func(i ecsStrategyItem) bool {
		return slices.Contains(ecsFargateProviders, i.CapacityProvider)
	})
}

// check says what ECS has against running the task definition so.
func (in *ecsRun) check(d *ecsTaskDefinition, fargate bool) error {
	compatible, _ := d.Content["compatibilities"].([]string)
	if list, ok := d.Content["compatibilities"].([]any); ok { // as it comes from a file
		for _, v := range list {
			compatible = append(compatible, fmt.Sprint(v))
		}
	}
	switch {
	case in.LaunchType != "" && len(in.CapacityProviderStrategy) > 0:
		return ecsInvalid("Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.")
	case fargate && !slices.Contains(compatible, "FARGATE"):
		return ecsInvalid("Task definition does not support launch_type FARGATE.")
	case d.Content["networkMode"] == "awsvpc" && in.NetworkConfiguration == nil:
		return ecsInvalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
	case d.Content["networkMode"] == "awsvpc" && len(in.NetworkConfiguration.AWSVPCConfiguration.Subnets) == 0:
		return ecsInvalid("subnets can not be empty.")
	}
	return nil
}

func ecsRunTask(st *state, r *request, in ecsRun) (any, error) {
	cluster, c, err := ecsFindCluster(st, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	count := cmp.Or(in.Count, 1)
	if count < 1 || count > 10 {
		return nil, ecsInvalid("count should be between 1 and 10")
	}
	definition, err := ecsUsable(st, r, in.TaskDefinition)
	if err != nil {
		return nil, err
	}
	tags, err := ecsAddTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	d, fargate := st.ECS.revision(r, definition), in.fargate(c)
	if err := in.check(d, fargate); err != nil {
		return nil, err
	}
	execution, task := in.roles(st, r)
	for _, arn := range []string{execution, task} {
		if arn == "" || !r.enforced {
			continue
		}
		by := principal{ARN: "ecs-tasks.amazonaws.com", kind: "Service"}
		if st.IAM.decide(r, by, st.IAM.assuming("sts:AssumeRole", arn)).Verdict != policy.Allow {
			return nil, ecsRefused("ECS was unable to assume the role '%s' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role.", arn)
		}
	}
	tasks := []map[string]any{}
	for range count {
		id := c.number()
		status := "PENDING"
		if fargate {
			status = "PROVISIONING"
			t := &ecsStopped{Definition: definition, Created: r.now.Unix(), StartedBy: in.StartedBy, Tags: tags}
			t.run(st, r, d, id, execution)
			c.remember(r, id, t)
		} else {
			if c.Tasks == nil {
				c.Tasks = map[string]string{}
			}
			c.Tasks[id] = definition
		}
		tasks = append(tasks, ecsTaskAnswer(r, cluster, id, definition, status))
	}
	return map[string]any{"tasks": tasks, "failures": []ecsFailure{}}, nil
}

// remember keeps a task that has ended, and forgets those that ended long ago.
func (w *ecsWork) remember(r *request, id string, t *ecsStopped) {
	if w.Stopped == nil {
		w.Stopped = map[string]*ecsStopped{}
	}
	for old, t := range w.Stopped {
		if r.now.Sub(time.Unix(t.Created, 0)) > ecsRemembered {
			delete(w.Stopped, old)
		}
	}
	w.Stopped[id] = t
}

// run does for a task what ECS does around its containers, with the execution
// role's permissions: it looks for their images, and opens their logs.
func (t *ecsStopped) run(st *state, r *request, d *ecsTaskDefinition, id, execution string) {
	by := principal{ARN: regionalARN(r, "ecs", "task/"+id)}
	if o := st.IAM.assumable(execution); o != nil {
		by = st.IAM.sessionPrincipal(r, &roleSession{Role: o.Arn, RoleID: o.ID, Name: id, Issued: r.now})
	}
	t.Code = "TaskFailedToStart"
	containers := objects(d.Content["containerDefinitions"])
	for _, c := range containers {
		name, _ := c["name"].(string)
		image, _ := c["image"].(string)
		t.Containers = append(t.Containers, name)
		if reason := st.pull(r, by, image); reason != "" {
			t.Reason = reason
			return
		}
	}
	for _, c := range containers {
		if reason := st.writeLog(r, by, c, id); reason != "" {
			t.Reason = "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: " + reason
			return
		}
	}
	t.Code, t.Reason = "EssentialContainerExited", "Essential container in task exited"
}

// pull says why an image cannot be pulled; "" is that it can. Of images that
// are not in the account's registry it knows nothing.
func (st *state) pull(r *request, by principal, image string) string {
	path, ok := strings.CutPrefix(image, ecrHost(r)+"/")
	if !ok {
		return ""
	}
	if e := r.deniedTo(st, by, needed("ecr:GetAuthorizationToken", "*")); e != nil {
		return "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr registry auth: " + e.Error()
	}
	name, digest, byDigest := strings.Cut(path, "@")
	name, tag, _ := strings.Cut(name, ":")
	for _, action := range []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"} {
		if e := r.deniedTo(st, by, st.ECR.on(r, action, name)); e != nil {
			return "CannotPullContainerError: " + e.Error()
		}
	}
	id := ecrImageID{ImageTag: cmp.Or(tag, "latest")}
	if byDigest {
		id = ecrImageID{ImageDigest: digest}
	}
	repo := st.ECR.Repositories[r.region][name]
	if repo == nil {
		return "CannotPullContainerError: failed to resolve ref " + image + ": repository not found"
	}
	if _, failure := repo.image(id); failure != nil {
		return "CannotPullContainerError: failed to resolve ref " + image + ": not found"
	}
	return ""
}

// writeLog opens the log that a container writes to, and says in it that
// nothing has run. It gives the reason why it cannot.
func (st *state) writeLog(r *request, by principal, container map[string]any, id string) string {
	config, _ := container["logConfiguration"].(map[string]any)
	if config["logDriver"] != "awslogs" {
		return ""
	}
	options, _ := config["options"].(map[string]any)
	option := func(name string) string { s, _ := options["awslogs-"+name].(string); return s }
	name, _ := container["name"].(string)
	stream := option("stream-prefix") + "/" + name + "/" + id
	for _, action := range []string{"logs:CreateLogStream", "logs:PutLogEvents"} {
		if e := r.deniedTo(st, by, needed(action, logGroupARN(r, option("group"))+":log-stream:"+stream)); e != nil {
			return e.Error()
		}
	}
	group := st.Logs.Groups[option("region")][option("group")]
	if group == nil {
		return "ResourceNotFoundException: The specified log group does not exist."
	}
	now := r.now.UnixMilli()
	if group.Streams == nil {
		group.Streams = map[string]*logStream{}
	}
	group.Streams[stream] = &logStream{CreationTime: now, Events: []logEvent{{
		Timestamp: now, IngestionTime: now, Message: "The sandbox has recorded this task and run no container.",
	}}}
	return ""
}

func ecsDescribeTasks(st *state, r *request, in struct {
	Cluster string
	Tasks   []string
	Include []string
},
) (any, error) {
	cluster, c, err := ecsFindCluster(st, r, in.Cluster)
	if err != nil {
		return nil, err
	}
	if n := len(in.Tasks); n < 1 || n > 100 {
		return nil, ecsInvalid("Tasks has 1 to 100 elements.")
	}
	tasks, failures := []map[string]any{}, []ecsFailure{}
	for _, ref := range in.Tasks {
		id := ecsTaskID(r, cluster, ref)
		if definition, ok := c.Tasks[id]; ok {
			tasks = append(tasks, ecsTaskAnswer(r, cluster, id, definition, "PENDING"))
			continue
		}
		t := c.Stopped[id]
		if t == nil {
			failures = append(failures, ecsFailure{ecsTaskARN(r, cluster, id), "MISSING"})
			continue
		}
		answer := t.describe(r, cluster, id)
		if slices.Contains(in.Include, "TAGS") {
			answer["tags"] = ecsTagList(t.Tags)
		}
		tasks = append(tasks, answer)
	}
	return map[string]any{"tasks": tasks, "failures": failures}, nil
}

func (t *ecsStopped) describe(r *request, cluster, id string) map[string]any {
	answer := ecsTaskAnswer(r, cluster, id, t.Definition, "STOPPED")
	answer["desiredStatus"] = "STOPPED"
	answer["launchType"] = "FARGATE"
	answer["createdAt"], answer["stoppedAt"] = t.Created, t.Created
	answer["stopCode"], answer["stoppedReason"] = t.Code, t.Reason
	if t.StartedBy != "" {
		answer["startedBy"] = t.StartedBy
	}
	containers := []map[string]any{}
	for _, name := range t.Containers {
		c := map[string]any{"name": name, "taskArn": ecsTaskARN(r, cluster, id), "lastStatus": "STOPPED"}
		if t.Code == "EssentialContainerExited" {
			c["exitCode"] = 0
		}
		containers = append(containers, c)
	}
	answer["containers"] = containers
	return answer
}
