package spec

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/churn-reconcile/churn-reconcile/spec/internal/shape"
)

const (
	maxECSName       = 255
	maxStrategyItems = 20
	maxConstraints   = 10
)

var (
	ecsName  = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	ecrImage = regexp.MustCompile(`^[0-9]{12}\.dkr[.-]ecr[.a-z0-9-]*\.`)
)

func (c checker) checkCluster(n *node, cluster *ECSCluster) {
	c.checkECSName(n.get("name"), "cluster name", cluster.Name)
	settings := make(map[ecstypes.ClusterSettingName]bool)
	for i, s := range cluster.Settings {
		at := n.get("settings").item(i)
		if settings[s.Name] {
			c.errorf(at, "settings: a second %s", s.Name)
		}
		settings[s.Name] = true
		values := []string{"enabled", "disabled", "enhanced"}
		if s.Value != nil && !slices.Contains(values, *s.Value) {
			c.errorf(at.get("value"), "settings: %q is not allowed; allowed are %s%s", clip(*s.Value), oneOf(values), suggest(*s.Value, values))
		}
	}
	c.checkStrategy(n, cluster)
	if cluster.Configuration != nil {
		c.checkClusterConfiguration(n.get("configuration"), cluster.Configuration)
	}
}

func (c checker) checkECSName(n *node, what, name string) {
	switch {
	case name == "":
		c.emptyName(n, what)
	case len(name) > maxECSName:
		c.errorf(n, "%s: %d characters; ECS allows %d", what, len(name), maxECSName)
	case !ecsName.MatchString(name):
		c.errorf(n, "%s: %q: allowed are letters, digits, _ and -", what, clip(name))
	}
}

func (c checker) checkStrategy(n *node, cluster *ECSCluster) {
	for i, p := range cluster.CapacityProviders {
		if slices.Index(cluster.CapacityProviders, p) < i {
			c.errorf(n.get("capacityProviders").item(i), "capacityProviders: %q is listed twice", clip(p))
		}
	}
	list := n.get("defaultCapacityProviderStrategy")
	if len(cluster.DefaultCapacityProviderStrategy) > maxStrategyItems {
		c.errorf(list, "defaultCapacityProviderStrategy: %d items; ECS allows %d", len(cluster.DefaultCapacityProviderStrategy), maxStrategyItems)
	}
	based := false
	for i, item := range cluster.DefaultCapacityProviderStrategy {
		at := list.item(i)
		if at.kind != mapping {
			continue
		}
		if item.CapacityProvider != nil && !slices.Contains(cluster.CapacityProviders, *item.CapacityProvider) {
			c.errorf(at.get("capacityProvider"), "defaultCapacityProviderStrategy: %q is not among the cluster's capacityProviders%s",
				clip(*item.CapacityProvider), suggest(*item.CapacityProvider, cluster.CapacityProviders))
		}
		if item.Weight < 0 || item.Weight > 1000 {
			c.errorf(at.get("weight"), "weight: %d; ECS allows 0 to 1000", item.Weight)
		}
		if item.Base < 0 || item.Base > 100000 {
			c.errorf(at.get("base"), "base: %d; ECS allows 0 to 100000", item.Base)
		}
		if item.Base > 0 && based {
			c.errorf(at.get("base"), "base: only one item of a strategy can have one")
		}
		based = based || item.Base > 0
	}
}

func (c checker) checkClusterConfiguration(n *node, configuration *ecstypes.ClusterConfiguration) {
	if e := configuration.ExecuteCommandConfiguration; e != nil {
		at := n.get("executeCommandConfiguration")
		c.checkKMSKey(at.get("kmsKeyId"), "kmsKeyId", e.KmsKeyId)
		if e.Logging == ecstypes.ExecuteCommandLoggingOverride && e.LogConfiguration == nil {
			c.errorf(at, "logging OVERRIDE needs a logConfiguration")
		}
		if l := e.LogConfiguration; l != nil && l.CloudWatchLogGroupName != nil {
			c.needLogGroup(at.get("logConfiguration", "cloudWatchLogGroupName"), *l.CloudWatchLogGroupName)
		}
	}
	if m := configuration.ManagedStorageConfiguration; m != nil {
		at := n.get("managedStorageConfiguration")
		c.checkKMSKey(at.get("kmsKeyId"), "kmsKeyId", m.KmsKeyId)
		c.checkKMSKey(at.get("fargateEphemeralStorageKmsKeyId"), "fargateEphemeralStorageKmsKeyId", m.FargateEphemeralStorageKmsKeyId)
	}
}

// needLogGroup: a container that logs to a group of this spec comes after it.
func (c checker) needLogGroup(n *node, name string) {
	id := ID{LogGroup, name}
	if c.byID[id] != nil {
		c.needs.add(id, n)
	}
}

func (c checker) checkTaskDefinition(n *node, t *ECSTaskDefinition) {
	c.checkECSName(n.get("family"), "family", t.Family)
	for _, role := range []struct {
		field string
		value *string
	}{{"executionRole", t.ExecutionRole}, {"taskRole", t.TaskRole}} {
		if role.value != nil && *role.value != "" {
			*role.value = c.resolveARN(n.get(role.field), role.field, *role.value, Role, roleARN)
		}
	}
	fargate := slices.Contains(t.RequiresCompatibilities, ecstypes.CompatibilityFargate)
	c.checkSizes(n, t, fargate)
	c.checkVolumes(n, t, fargate)
	c.checkContainers(n, t, fargate)
	c.checkSurroundings(n, t, fargate)
	c.checkIgnore(n.get("ignore"), t.Ignore)
	if e := t.EphemeralStorage; e != nil && (e.SizeInGiB < 21 || e.SizeInGiB > 200) {
		c.errorf(n.get("ephemeralStorage", "sizeInGiB"), "ephemeralStorage: %d GiB; Fargate allows 21 to 200", e.SizeInGiB)
	}
}

// CPUUnits is a task's cpu in units of 1/1024 of a processor, from any form
// that ECS takes: "512", "0.5 vCPU".
func CPUUnits(s string) (int, bool) { return amount(s, "vcpu") }

// MemoryMiB is a task's memory in MiB, from any form that ECS takes: "1024",
// "1 GB", "0.5GB".
func MemoryMiB(s string) (int, bool) { return amount(s, "gb") }

var decimal = regexp.MustCompile(`^([0-9]+\.?[0-9]*|\.[0-9]+)$`)

func amount(s, unit string) (int, bool) {
	whole := strings.ToLower(strings.TrimSpace(s))
	if number, ok := strings.CutSuffix(whole, unit); ok {
		number = strings.TrimSpace(number)
		f, err := strconv.ParseFloat(number, 64)
		if err != nil || !decimal.MatchString(number) || f <= 0 || f > 1<<20 {
			return 0, false
		}
		return int(f * 1024), true
	}
	i, err := strconv.Atoi(whole)
	return i, err == nil && i > 0
}

// A fargateSize is a cpu and the memory that goes with it, in MiB.
type fargateSize struct{ cpu, from, to, step int }

// fargateSizes follow
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html
func fargateSizes() []fargateSize {
	return []fargateSize{
		{256, 512, 2048, 0}, // 512, 1024, 2048
		{512, 1024, 4096, 1024},
		{1024, 2048, 8192, 1024},
		{2048, 4096, 16384, 1024},
		{4096, 8192, 30720, 1024},
		{8192, 16384, 61440, 4096},
		{16384, 32768, 122880, 8192},
	}
}

func (s fargateSize) allows(memory int) bool {
	if s.step == 0 {
		return memory == 512 || memory == 1024 || memory == 2048
	}
	return memory >= s.from && memory <= s.to && memory%s.step == 0
}

func (s fargateSize) String() string {
	if s.step == 0 {
		return "512, 1024 or 2048"
	}
	return fmt.Sprintf("%d to %d in steps of %d", s.from, s.to, s.step)
}

func (c checker) checkSizes(n *node, t *ECSTaskDefinition, fargate bool) {
	cpu, cpuOK := CPUUnits(t.CPU)
	if t.CPU != "" && !cpuOK {
		c.errorf(n.get("cpu"), "cpu: %q is no size; write units like 512 or processors like \"0.5 vCPU\"", clip(t.CPU))
	}
	memory, memoryOK := MemoryMiB(t.Memory)
	if t.Memory != "" && !memoryOK {
		c.errorf(n.get("memory"), "memory: %q is no size; write MiB like 1024 or \"1 GB\"", clip(t.Memory))
	}
	if !fargate {
		return
	}
	if t.NetworkMode != string(ecstypes.NetworkModeAwsvpc) && !n.get("networkMode").bad {
		c.errorf(n.get("networkMode"), "FARGATE needs networkMode: awsvpc")
	}
	for _, name := range []string{"cpu", "memory"} {
		if have := n.field(name); have == nil || have.isNull() {
			c.errorf(n.get(name), "FARGATE needs %s", name)
		}
	}
	if !cpuOK {
		return
	}
	var cpus []string
	for _, s := range fargateSizes() {
		cpus = append(cpus, strconv.Itoa(s.cpu))
		if s.cpu != cpu {
			continue
		}
		if memoryOK && !s.allows(memory) {
			c.errorf(n.get("memory"), "memory: Fargate has no %d MiB with cpu %d; there is %s", memory, cpu, s)
		}
		return
	}
	c.errorf(n.get("cpu"), "cpu: Fargate has no %d; there are %s", cpu, oneOf(cpus))
}

func (c checker) checkVolumes(n *node, t *ECSTaskDefinition, fargate bool) {
	names := make(map[string]bool)
	for i, v := range t.Volumes {
		at := n.get("volumes").item(i)
		if at.kind != mapping {
			continue
		}
		if v.Name != nil {
			if names[*v.Name] {
				c.errorf(at.get("name"), "volumes: a second %q", clip(*v.Name))
			}
			names[*v.Name] = true
		}
		if fargate && v.DockerVolumeConfiguration != nil {
			c.errorf(at.key("dockerVolumeConfiguration"), "volumes: Fargate has no docker volumes")
		}
		if fargate && v.Host != nil && v.Host.SourcePath != nil {
			c.errorf(at.get("host", "sourcePath"), "volumes: Fargate has no host to take a path of")
		}
	}
}

func (c checker) checkContainers(n *node, t *ECSTaskDefinition, fargate bool) {
	list := n.get("containerDefinitions")
	if list.kind != sequence {
		return
	}
	if len(t.ContainerDefinitions) == 0 {
		c.errorf(list, "containerDefinitions: a task needs at least one container")
		return
	}
	var names []string
	for _, container := range t.ContainerDefinitions {
		if container.Name != nil {
			names = append(names, *container.Name)
		}
	}
	var volumes []string
	for _, v := range t.Volumes {
		if v.Name != nil {
			volumes = append(volumes, *v.Name)
		}
	}
	essential := false
	for i, container := range t.ContainerDefinitions {
		at := list.item(i)
		if at.kind != mapping {
			essential = true // who knows
			continue
		}
		essential = essential || container.Essential == nil || *container.Essential
		if container.Name != nil {
			c.checkECSName(at.get("name"), "container name", *container.Name)
			if slices.ContainsFunc(t.ContainerDefinitions[:i], func(o ecstypes.ContainerDefinition) bool {
				return o.Name != nil && *o.Name == *container.Name
			}) {
				c.errorf(at.get("name"), "containerDefinitions: a second %q", clip(*container.Name))
			}
		}
		if container.Image != nil && *container.Image == "" {
			c.emptyName(at.get("image"), "image")
		}
		for j, m := range container.MountPoints {
			if m.SourceVolume != nil && !slices.Contains(volumes, *m.SourceVolume) {
				c.errorf(at.get("mountPoints").item(j).get("sourceVolume"), "mountPoints: there is no volume %q%s", clip(*m.SourceVolume), suggest(*m.SourceVolume, volumes))
			}
		}
		for j, d := range container.DependsOn {
			if d.ContainerName != nil && !slices.Contains(names, *d.ContainerName) {
				c.errorf(at.get("dependsOn").item(j).get("containerName"), "dependsOn: there is no container %q%s", clip(*d.ContainerName), suggest(*d.ContainerName, names))
			}
		}
		c.checkPorts(at.get("portMappings"), container.PortMappings, t.NetworkMode)
		c.checkLogging(at, container.LogConfiguration, fargate)
		c.checkNamedValues(at, container)
		if fargate && !n.get("executionRole").bad {
			c.checkOnFargate(at, container, t)
		}
	}
	if !essential {
		c.errorf(list, "containerDefinitions: at least one container has to be essential")
	}
}

// checkSurroundings holds what says where a task runs and beside what,
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html
func (c checker) checkSurroundings(n *node, t *ECSTaskDefinition, fargate bool) {
	if fargate && t.PIDMode == string(ecstypes.PidModeHost) {
		c.errorf(n.get("pidMode"), "pidMode: Fargate has no host to see the processes of; there is task")
	}
	if t.EnableFaultInjection != nil && *t.EnableFaultInjection && !n.get("networkMode").bad &&
		!slices.Contains([]string{"awsvpc", "host"}, t.NetworkMode) {
		c.errorf(n.get("enableFaultInjection"), "enableFaultInjection needs networkMode: awsvpc or host")
	}
	at := n.get("placementConstraints")
	switch constraints := t.PlacementConstraints; {
	case fargate && len(constraints) > 0:
		c.errorf(n.key("placementConstraints"), "placementConstraints: Fargate places tasks itself")
	case len(constraints) > maxConstraints:
		c.errorf(at, "placementConstraints: %d; ECS allows %d", len(constraints), maxConstraints)
	}
	for i, p := range t.PlacementConstraints {
		if item := at.item(i); item.kind == mapping && !item.has("expression") {
			c.errorf(item, "placementConstraints: %s needs an expression", cmp.Or(p.Type, ecstypes.TaskDefinitionPlacementConstraintTypeMemberOf))
		}
	}
	if t.ProxyConfiguration != nil {
		c.checkProxy(n.get("proxyConfiguration"), t)
	}
}

// checkProxy wants the proxy to be one of the task's containers.
func (c checker) checkProxy(n *node, t *ECSTaskDefinition) {
	name := t.ProxyConfiguration.ContainerName
	if name == nil || t.ContainerDefinitions == nil {
		return
	}
	var names []string
	for _, container := range t.ContainerDefinitions {
		if container.Name != nil {
			names = append(names, *container.Name)
		}
	}
	if !slices.Contains(names, *name) {
		c.errorf(n.get("containerName"), "proxyConfiguration: there is no container %q%s", clip(*name), suggest(*name, names))
	}
}

func (c checker) checkPorts(n *node, ports []ecstypes.PortMapping, networkMode string) {
	for i, p := range ports {
		at := n.item(i)
		for _, port := range []struct {
			field string
			value *int32
		}{{"containerPort", p.ContainerPort}, {"hostPort", p.HostPort}} {
			if port.value != nil && (*port.value < 0 || *port.value > 65535) {
				c.errorf(at.get(port.field), "%s: %d is no port", port.field, *port.value)
			}
		}
		if networkMode == string(ecstypes.NetworkModeAwsvpc) && p.HostPort != nil && p.ContainerPort != nil &&
			*p.HostPort != 0 && *p.HostPort != *p.ContainerPort {
			c.errorf(at.get("hostPort"), "hostPort: with awsvpc it is the containerPort, %d, or left out", *p.ContainerPort)
		}
	}
}

// checkNamedValues: ECS refuses a secret that shares its name with a variable,
// and of two variables of one name a container sees only one.
func (c checker) checkNamedValues(n *node, container ecstypes.ContainerDefinition) {
	seen := make(map[string]bool)
	check := func(at *node, name *string) {
		if name == nil {
			return
		}
		if seen[*name] {
			c.errorf(at.get("name"), "a second variable %q in one container", clip(*name))
		}
		seen[*name] = true
	}
	for i, e := range container.Environment {
		check(n.get("environment").item(i), e.Name)
	}
	for i, s := range container.Secrets {
		check(n.get("secrets").item(i), s.Name)
	}
}

func (c checker) checkLogging(n *node, l *ecstypes.LogConfiguration, fargate bool) {
	if l == nil {
		return
	}
	at := n.get("logConfiguration")
	onFargate := []ecstypes.LogDriver{ecstypes.LogDriverAwslogs, ecstypes.LogDriverSplunk, ecstypes.LogDriverAwsfirelens}
	if fargate && l.LogDriver != "" && !slices.Contains(onFargate, l.LogDriver) {
		c.errorf(at.get("logDriver"), "logDriver: Fargate has no %s; there are awslogs, splunk and awsfirelens", l.LogDriver)
	}
	if l.LogDriver != ecstypes.LogDriverAwslogs {
		return
	}
	options := at.get("options")
	required := []string{"awslogs-group", "awslogs-region"}
	if fargate {
		required = append(required, "awslogs-stream-prefix")
	}
	for _, name := range required {
		if options.field(name) == nil {
			c.errorf(options, "logConfiguration: awslogs needs the option %s", name)
		}
	}
	if group, ok := l.Options["awslogs-group"]; ok {
		c.needLogGroup(options.get("awslogs-group"), group)
	}
}

// checkOnFargate refuses what RegisterTaskDefinition refuses for Fargate.
func (c checker) checkOnFargate(n *node, container ecstypes.ContainerDefinition, t *ECSTaskDefinition) {
	if container.Privileged != nil && *container.Privileged {
		c.errorf(n.get("privileged"), "privileged: Fargate has no privileged containers")
	}
	if len(container.Links) > 0 {
		c.errorf(n.get("links"), "links: not with awsvpc; containers of a task meet on localhost")
	}
	if t.ExecutionRole != nil && *t.ExecutionRole != "" || n.kind != mapping {
		return
	}
	// "Fargate requires task definition to have execution role ARN to support
	// ECR images", and likewise for the others.
	why := ""
	switch {
	case container.LogConfiguration != nil && container.LogConfiguration.LogDriver == ecstypes.LogDriverAwslogs:
		why = "the log driver awslogs"
	case len(container.Secrets) > 0:
		why = "secrets"
	case container.Image != nil && ecrImage.MatchString(*container.Image):
		why = "an image in ECR"
	default:
		return
	}
	c.errorf(n, "FARGATE needs an executionRole for %s", why)
}

// checkIgnore holds each path to the fields that a task definition has, so
// that a misspelt one does not let a difference through the wrong door.
func (c checker) checkIgnore(n *node, paths []string) {
	for i, path := range paths {
		at := n.item(i)
		if at.kind != scalar || at.bad {
			continue
		}
		t := reflect.TypeFor[ECSTaskDefinition]()
		segments := SplitPath(path)
		if slices.Contains([]string{"family", "ignore", "tags"}, segments[0]) {
			c.errorf(at, "ignore: %s cannot be ignored", segments[0])
			continue
		}
		for _, s := range segments {
			for t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			hint := ""
			switch {
			case s == "":
				hint = "; a name is empty"
			case t.Kind() == reflect.Slice || t.Kind() == reflect.Map:
				t = t.Elem() // any index or name, or *
				continue
			case t.Kind() == reflect.Struct:
				var names []string
				found := false
				for _, f := range shape.Fields(t) {
					names = append(names, f.Name)
					if f.Name == s {
						t, found = f.Type, true
						break
					}
				}
				if found {
					continue
				}
				hint = suggest(s, names)
			}
			c.errorf(at, "ignore: %q: a task definition has no %q there; a path looks like containerDefinitions.*.image%s", clip(path), clip(s), hint)
			break
		}
	}
}
