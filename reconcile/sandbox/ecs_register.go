package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// An ecsRegistration is what the rules of RegisterTaskDefinition look at.
type ecsRegistration struct {
	Family                  string
	TaskRoleARN             string
	ExecutionRoleARN        string
	NetworkMode             string
	PIDMode                 string
	EnableFaultInjection    bool
	RequiresCompatibilities []string
	CPU                     string
	Memory                  string
	Tags                    []tag
	EphemeralStorage        *struct{ SizeInGiB int }
	PlacementConstraints    []struct{ Type, Expression string }
	ProxyConfiguration      *struct{ ContainerName, Type string }
	Volumes                 []struct {
		Name                      string
		Host                      *struct{ SourcePath string }
		DockerVolumeConfiguration *struct{}
	}
	ContainerDefinitions []ecsContainer
}

type ecsContainer struct {
	Name              string
	Image             string
	CPU               int
	Memory            int
	MemoryReservation int
	Essential         *bool
	Privileged        bool
	Links             []string
	Secrets           []struct{ Name, ValueFrom string }
	MountPoints       []struct{ SourceVolume string }
	DependsOn         []struct{ ContainerName string }
	PortMappings      []struct {
		ContainerPort int
		HostPort      int
		Protocol      string
	}
	HealthCheck *struct {
		Command                                 []string
		Interval, Timeout, Retries, StartPeriod *int
	}
	LogConfiguration *struct {
		LogDriver     string
		Options       map[string]string
		SecretOptions []struct{ Name string }
	}
}

var (
	ecsVCPU     = &pattern{expr: `(?i)^(\d+|\d*\.\d+) *vcpu$`}
	ecsGB       = &pattern{expr: `(?i)^(\d+|\d*\.\d+) *gb$`}
	ecsECRImage = &pattern{expr: `^\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/`}
)

// ecsUnits reads a task's cpu or memory: a number, or a multiple of 1024 with
// its unit, "1 vCPU" or "0.5 GB".
func ecsUnits(s string, unit *pattern) (int, bool) {
	if m := unit.compiled().FindStringSubmatch(strings.TrimSpace(s)); m != nil {
		f, err := strconv.ParseFloat(m[1], 64)
		return int(f * 1024), err == nil
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n > 0
}

// check says what ECS has against the registration, whatever it is to run on.
func (in *ecsRegistration) check() error {
	if in.Family == "" {
		return ecsRefused("Family should not be null or empty.")
	}
	if !ecsName.MatchString(in.Family) {
		return ecsRefused("Family contains invalid characters or is longer than 255: %s", in.Family)
	}
	for _, role := range []string{in.TaskRoleARN, in.ExecutionRoleARN} {
		if strings.HasPrefix(role, "arn:") && !strings.Contains(role, ":role/") || strings.ContainsAny(role, " *") {
			return ecsRefused("Role is not valid")
		}
	}
	if !slices.Contains([]string{"", "bridge", "host", "awsvpc", "none"}, in.NetworkMode) {
		return ecsRefused("Invalid network mode: %s", in.NetworkMode)
	}
	if !slices.Contains([]string{"", "host", "task"}, in.PIDMode) {
		return ecsRefused("Invalid pid mode: %s", in.PIDMode)
	}
	if in.EnableFaultInjection && in.NetworkMode != "awsvpc" && in.NetworkMode != "host" {
		return ecsRefused("Fault injection is only supported with network modes awsvpc and host.")
	}
	if len(in.PlacementConstraints) > 10 {
		return ecsRefused("A task definition has at most 10 placement constraints.")
	}
	for _, p := range in.PlacementConstraints {
		if p.Type != "memberOf" || p.Expression == "" {
			return ecsRefused("Invalid placement constraint: a task definition takes memberOf with an expression.")
		}
	}
	if in.CPU != "" {
		if _, ok := ecsUnits(in.CPU, ecsVCPU); !ok {
			return ecsRefused("Invalid 'cpu' setting for task: %s", in.CPU)
		}
	}
	if in.Memory != "" {
		if _, ok := ecsUnits(in.Memory, ecsGB); !ok {
			return ecsRefused("Invalid 'memory' setting for task: %s", in.Memory)
		}
	}
	if err := in.checkContainers(); err != nil {
		return err
	}
	for _, launch := range in.RequiresCompatibilities {
		switch launch {
		case "EC2", "MANAGED_INSTANCES":
		case "EXTERNAL":
			if in.NetworkMode == "awsvpc" {
				return ecsRefused("Networking mode awsvpc is not supported for external instances.")
			}
		case "FARGATE":
			if err := in.checkFargate(); err != nil {
				return err
			}
		default:
			return ecsRefused("Invalid compatibility: %s", launch)
		}
	}
	return nil
}

func (in *ecsRegistration) checkContainers() error {
	if len(in.ContainerDefinitions) == 0 {
		return ecsRefused("Container list cannot be empty.")
	}
	if len(in.ContainerDefinitions) > 10 {
		return ecsRefused("A task definition has at most 10 containers.")
	}
	volumes := map[string]bool{}
	for _, v := range in.Volumes {
		if v.Name == "" || volumes[v.Name] {
			return ecsRefused("Volume names must be unique and not empty: '%s'", v.Name)
		}
		volumes[v.Name] = true
	}
	names := map[string]bool{}
	for _, c := range in.ContainerDefinitions {
		switch {
		case c.Name == "":
			return ecsRefused("Container.name should not be null or empty.")
		case !ecsName.MatchString(c.Name):
			return ecsRefused("Container name contains invalid characters or is longer than 255: %s", c.Name)
		case names[c.Name]:
			return ecsRefused("Container names must be unique: %s", c.Name)
		case c.Image == "":
			return ecsRefused("Container.image should not be null or empty.")
		}
		names[c.Name] = true
	}
	if p := in.ProxyConfiguration; p != nil {
		if !names[p.ContainerName] {
			return ecsRefused("Proxy configuration: there is no container '%s'.", p.ContainerName)
		}
		if p.Type != "" && p.Type != "APPMESH" {
			return ecsRefused("Invalid proxy configuration type: %s", p.Type)
		}
	}
	essential := false
	for _, c := range in.ContainerDefinitions {
		essential = essential || c.Essential == nil || *c.Essential
		if err := in.checkContainer(c, names, volumes); err != nil {
			return err
		}
	}
	if !essential {
		return ecsRefused("A task definition must have at least one essential container.")
	}
	return nil
}

func (in *ecsRegistration) checkContainer(c ecsContainer, names, volumes map[string]bool) error {
	if c.Memory == 0 && c.MemoryReservation == 0 && in.Memory == "" {
		return ecsRefused("Invalid setting for container '%s'. At least one of 'memory' or 'memoryReservation' must be specified.", c.Name)
	}
	if c.Memory != 0 && c.MemoryReservation > c.Memory {
		return ecsRefused("Invalid setting for container '%s'. 'memoryReservation' must not be greater than 'memory'.", c.Name)
	}
	for _, p := range c.PortMappings {
		if p.HostPort != 0 && p.HostPort != p.ContainerPort && (in.NetworkMode == "awsvpc" || in.NetworkMode == "host") {
			return ecsRefused("When networkMode=%s, the host ports and container ports in port mappings must match.", in.NetworkMode)
		}
		if !slices.Contains([]string{"", "tcp", "udp"}, p.Protocol) {
			return ecsRefused("Invalid protocol in a port mapping of container '%s': %s", c.Name, p.Protocol)
		}
	}
	for _, m := range c.MountPoints {
		if m.SourceVolume != "" && !volumes[m.SourceVolume] {
			return ecsRefused("Unknown volume '%s'.", m.SourceVolume)
		}
	}
	for _, d := range c.DependsOn {
		if !names[d.ContainerName] || d.ContainerName == c.Name {
			return ecsRefused("Container '%s' depends on container '%s', which is none that it can wait for.", c.Name, d.ContainerName)
		}
	}
	if in.ExecutionRoleARN == "" {
		secrets := len(c.Secrets)
		if c.LogConfiguration != nil {
			secrets += len(c.LogConfiguration.SecretOptions)
		}
		if secrets > 0 {
			return ecsRefused("When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.")
		}
	}
	if c.HealthCheck == nil {
		return nil
	}
	if len(c.HealthCheck.Command) == 0 {
		return ecsRefused("Container '%s': a health check needs a command.", c.Name)
	}
	for _, limit := range []struct {
		name     string
		value    *int
		min, max int
	}{
		{"interval", c.HealthCheck.Interval, 5, 300},
		{"timeout", c.HealthCheck.Timeout, 2, 60},
		{"retries", c.HealthCheck.Retries, 1, 10},
		{"startPeriod", c.HealthCheck.StartPeriod, 0, 300},
	} {
		if limit.value != nil && (*limit.value < limit.min || *limit.value > limit.max) {
			return ecsRefused("Container '%s': health check %s must be between %d and %d.", c.Name, limit.name, limit.min, limit.max)
		}
	}
	return nil
}

// checkFargate says why Fargate could not run the task.
func (in *ecsRegistration) checkFargate() error {
	if in.NetworkMode != "awsvpc" {
		return ecsRefused("Fargate only supports network mode ‘awsvpc’.")
	}
	if in.CPU == "" {
		return ecsRefused("Fargate requires that 'cpu' be defined at the task level.")
	}
	if in.Memory == "" {
		return ecsRefused("Fargate requires that 'memory' be defined at the task level.")
	}
	cpu, _ := ecsUnits(in.CPU, ecsVCPU)
	memory, _ := ecsUnits(in.Memory, ecsGB)
	if !fargateSize(cpu, memory) {
		return ecsRefused("No Fargate configuration exists for given values: %d CPU, %d memory. See the Amazon ECS documentation for the valid values.", cpu, memory)
	}
	if in.PIDMode == "host" {
		return ecsRefused("Fargate does not support pid mode ‘host’.")
	}
	if len(in.PlacementConstraints) > 0 {
		return ecsRefused("Fargate does not support placement constraints.")
	}
	if s := in.EphemeralStorage; s != nil && (s.SizeInGiB < 21 || s.SizeInGiB > 200) {
		return ecsRefused("Invalid ephemeral storage size: %d GiB, Fargate takes 21 to 200.", s.SizeInGiB)
	}
	for _, v := range in.Volumes {
		if v.Host != nil && v.Host.SourcePath != "" {
			return ecsRefused("host.sourcePath should not be set for volumes in Fargate.")
		}
		if v.DockerVolumeConfiguration != nil {
			return ecsRefused("Fargate does not support Docker volumes: '%s'", v.Name)
		}
	}
	cpus, memories := 0, 0
	for _, c := range in.ContainerDefinitions {
		if err := in.checkFargateContainer(c); err != nil {
			return err
		}
		if c.Memory > memory {
			return ecsRefused("Invalid 'memory' setting for container '%s': it is above the task's %d.", c.Name, memory)
		}
		cpus += c.CPU
		memories += c.MemoryReservation
	}
	if cpus > cpu {
		return ecsRefused("The total cpu of the containers, %d, is above the task's %d.", cpus, cpu)
	}
	if memories > memory {
		return ecsRefused("The total memoryReservation of the containers, %d, is above the task's %d.", memories, memory)
	}
	return nil
}

func (in *ecsRegistration) checkFargateContainer(c ecsContainer) error {
	if in.ExecutionRoleARN == "" && ecsECRImage.MatchString(c.Image) {
		return ecsRefused("Fargate requires task definition to have execution role ARN to support ECR images.")
	}
	if c.Privileged {
		return ecsRefused("Fargate does not support privileged containers: '%s'", c.Name)
	}
	if len(c.Links) > 0 {
		return ecsRefused("Fargate does not support links: container '%s'", c.Name)
	}
	log := c.LogConfiguration
	if log == nil {
		return nil
	}
	if !slices.Contains([]string{"awslogs", "splunk", "awsfirelens"}, log.LogDriver) {
		return ecsRefused("Fargate does not support log driver %s.", log.LogDriver)
	}
	if log.LogDriver != "awslogs" {
		return nil
	}
	if in.ExecutionRoleARN == "" {
		return ecsRefused("Fargate requires task definition to have execution role ARN to support log driver awslogs.")
	}
	for _, option := range []string{"awslogs-group", "awslogs-region", "awslogs-stream-prefix"} {
		if log.Options[option] == "" {
			return ecsRefused("Log driver awslogs requires options: %s", option)
		}
	}
	return nil
}

// fargateSize says whether Fargate has a size of so many CPU units and MiB.
func fargateSize(cpu, memory int) bool {
	between := func(low, high, step int) bool {
		return memory >= low<<10 && memory <= high<<10 && memory%(step<<10) == 0
	}
	switch cpu {
	case 256:
		return memory == 512 || memory == 1024 || memory == 2048
	case 512:
		return between(1, 4, 1)
	case 1024:
		return between(2, 8, 1)
	case 2048:
		return between(4, 16, 1)
	case 4096:
		return between(8, 30, 1)
	case 8192:
		return between(16, 60, 4)
	case 16384:
		return between(32, 120, 8)
	default:
		return false
	}
}

// fill makes what was given into what ECS answers: nulls gone, defaults in.
func (in *ecsRegistration) fill(content map[string]any, r *request) {
	dropNulls(content)
	delete(content, "tags")
	if cpu, ok := ecsUnits(in.CPU, ecsVCPU); ok {
		content["cpu"] = strconv.Itoa(cpu)
	}
	if memory, ok := ecsUnits(in.Memory, ecsGB); ok {
		content["memory"] = strconv.Itoa(memory)
	}
	for _, role := range []string{"taskRoleArn", "executionRoleArn"} {
		// A role may be given by its name alone; an empty one is none.
		switch v, _ := content[role].(string); {
		case v == "":
			delete(content, role)
		case !strings.HasPrefix(v, "arn:"):
			content[role] = fmt.Sprintf("arn:%s:iam::%s:role/%s", partition(r.region), r.account, v)
		}
	}
	fillDefault(content, "volumes", []any{})
	fillDefault(content, "placementConstraints", []any{})
	fillDefault(content, "enableFaultInjection", false)
	for _, volume := range objects(content["volumes"]) {
		if len(volume) == 1 {
			// Nothing but a name is an empty directory on the host.
			volume["host"] = map[string]any{}
		}
	}
	for _, container := range objects(content["containerDefinitions"]) {
		in.fillContainer(container)
	}
	content["compatibilities"] = in.compatibilities()
	content["requiresAttributes"] = in.attributes()
}

func (in *ecsRegistration) fillContainer(c map[string]any) {
	fillDefault(c, "cpu", 0)
	fillDefault(c, "essential", true)
	for _, list := range []string{"environment", "mountPoints", "portMappings", "systemControls", "volumesFrom"} {
		fillDefault(c, list, []any{})
	}
	for _, p := range objects(c["portMappings"]) {
		fillDefault(p, "protocol", "tcp")
		if p["containerPort"] == nil {
			continue // a range of ports, which has no host port
		}
		switch in.NetworkMode {
		case "awsvpc", "host":
			// 0 is what a port mapping without one reads as in older clients.
			p["hostPort"] = p["containerPort"]
		default:
			fillDefault(p, "hostPort", 0)
		}
	}
	if check, ok := c["healthCheck"].(map[string]any); ok {
		fillDefault(check, "interval", 30)
		fillDefault(check, "timeout", 5)
		fillDefault(check, "retries", 3)
	}
}

// compatibilities says what ECS finds the task fit to run on.
func (in *ecsRegistration) compatibilities() []string {
	fit := []string{"EC2"}
	if in.NetworkMode != "awsvpc" {
		fit = []string{"EXTERNAL", "EC2"}
	}
	if in.checkFargate() == nil {
		fit = append(fit, "FARGATE", "MANAGED_INSTANCES")
	}
	return fit
}

// attributes says what ECS wants of an instance that is to run the task: the
// ones that the fields known here lead to.
func (in *ecsRegistration) attributes() []map[string]string {
	const capability = "com.amazonaws.ecs.capability."
	want := map[string]bool{}
	if in.TaskRoleARN != "" {
		want[capability+"task-iam-role"] = true
	}
	if in.NetworkMode == "awsvpc" {
		want["ecs.capability.task-eni"] = true
		want[capability+"docker-remote-api.1.18"] = true
	}
	for _, c := range in.ContainerDefinitions {
		if ecsECRImage.MatchString(c.Image) {
			want[capability+"ecr-auth"] = true
			want[capability+"docker-remote-api.1.19"] = true
			if in.ExecutionRoleARN != "" {
				want["ecs.capability.execution-role-ecr-pull"] = true
			}
		}
		if log := c.LogConfiguration; log != nil {
			want[capability+"logging-driver."+log.LogDriver] = true
			want[capability+"docker-remote-api.1.19"] = true
			if log.LogDriver == "awslogs" && in.ExecutionRoleARN != "" {
				want["ecs.capability.execution-role-awslogs"] = true
			}
		}
		if c.HealthCheck != nil {
			want["ecs.capability.container-health-check"] = true
			want[capability+"docker-remote-api.1.29"] = true
		}
		for _, s := range c.Secrets {
			source := "ssm"
			if strings.Contains(s.ValueFrom, ":secretsmanager:") {
				source = "asm"
			}
			want["ecs.capability.secrets."+source+".environment-variables"] = true
		}
	}
	list := []map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		list = append(list, map[string]string{"name": name})
	}
	return list
}

func fillDefault(object map[string]any, key string, value any) {
	if _, ok := object[key]; !ok {
		object[key] = value
	}
}

// objects lists the objects of a JSON list.
func objects(list any) []map[string]any {
	items, _ := list.([]any)
	var found []map[string]any
	for _, item := range items {
		if object, ok := item.(map[string]any); ok {
			found = append(found, object)
		}
	}
	return found
}

// dropNulls takes away null members and elements, which mean "not given" in
// AWS's JSON protocols. Of a list, ECS drops elements that say nothing, too.
func dropNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			if member == nil {
				delete(v, key)
				continue
			}
			v[key] = dropNulls(member)
		}
	case []any:
		kept := v[:0]
		for _, element := range v {
			element = dropNulls(element)
			if object, ok := element.(map[string]any); element == nil || ok && len(object) == 0 {
				continue
			}
			kept = append(kept, element)
		}
		return kept
	}
	return v
}
