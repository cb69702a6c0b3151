package ecs

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/churn-reconcile/churn-reconcile/reconcile"
	"github.com/churn-reconcile/churn-reconcile/reconcile/awsx"
	"github.com/churn-reconcile/churn-reconcile/spec"
)

const roleARN = "arn:aws:iam::123456789012:role/exec"

func environment() reconcile.Env {
	return reconcile.Env{
		Account: "123456789012", Region: "eu-north-1", Partition: "aws", Stack: "churn/dev",
		Pause: func(context.Context, time.Duration) error { return nil },
	}
}

func container() types.ContainerDefinition {
	return types.ContainerDefinition{Name: aws.String("web"), Image: aws.String("repo:1")}
}

// wished is a task definition as a spec has it.
func wished() spec.ECSTaskDefinition {
	return spec.ECSTaskDefinition{
		Family: "task", NetworkMode: "awsvpc", CPU: "512", Memory: "1024",
		RequiresCompatibilities: []types.Compatibility{types.CompatibilityFargate},
		ExecutionRole:           aws.String(roleARN),
		ContainerDefinitions:    []types.ContainerDefinition{container()},
	}
}

// answered is the same one as AWS answers it.
func answered() *types.TaskDefinition {
	return &types.TaskDefinition{
		TaskDefinitionArn: aws.String("arn:aws:ecs:eu-north-1:123456789012:task-definition/task:3"),
		Family:            aws.String("task"), Revision: 3, Status: types.TaskDefinitionStatusActive,
		NetworkMode: types.NetworkModeAwsvpc, Cpu: aws.String("512"), Memory: aws.String("1024"),
		RequiresCompatibilities: []types.Compatibility{types.CompatibilityFargate},
		Compatibilities:         []types.Compatibility{types.CompatibilityEc2, types.CompatibilityFargate},
		RequiresAttributes:      []types.Attribute{{Name: aws.String("com.amazonaws.ecs.capability.docker-remote-api.1.18")}},
		RegisteredAt:            aws.Time(time.Unix(1, 0)), RegisteredBy: aws.String("arn:aws:iam::123456789012:root"),
		ExecutionRoleArn: aws.String(roleARN),
		Volumes:          []types.Volume{}, PlacementConstraints: []types.TaskDefinitionPlacementConstraint{},
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("web"), Image: aws.String("repo:1"), Cpu: 0, Essential: aws.Bool(true),
			Environment: []types.KeyValuePair{}, MountPoints: []types.MountPoint{}, PortMappings: []types.PortMapping{},
			VolumesFrom: []types.VolumeFrom{}, SystemControls: []types.SystemControl{},
		}},
	}
}

func owned() map[string]string { return map[string]string{reconcile.Mark: "churn/dev"} }

// between lists the steps from a revision, none where it is nil, to want.
func between(api TaskDefinitionAPI, revision *types.TaskDefinition, tags map[string]string, want spec.ECSTaskDefinition) ([]reconcile.Step, error) {
	kind := TaskDefinitions{api, environment()}
	var live liveTaskDefinition
	if revision != nil {
		live = kind.live(*revision)
		live.Is.Tags = tags
	}
	return reconcile.Between(kind, environment(), live, want)
}

func paths(steps []reconcile.Step) []string {
	var all []string
	for _, s := range steps {
		for _, d := range s.Diffs {
			all = append(all, d.Path)
		}
	}
	return all
}

// calls are those that mend a line. The one that records what was applied has
// none.
func calls(steps []reconcile.Step) []string {
	var all []string
	for _, s := range steps {
		if len(s.Diffs) > 0 {
			all = append(all, s.Call)
		}
	}
	return all
}

// twins are a pair of a spec and an answer that mean the same, and what has to
// be reported once they do not.
type twins struct {
	name string
	want func(*spec.ECSTaskDefinition)
	live func(*types.TaskDefinition)

	differ func(*spec.ECSTaskDefinition) // a change of the spec from there
	paths  []string                      // is reported as these
}

func first(change func(*types.ContainerDefinition)) func(*spec.ECSTaskDefinition) {
	return func(w *spec.ECSTaskDefinition) { change(&w.ContainerDefinitions[0]) }
}

func firstLive(change func(*types.ContainerDefinition)) func(*types.TaskDefinition) {
	return func(w *types.TaskDefinition) { change(&w.ContainerDefinitions[0]) }
}

func TestTaskDefinitionsAreEquivalent(t *testing.T) {
	t.Parallel()
	type (
		want = spec.ECSTaskDefinition
		live = types.TaskDefinition
		c    = types.ContainerDefinition
	)
	pair := func(name, value string) types.KeyValuePair {
		return types.KeyValuePair{Name: &name, Value: &value}
	}
	secret := func(name, from string) types.Secret { return types.Secret{Name: &name, ValueFrom: &from} }
	port := func(container, host int32, protocol types.TransportProtocol) types.PortMapping {
		p := types.PortMapping{ContainerPort: &container, Protocol: protocol}
		if host >= 0 {
			p.HostPort = &host
		}
		return p
	}
	mount := func(volume, path string) types.MountPoint {
		return types.MountPoint{SourceVolume: &volume, ContainerPath: &path}
	}
	depends := func(name string) types.ContainerDependency {
		return types.ContainerDependency{ContainerName: &name, Condition: types.ContainerConditionStart}
	}
	const in = "containerDefinitions[web]."

	tests := []twins{
		{
			name:   "what ECS adds to every answer",
			differ: first(func(c *c) { c.Image = aws.String("repo:2") }),
			paths:  []string{in + "image"},
		},
		{
			name:   "essential by default",
			live:   firstLive(func(c *c) { c.Essential = aws.Bool(true) }),
			differ: first(func(c *c) { c.Essential = aws.Bool(false) }),
			paths:  []string{in + "essential"},
		},
		{
			name: "switches that are off by default",
			want: first(func(c *c) { c.Privileged, c.ReadonlyRootFilesystem = aws.Bool(false), aws.Bool(false) }),
			differ: first(func(c *c) {
				c.ReadonlyRootFilesystem = aws.Bool(true)
			}),
			paths: []string{in + "readonlyRootFilesystem"},
		},
		{
			name:   "cpu 0 is no cpu",
			want:   first(func(c *c) { c.Cpu = 0 }),
			differ: first(func(c *c) { c.Cpu = 128 }),
			paths:  []string{in + "cpu"},
		},
		{
			name:   "vCPU and GB",
			want:   func(w *want) { w.CPU, w.Memory = "0.5 vCPU", "1GB" },
			differ: func(w *want) { w.CPU, w.Memory = "1 vCPU", "2 GB" },
			paths:  []string{"cpu", "memory"},
		},
		{
			name:   "hostPort is containerPort with awsvpc, protocol is tcp",
			want:   first(func(c *c) { c.PortMappings = []types.PortMapping{port(80, -1, "")} }),
			live:   firstLive(func(c *c) { c.PortMappings = []types.PortMapping{port(80, 80, "tcp")} }),
			differ: first(func(c *c) { c.PortMappings = []types.PortMapping{port(80, -1, "udp")} }),
			paths: []string{
				in + "portMappings.80/tcp.containerPort", in + "portMappings.80/tcp.hostPort", in + "portMappings.80/tcp.protocol",
				in + "portMappings.80/udp.containerPort", in + "portMappings.80/udp.hostPort", in + "portMappings.80/udp.protocol",
			},
		},
		{
			name:   "hostPort 0 with awsvpc",
			want:   first(func(c *c) { c.PortMappings = []types.PortMapping{port(80, 0, "")} }),
			live:   firstLive(func(c *c) { c.PortMappings = []types.PortMapping{port(80, 80, "tcp")} }),
			differ: first(func(c *c) { c.PortMappings = nil }),
			paths: []string{
				in + "portMappings.80/tcp.containerPort", in + "portMappings.80/tcp.hostPort", in + "portMappings.80/tcp.protocol",
			},
		},
		{
			name: "hostPort is dynamic with bridge",
			want: func(w *want) {
				w.NetworkMode, w.RequiresCompatibilities = "bridge", []types.Compatibility{}
				w.ContainerDefinitions[0].PortMappings = []types.PortMapping{port(80, -1, "")}
			},
			live: func(l *live) {
				l.NetworkMode, l.RequiresCompatibilities = types.NetworkModeBridge, nil
				l.ContainerDefinitions[0].PortMappings = []types.PortMapping{port(80, 0, "tcp")}
			},
			differ: first(func(c *c) { c.PortMappings = []types.PortMapping{port(80, 80, "")} }),
			paths:  []string{in + "portMappings.80/tcp.hostPort"},
		},
		{
			name: "the defaults of a health check",
			want: first(func(c *c) { c.HealthCheck = &types.HealthCheck{Command: []string{"CMD", "true"}} }),
			live: firstLive(func(c *c) {
				c.HealthCheck = &types.HealthCheck{
					Command: []string{"CMD", "true"}, Interval: aws.Int32(30), Timeout: aws.Int32(5), Retries: aws.Int32(3), StartPeriod: aws.Int32(0),
				}
			}),
			differ: first(func(c *c) {
				c.HealthCheck = &types.HealthCheck{Command: []string{"CMD", "true"}, Interval: aws.Int32(10), StartPeriod: aws.Int32(60)}
			}),
			paths: []string{in + "healthCheck.interval", in + "healthCheck.startPeriod"},
		},
		{
			name: "the order of variables and secrets",
			want: first(func(c *c) {
				c.Environment = []types.KeyValuePair{pair("A", "1"), pair("B", "")}
				c.Secrets = []types.Secret{secret("C", "arn:c"), secret("D", "arn:d")}
			}),
			live: firstLive(func(c *c) {
				c.Environment = []types.KeyValuePair{pair("B", ""), pair("A", "1")}
				c.Secrets = []types.Secret{secret("D", "arn:d"), secret("C", "arn:c")}
			}),
			differ: first(func(c *c) {
				c.Environment = []types.KeyValuePair{pair("A", "2")}
				c.Secrets = []types.Secret{secret("C", "arn:other"), secret("D", "arn:d")}
			}),
			paths: []string{in + "environment.A", in + "environment.B", in + "secrets.C"},
		},
		{
			name:   "a variable without a value is one with an empty value",
			want:   first(func(c *c) { c.Environment = []types.KeyValuePair{{Name: aws.String("A")}} }),
			live:   firstLive(func(c *c) { c.Environment = []types.KeyValuePair{pair("A", "")} }),
			differ: first(func(c *c) { c.Environment = nil }),
			paths:  []string{in + "environment.A"},
		},
		{
			name: "the order of ports, mounts and volumes",
			want: func(w *want) {
				w.Volumes = []types.Volume{{Name: aws.String("v1")}, {Name: aws.String("v2")}}
				w.ContainerDefinitions[0].PortMappings = []types.PortMapping{port(80, 80, "tcp"), port(53, 53, "udp"), port(53, 53, "tcp")}
				w.ContainerDefinitions[0].MountPoints = []types.MountPoint{mount("v1", "/1"), mount("v2", "/2")}
				w.ContainerDefinitions[0].VolumesFrom = []types.VolumeFrom{{SourceContainer: aws.String("a")}, {SourceContainer: aws.String("b")}}
			},
			live: func(l *live) {
				l.Volumes = []types.Volume{{Name: aws.String("v2"), Host: &types.HostVolumeProperties{}}, {Name: aws.String("v1")}}
				l.ContainerDefinitions[0].PortMappings = []types.PortMapping{port(53, 53, "tcp"), port(53, 53, "udp"), port(80, 80, "tcp")}
				second := mount("v2", "/2")
				second.ReadOnly = aws.Bool(false)
				l.ContainerDefinitions[0].MountPoints = []types.MountPoint{second, mount("v1", "/1")}
				l.ContainerDefinitions[0].VolumesFrom = []types.VolumeFrom{
					{SourceContainer: aws.String("b"), ReadOnly: aws.Bool(false)}, {SourceContainer: aws.String("a")},
				}
			},
			differ: first(func(c *c) {
				c.MountPoints[1].ReadOnly = aws.Bool(true)
				c.VolumesFrom[0].ReadOnly = aws.Bool(true)
			}),
			paths: []string{in + "mountPoints./2.readOnly", in + "volumesFrom.a.readOnly"},
		},
		{
			name: "the order of containers and compatibilities",
			want: func(w *want) {
				w.RequiresCompatibilities = []types.Compatibility{types.CompatibilityEc2, types.CompatibilityFargate}
				w.ContainerDefinitions = append(w.ContainerDefinitions, c{Name: aws.String("log"), Image: aws.String("log:1")})
			},
			live: func(l *live) {
				l.RequiresCompatibilities = []types.Compatibility{types.CompatibilityFargate, types.CompatibilityEc2}
				l.ContainerDefinitions = []c{{Name: aws.String("log"), Image: aws.String("log:1")}, l.ContainerDefinitions[0]}
			},
			differ: func(w *want) {
				w.RequiresCompatibilities = []types.Compatibility{types.CompatibilityFargate}
				w.ContainerDefinitions[1].Image = aws.String("log:2")
			},
			paths: []string{"containerDefinitions[log].image", "requiresCompatibilities.EC2"},
		},
		{
			name: "the order of words and of dependencies has a meaning",
			want: first(func(c *c) {
				c.Command, c.EntryPoint = []string{"a", "b"}, []string{"c", "d"}
				c.DependsOn = []types.ContainerDependency{depends("x"), depends("y")}
			}),
			live: firstLive(func(c *c) {
				c.Command, c.EntryPoint = []string{"a", "b"}, []string{"c", "d"}
				c.DependsOn = []types.ContainerDependency{depends("x"), depends("y")}
			}),
			differ: first(func(c *c) {
				slices.Reverse(c.Command)
				slices.Reverse(c.EntryPoint)
				slices.Reverse(c.DependsOn)
			}),
			paths: []string{
				in + "command[0]", in + "command[1]", in + "dependsOn[0].containerName", in + "dependsOn[1].containerName",
				in + "entryPoint[0]", in + "entryPoint[1]",
			},
		},
		{
			name:   "no list is an empty list",
			want:   first(func(c *c) { c.Environment, c.Command = []types.KeyValuePair{}, []string{} }),
			differ: first(func(c *c) { c.Command = []string{"run"} }),
			paths:  []string{in + "command[0]"},
		},
		{
			name:   "a role that was registered by its name",
			live:   func(l *live) { l.ExecutionRoleArn = aws.String("exec") },
			differ: func(w *want) { w.ExecutionRole = aws.String("arn:aws:iam::123456789012:role/path/exec") },
			paths:  []string{"executionRoleArn"},
		},
		{
			name:   "no role is wanted",
			want:   func(w *want) { w.TaskRole = aws.String("") },
			differ: func(w *want) { w.ExecutionRole = aws.String("") },
			paths:  []string{"executionRoleArn"},
		},
		{
			name: "what the spec leaves out",
			want: func(w *want) { w.CPU, w.ExecutionRole, w.RequiresCompatibilities = "", nil, nil },
			live: func(l *live) {
				l.PidMode, l.EphemeralStorage = types.PidModeTask, &types.EphemeralStorage{SizeInGiB: 30}
			},
			differ: func(w *want) { w.EphemeralStorage = &types.EphemeralStorage{SizeInGiB: 40} },
			paths:  []string{"ephemeralStorage.sizeInGiB"},
		},
		{
			name: "a field of a container that the SDK got later is not hidden",
			live: firstLive(func(c *c) { c.RestartPolicy = &types.ContainerRestartPolicy{Enabled: aws.Bool(true)} }),
			want: first(func(c *c) {
				c.RestartPolicy = &types.ContainerRestartPolicy{Enabled: aws.Bool(true), RestartAttemptPeriod: aws.Int32(300)}
			}),
			differ: first(func(c *c) { c.RestartPolicy = nil }),
			paths:  []string{in + "restartPolicy.enabled", in + "restartPolicy.restartAttemptPeriod"},
		},
		{
			name: "the defaults of an EFS volume",
			want: func(w *want) {
				w.Volumes = []types.Volume{{Name: aws.String("v"), EfsVolumeConfiguration: &types.EFSVolumeConfiguration{FileSystemId: aws.String("fs-1")}}}
			},
			live: func(l *live) {
				l.Volumes = []types.Volume{{Name: aws.String("v"), EfsVolumeConfiguration: &types.EFSVolumeConfiguration{
					FileSystemId: aws.String("fs-1"), RootDirectory: aws.String("/"), TransitEncryption: types.EFSTransitEncryptionDisabled,
				}}}
			},
			differ: func(w *want) {
				w.Volumes[0].EfsVolumeConfiguration.TransitEncryption = types.EFSTransitEncryptionEnabled
			},
			paths: []string{"volumes[v].efsVolumeConfiguration.transitEncryption"},
		},
		{
			name: "the defaults of a platform",
			want: func(w *want) {
				w.RuntimePlatform = &types.RuntimePlatform{OperatingSystemFamily: types.OSFamilyLinux}
			},
			live: func(l *live) {
				l.RuntimePlatform = &types.RuntimePlatform{OperatingSystemFamily: types.OSFamilyLinux, CpuArchitecture: types.CPUArchitectureX8664}
			},
			differ: func(w *want) {
				w.RuntimePlatform = &types.RuntimePlatform{CpuArchitecture: types.CPUArchitectureArm64}
			},
			paths: []string{"runtimePlatform.cpuArchitecture"},
		},
		{
			name: "images are ignored",
			want: func(w *want) { w.Ignore = []string{"containerDefinitions.*.image"} },
			live: firstLive(func(c *c) { c.Image = aws.String("repo:by-ci") }),
			differ: func(w *want) {
				w.ContainerDefinitions = append(w.ContainerDefinitions, types.ContainerDefinition{Name: aws.String("new"), Image: aws.String("new:1")})
			},
			paths: []string{"containerDefinitions[new].essential", "containerDefinitions[new].image", "containerDefinitions[new].name"},
		},
		{
			name: "one container's image is ignored, by the name that a report shows",
			want: func(w *want) {
				w.Ignore = []string{"containerDefinitions[web].image"}
				w.ContainerDefinitions = append(w.ContainerDefinitions, c{Name: aws.String("log"), Image: aws.String("log:1")})
			},
			live: func(l *live) {
				l.ContainerDefinitions[0].Image = aws.String("repo:by-ci")
				l.ContainerDefinitions = append(l.ContainerDefinitions, c{Name: aws.String("log"), Image: aws.String("log:1")})
			},
			differ: func(w *want) {
				w.ContainerDefinitions[0].Image = aws.String("repo:3")
				w.ContainerDefinitions[1].Image = aws.String("log:2")
			},
			paths: []string{"containerDefinitions[log].image"},
		},
		{
			name: "a variable is ignored, be it added, changed or gone",
			want: func(w *want) {
				w.Ignore = []string{
					"containerDefinitions.*.environment.ADDED", "containerDefinitions.web.environment.CHANGED.value", "containerDefinitions[web].environment[GONE]",
				}
				w.ContainerDefinitions[0].Environment = []types.KeyValuePair{pair("A", "1"), pair("CHANGED", "by the spec"), pair("GONE", "1")}
			},
			live: firstLive(func(c *c) {
				c.Environment = []types.KeyValuePair{pair("CHANGED", "by hand"), pair("ADDED", "1"), pair("A", "1")}
			}),
			differ: first(func(c *c) { c.Environment[0] = pair("A", "2") }),
			paths:  []string{in + "environment.A"},
		},
		{
			name: "a label with dots is ignored",
			want: func(w *want) {
				w.Ignore = []string{"containerDefinitions.*.dockerLabels[com.example.build]"}
				w.ContainerDefinitions[0].DockerLabels = map[string]string{"com.example.build": "1", "team": "ml"}
			},
			live: firstLive(func(c *c) { c.DockerLabels = map[string]string{"com.example.build": "2", "team": "ml"} }),
			differ: first(func(c *c) {
				c.DockerLabels = map[string]string{"com.example.build": "1", "team": "web"}
			}),
			paths: []string{in + "dockerLabels.team"},
		},
		{
			name:   "fields of the top are ignored, a role by the spec's name for it",
			want:   func(w *want) { w.Ignore, w.CPU = []string{"cpu", "executionRole"}, "1024" },
			live:   func(l *live) { l.ExecutionRoleArn = aws.String(roleARN + "-by-hand") },
			differ: func(w *want) { w.Memory = "2048" },
			paths:  []string{"memory"},
		},
		{
			name:   "an ignored field that is not live stays away",
			want:   func(w *want) { w.Ignore, w.TaskRole = []string{"taskRole"}, aws.String(roleARN) },
			differ: func(w *want) { w.Ignore = nil },
			paths:  []string{"taskRoleArn"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want, live := wished(), answered()
			if tt.want != nil {
				tt.want(&want)
			}
			if tt.live != nil {
				tt.live(live)
			}
			steps, err := between(nil, live, owned(), want)
			if err != nil {
				t.Fatal(err)
			}
			if len(steps) > 0 {
				t.Errorf("a difference where there is none: %v", steps[0].Diffs)
			}

			tt.differ(&want)
			steps, err = between(nil, live, owned(), want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]string{"ecs:RegisterTaskDefinition"}, calls(steps)); d != "" {
				t.Fatalf("calls, want (-), got (+):\n%s", d)
			}
			if d := cmp.Diff(tt.paths, paths(steps)); d != "" {
				t.Errorf("paths, want (-), got (+):\n%s", d)
			}
		})
	}
}

// A field that AWS adds to task definitions is carried into the next revision,
// and drift in it is no difference only as long as the spec does not have it.
func TestUnmanagedFieldsAreCarried(t *testing.T) {
	t.Parallel()
	live := answered()
	live.EnableFaultInjection = aws.Bool(true)
	live.IpcMode = types.IpcModeTask
	live.ProxyConfiguration = &types.ProxyConfiguration{ContainerName: aws.String("envoy"), Type: types.ProxyConfigurationTypeAppmesh}
	want := wished()
	want.Memory = "2048"
	had := map[string]string{reconcile.Mark: "churn/dev", "by": "hand", "aws:x": "1"}
	got := registered(t, live, had, want)

	if !aws.ToBool(got.EnableFaultInjection) || got.IpcMode != types.IpcModeTask || got.ProxyConfiguration == nil {
		t.Errorf("lost: %+v", got)
	}
	if aws.ToString(got.Memory) != "2048" || aws.ToString(got.Cpu) != "512" {
		t.Errorf("memory %s, cpu %s; want 2048, 512", aws.ToString(got.Memory), aws.ToString(got.Cpu))
	}
	gotTags := tags(got.Tags)
	delete(gotTags, reconcile.Applied)
	if d := cmp.Diff(map[string]string{reconcile.Mark: "churn/dev", "by": "hand"}, gotTags); d != "" {
		t.Errorf("tags, want (-), got (+):\n%s", d)
	}
}

// recorder takes registrations.
type recorder struct {
	TaskDefinitionAPI
	in *ecs.RegisterTaskDefinitionInput
}

func (r *recorder) RegisterTaskDefinition(_ context.Context, in *ecs.RegisterTaskDefinitionInput, _ ...func(*ecs.Options)) (*ecs.RegisterTaskDefinitionOutput, error) {
	r.in = in
	return &ecs.RegisterTaskDefinitionOutput{}, nil
}

func registered(t *testing.T, live *types.TaskDefinition, tags map[string]string, want spec.ECSTaskDefinition) *ecs.RegisterTaskDefinitionInput {
	t.Helper()
	rec := &recorder{}
	steps, err := between(rec, live, tags, want)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"ecs:RegisterTaskDefinition"}, calls(steps)); d != "" {
		t.Fatalf("calls, want (-), got (+):\n%s", d)
	}
	if !steps[0].Once {
		t.Error("the step is not marked Once")
	}
	if err := steps[0].Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	return rec.in
}

func TestTaskDefinitionSteps(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		want  func(*spec.ECSTaskDefinition)
		live  *types.TaskDefinition
		tags  map[string]string
		calls []string
		diffs []reconcile.Diff
	}{
		{
			name: "adopted", live: answered(),
			calls: []string{"ecs:TagResource"},
			diffs: []reconcile.Diff{{Path: "tags." + reconcile.Mark, After: "churn/dev"}},
		},
		{
			name: "tags change in place",
			want: func(w *spec.ECSTaskDefinition) { w.Tags = map[string]string{"a": "1"} },
			live: answered(), tags: map[string]string{reconcile.Mark: "churn/dev", "b": "2"},
			calls: []string{"ecs:TagResource", "ecs:UntagResource"},
			diffs: []reconcile.Diff{{Path: "tags.a", After: "1"}, {Path: "tags.b", Before: "2"}},
		},
		{
			name: "a revision takes its tags along",
			want: func(w *spec.ECSTaskDefinition) { w.CPU, w.Tags = "1024", map[string]string{"a": "1"} },
			live: answered(), tags: owned(), calls: []string{"ecs:RegisterTaskDefinition"},
			diffs: []reconcile.Diff{{Path: "cpu", Before: "512", After: "1024"}, {Path: "tags.a", After: "1"}},
		},
		{
			name: "created", want: func(w *spec.ECSTaskDefinition) { w.RequiresCompatibilities, w.ExecutionRole = nil, nil },
			calls: []string{"ecs:RegisterTaskDefinition"},
			diffs: []reconcile.Diff{
				{Path: "containerDefinitions[web].image", After: "repo:1"},
				{Path: "containerDefinitions[web].name", After: "web"},
				{Path: "cpu", After: "512"},
				{Path: "family", After: "task"},
				{Path: "memory", After: "1024"},
				{Path: "networkMode", After: "awsvpc"},
				{Path: "tags." + reconcile.Mark, After: "churn/dev"},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := wished()
			if tt.want != nil {
				tt.want(&want)
			}
			steps, err := between(nil, tt.live, tt.tags, want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.calls, calls(steps)); d != "" {
				t.Errorf("calls, want (-), got (+):\n%s", d)
			}
			var diffs []reconcile.Diff
			for _, s := range steps {
				diffs = append(diffs, s.Diffs...)
			}
			if d := cmp.Diff(tt.diffs, diffs); d != "" {
				t.Errorf("diffs, want (-), got (+):\n%s", d)
			}
		})
	}
}

func TestTaskDefinitionOfAnotherStack(t *testing.T) {
	t.Parallel()
	_, err := between(nil, answered(), map[string]string{reconcile.Mark: "churn/prod"}, wished())
	if owned, ok := errors.AsType[*reconcile.OwnedError](err); !ok || owned.Owner != "churn/prod" {
		t.Errorf("got %v, want an OwnedError", err)
	}
}

// answers serves each attempt the next answer, the last one again and again.
func answers(t *testing.T, bodies ...string) (*ecs.Client, *int) {
	t.Helper()
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body := bodies[min(n, len(bodies)-1)]
		n++
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if strings.Contains(body, "__type") {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	return ecs.New(ecs.Options{
		Region: "eu-north-1", BaseEndpoint: &srv.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	}), &n
}

func TestDescribeTaskDefinition(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer string
		exists bool
		code   string
	}{
		{"active", `{"taskDefinition": {"family": "task", "revision": 3, "status": "ACTIVE"}}`, true, ""},
		{"deregistered", `{"taskDefinition": {"family": "task", "revision": 3, "status": "INACTIVE"}}`, false, ""},
		{"never there", `{"__type": "ClientException", "message": "Unable to describe task definition."}`, false, ""},
		{"another client exception", `{"__type": "ClientException", "message": "Something else."}`, false, "ClientException"},
		{"denied", `{"__type": "AccessDeniedException", "message": "Unable to describe task definition: not authorized"}`, false, "AccessDeniedException"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api, _ := answers(t, tt.answer)
			live, err := TaskDefinitions{api, environment()}.Describe(t.Context(), wished(), false)
			if got := awsx.Code(err); got != tt.code || (err != nil) != (tt.code != "") {
				t.Fatalf("error %v, want the code %q", err, tt.code)
			}
			if got := live.Exists; got != tt.exists {
				t.Errorf("exists %t, want %t", got, tt.exists)
			}
		})
	}
}

func TestRegisterPatience(t *testing.T) {
	t.Parallel()
	const (
		done    = `{"taskDefinition": {"family": "task"}}`
		pass    = `{"__type": "AccessDeniedException", "message": "User: x is not authorized to perform: iam:PassRole on resource: y"}`
		assume  = `{"__type": "ClientException", "message": "ECS was unable to assume the role 'exec' that was provided for this task."}`
		invalid = `{"__type": "ClientException", "message": "Role is not valid"}`
		crowded = `{"__type": "ClientException", "message": "Too many concurrent attempts to create a new revision of the specified family."}`
		denied  = `{"__type": "AccessDeniedException", "message": "User: x is not authorized to perform: ecs:RegisterTaskDefinition"}`
	)
	ours := []spec.ID{{Kind: spec.Role, Name: "exec"}}
	tests := []struct {
		name    string
		needs   []spec.ID
		answers []string
		calls   int
		code    string
	}{
		{"a young role may not be passed yet", ours, []string{pass, pass, done}, 3, ""},
		{"a young role cannot be assumed yet", ours, []string{assume, done}, 2, ""},
		{"a young role is not valid yet", ours, []string{invalid, done}, 2, ""},
		{"somebody else's role may not be passed", nil, []string{pass, done}, 1, "AccessDeniedException"},
		{"somebody else's role is not valid", nil, []string{invalid, done}, 1, "ClientException"},
		{"the family is being registered", nil, []string{crowded, crowded, done}, 3, ""},
		{"denied", ours, []string{denied, done}, 1, "AccessDeniedException"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api, n := answers(t, tt.answers...)
			want := wished()
			want.Needs = tt.needs
			err := TaskDefinitions{api, environment()}.register(t.Context(), liveTaskDefinition{}, want, nil)
			if got := awsx.Code(err); got != tt.code || (err != nil) != (tt.code != "") {
				t.Errorf("error %v, want the code %q", err, tt.code)
			}
			if *n != tt.calls {
				t.Errorf("%d calls, want %d", *n, tt.calls)
			}
		})
	}
}

// Making the normal form changes nothing of what it is made of. A definition is compared with itself as in sync,
// whatever it is.
func FuzzNormal(f *testing.F) {
	f.Add("awsvpc", "0.5 vCPU", "1 GB", int32(80), int32(0), "tcp", "A", "A", "1", true)
	f.Add("bridge", "512", "1024", int32(80), int32(80), "", "A", "B", "", false)
	f.Add("", "", "x", int32(-1), int32(-1), "udp", "", "", "#2", true)
	f.Fuzz(func(t *testing.T, mode, cpu, memory string, containerPort, hostPort int32, protocol, name1, name2, value string, twice bool) {
		for _, text := range []*string{&mode, &cpu, &memory, &protocol, &name1, &name2, &value} {
			*text = strings.ToValidUTF8(*text, "?") // as YAML is
		}
		want := wished()
		want.NetworkMode, want.CPU, want.Memory = mode, cpu, memory
		c := &want.ContainerDefinitions[0]
		c.Environment = []types.KeyValuePair{{Name: &name1, Value: &value}, {Name: &name2}}
		c.PortMappings = []types.PortMapping{{ContainerPort: &containerPort, HostPort: &hostPort, Protocol: types.TransportProtocol(protocol)}}
		c.MountPoints = []types.MountPoint{{ContainerPath: &name1}, {ContainerPath: &name2}}
		c.HealthCheck = &types.HealthCheck{Command: []string{value}}
		if twice {
			c.PortMappings = append(c.PortMappings, c.PortMappings[0])
			want.ContainerDefinitions = append(want.ContainerDefinitions, *c)
		}
		want.Ignore = []string{"containerDefinitions.*.image", "containerDefinitions." + name1 + "." + name2, value}

		kind := TaskDefinitions{nil, environment()}
		before := spec.Tree(want)
		once, err := kind.Normal(want)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(before, spec.Tree(want)); d != "" {
			t.Errorf("normal changed its argument:\n%s", d)
		}

		live := &types.TaskDefinition{
			Family: &want.Family, NetworkMode: types.NetworkMode(mode), Cpu: orNone(&cpu), Memory: orNone(&memory), ExecutionRoleArn: want.ExecutionRole,
			RequiresCompatibilities: want.RequiresCompatibilities, ContainerDefinitions: want.ContainerDefinitions,
		}
		again, err := kind.Normal(kind.live(*live).Is)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(reconcile.Given(once), reconcile.Given(again)); d != "" {
			t.Errorf("wanted (-), live (+):\n%s", d)
		}
		tree := spec.ShapeTree(live)
		steps, err := between(nil, live, owned(), want)
		if err != nil {
			t.Fatal(err)
		}
		if len(steps) > 0 {
			t.Errorf("differs from itself: %v", steps[0].Diffs)
		}
		if d := cmp.Diff(tree, spec.ShapeTree(live)); d != "" {
			t.Errorf("diff changed what is live:\n%s", d)
		}
	})
}
