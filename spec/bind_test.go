package spec

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// exported compares the SDK's structs, which have a field of no meaning.
var exported = cmpopts.IgnoreUnexported(
	s3types.LifecycleRule{}, s3types.LifecycleRuleFilter{}, s3types.LifecycleRuleAndOperator{}, s3types.Tag{},
	s3types.LifecycleExpiration{}, s3types.Transition{},
	ecstypes.ContainerDefinition{}, ecstypes.KeyValuePair{}, ecstypes.HealthCheck{}, ecstypes.PortMapping{},
	ecstypes.RuntimePlatform{}, ecstypes.EphemeralStorage{}, ecstypes.ClusterSetting{}, ecstypes.CapacityProviderStrategyItem{},
)

const (
	statement = `{Effect: Allow, Action: "s3:*", Resource: "*"}`
	document  = `{Statement: ` + statement + `}`
	trust     = `{Statement: {Effect: Allow, Action: "sts:AssumeRole", Principal: {Service: ecs-tasks.amazonaws.com}}}`
)

// TestLeftOut: what is left out, what is null and what is empty are told
// apart.
func TestLeftOut(t *testing.T) {
	s := body(t, `
s3:
  buckets:
    - name: out
    - {name: nul, versioning: , encryption: , lifecycleRules: , policy: , tags: , forceDestroy: ~}
    - {name: empty, lifecycleRules: [], policy: {}, tags: {}, publicAccessBlock: {}}
logs:
  logGroups:
    - {name: out}
    - {name: empty, retentionInDays: never, kmsKeyId: ""}
    - {name: week, retentionInDays: 7}
ecr:
  repositories:
    - {name: out}
    - {name: empty, policy: {}, lifecyclePolicy: {}, scanOnPush: false}
iam:
  users:
    - {name: out}
    - {name: empty, policies: [], inlinePolicies: {}, permissionsBoundary: ""}
ecs:
  clusters:
    - {name: out}
    - {name: empty, settings: [], capacityProviders: [], defaultCapacityProviderStrategy: []}
`)
	want := []S3Bucket{
		{Name: "out"},
		{Name: "nul"},
		{Name: "empty", Meta: Meta{Tags: map[string]string{}}, LifecycleRules: []s3types.LifecycleRule{}, Policy: Document("{}"), PublicAccessBlock: &S3PublicAccessBlock{}},
	}
	if diff := cmp.Diff(want, s.S3.Buckets, exported); diff != "" {
		t.Errorf("buckets (-want +got):\n%s", diff)
	}
	wantGroups := []LogsLogGroup{
		{Name: "out"},
		{Name: "empty", RetentionInDays: aws.Int32(0), KMSKeyID: aws.String("")},
		{Name: "week", RetentionInDays: aws.Int32(7)},
	}
	if diff := cmp.Diff(wantGroups, s.Logs.LogGroups); diff != "" {
		t.Errorf("log groups (-want +got):\n%s", diff)
	}
	wantRepos := []ECRRepository{
		{Name: "out"},
		{Name: "empty", Policy: Document("{}"), LifecyclePolicy: Document("{}"), ScanOnPush: aws.Bool(false)},
	}
	if diff := cmp.Diff(wantRepos, s.ECR.Repositories); diff != "" {
		t.Errorf("repositories (-want +got):\n%s", diff)
	}
	wantUsers := []IAMUser{
		{Name: "out"},
		{Name: "empty", Policies: []string{}, InlinePolicies: map[string]Document{}, PermissionsBoundary: aws.String("")},
	}
	if diff := cmp.Diff(wantUsers, s.IAM.Users); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	wantClusters := []ECSCluster{
		{Name: "out"},
		{Name: "empty", Settings: []ecstypes.ClusterSetting{}, CapacityProviders: []string{}, DefaultCapacityProviderStrategy: []ecstypes.CapacityProviderStrategyItem{}},
	}
	if diff := cmp.Diff(wantClusters, s.ECS.Clusters); diff != "" {
		t.Errorf("clusters (-want +got):\n%s", diff)
	}
}

// TestShapes: AWS's own shapes arrive whole.
func TestShapes(t *testing.T) {
	s := body(t, `
vars: {days: 30, on: true, port: 80}
s3:
  buckets:
    - name: data
      lifecycleRules:
        - id: r
          status: Enabled
          filter: {and: {prefix: a/, objectSizeGreaterThan: 5000000000, tags: [{key: k, value: 1}]}}
          expiration: {date: 2031-02-03}
          transitions: [{days: "${var.days}", storageClass: GLACIER_IR}]
ecs:
  clusters:
    - name: c
      settings: [{name: containerInsights, value: enhanced}]
      capacityProviders: [FARGATE]
      defaultCapacityProviderStrategy: [{capacityProvider: FARGATE, base: 1, weight: 2}]
  taskDefinitions:
    - family: f
      cpu: 256
      memory: 0.5 GB
      runtimePlatform: {cpuArchitecture: ARM64, operatingSystemFamily: LINUX}
      ephemeralStorage: {sizeInGiB: 30}
      containerDefinitions:
        - name: c
          image: nginx
          essential: ${var.on}
          command: ["", "$${HOME}"]
          environment: [{name: N, value: 010}, {name: B, value: true}, {name: E, value: ""}]
          portMappings: [{containerPort: "${var.port}", protocol: tcp}]
          healthCheck: {command: [CMD, "true"], startPeriod: 0}
          dockerLabels: {file: x, 1: y}
`)
	wantRule := s3types.LifecycleRule{
		ID:     aws.String("r"),
		Status: s3types.ExpirationStatusEnabled,
		Filter: &s3types.LifecycleRuleFilter{And: &s3types.LifecycleRuleAndOperator{
			Prefix: aws.String("a/"), ObjectSizeGreaterThan: aws.Int64(5000000000),
			Tags: []s3types.Tag{{Key: aws.String("k"), Value: aws.String("1")}},
		}},
		Expiration:  &s3types.LifecycleExpiration{Date: aws.Time(time.Date(2031, 2, 3, 0, 0, 0, 0, time.UTC))},
		Transitions: []s3types.Transition{{Days: aws.Int32(30), StorageClass: s3types.TransitionStorageClassGlacierIr}},
	}
	if diff := cmp.Diff(wantRule, s.S3.Buckets[0].LifecycleRules[0], exported); diff != "" {
		t.Errorf("lifecycle rule (-want +got):\n%s", diff)
	}
	wantCluster := ECSCluster{
		Name:                            "c",
		Settings:                        []ecstypes.ClusterSetting{{Name: ecstypes.ClusterSettingNameContainerInsights, Value: aws.String("enhanced")}},
		CapacityProviders:               []string{"FARGATE"},
		DefaultCapacityProviderStrategy: []ecstypes.CapacityProviderStrategyItem{{CapacityProvider: aws.String("FARGATE"), Base: 1, Weight: 2}},
	}
	if diff := cmp.Diff(wantCluster, s.ECS.Clusters[0], exported); diff != "" {
		t.Errorf("cluster (-want +got):\n%s", diff)
	}
	wantTask := ECSTaskDefinition{
		Family: "f", CPU: "256", Memory: "0.5 GB",
		RuntimePlatform:  &ecstypes.RuntimePlatform{CpuArchitecture: ecstypes.CPUArchitectureArm64, OperatingSystemFamily: ecstypes.OSFamilyLinux},
		EphemeralStorage: &ecstypes.EphemeralStorage{SizeInGiB: 30},
		ContainerDefinitions: []ecstypes.ContainerDefinition{{
			Name: aws.String("c"), Image: aws.String("nginx"), Essential: aws.Bool(true),
			Command: []string{"", "${HOME}"},
			Environment: []ecstypes.KeyValuePair{
				{Name: aws.String("N"), Value: aws.String("010")},
				{Name: aws.String("B"), Value: aws.String("true")},
				{Name: aws.String("E"), Value: aws.String("")},
			},
			PortMappings: []ecstypes.PortMapping{{ContainerPort: aws.Int32(80), Protocol: ecstypes.TransportProtocolTcp}},
			HealthCheck:  &ecstypes.HealthCheck{Command: []string{"CMD", "true"}, StartPeriod: aws.Int32(0)},
			DockerLabels: map[string]string{"file": "x", "1": "y"},
		}},
	}
	if diff := cmp.Diff(wantTask, s.ECS.TaskDefinitions[0], exported); diff != "" {
		t.Errorf("task definition (-want +got):\n%s", diff)
	}
}

// TestDocumentForms: YAML, JSON text and a file say the same, and references
// work in each.
func TestDocumentForms(t *testing.T) {
	const (
		jsonText = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "${s3.bucket/data.arn}/$${aws:username}", "Condition": {"Bool": {"a:b": false}, "NumericLessThan": {"c:d": 3}}}]}`
		yamlText = `Version: 2012-10-17
Statement:
  - Effect: Allow
    Action: s3:*
    Resource: ${s3.bucket/data.arn}/$${aws:username}
    Condition:
      Bool: {"a:b": false}
      NumericLessThan: {"c:d": 3}
`
	)
	indent := func(s string) string { return strings.ReplaceAll(s, "\n", "\n          ") }
	files := map[string]string{
		"dev.yaml": head + `
vars: {dir: policies}
s3: {buckets: [{name: data}]}
iam:
  policies:
    - {name: inline, document: '` + jsonText + `'}
    - name: block
      document: |
          ` + jsonText + `
    - name: yaml
      document:
          ` + indent(yamlText) + `
    - {name: yamlFile, document: {file: "${var.dir}/p.yaml"}}
    - {name: jsonFile, document: {file: policies/p.json}}
    - {name: reference, document: "${file.policies/ready.json}"}
  users:
    - {name: mapping, inlinePolicies: {x: {file: policies/p.json}}}
    - {name: list, inlinePolicies: [{name: "${project}", document: {file: policies/p.json}}]}
`,
		"policies/p.json": jsonText,
		"policies/p.yaml": yamlText,
		// What a reference brings is taken as it is.
		"policies/ready.json": strings.ReplaceAll(strings.ReplaceAll(jsonText, "${s3.bucket/data.arn}", "arn:aws:s3:::data"), "$${", "${"),
	}
	s := bind(t, files, Options{})
	want := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::data/${aws:username}","Condition":{"Bool":{"a:b":false},"NumericLessThan":{"c:d":"3"}}}]}`
	bucket := []ID{{Bucket, "data"}}
	for _, p := range s.IAM.Policies {
		if diff := cmp.Diff(want, string(p.Document)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", p.Name, diff)
		}
		if diff := cmp.Diff(bucket, p.Needs); diff != "" && p.Name != "reference" {
			t.Errorf("%s needs (-want +got):\n%s", p.Name, diff)
		}
	}
	if diff := cmp.Diff(want, string(s.IAM.Users[0].InlinePolicies["x"])); diff != "" {
		t.Errorf("inline policy of a mapping (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, string(s.IAM.Users[1].InlinePolicies["p"])); diff != "" {
		t.Errorf("inline policy of a list (-want +got):\n%s", diff)
	}
}

// TestDocumentProblems: mistakes in files that are named stand where they
// are.
func TestDocumentProblems(t *testing.T) {
	files := map[string]string{
		"dev.yaml": head + `
iam:
  policies:
    - {name: a, document: {file: p/a.json}}
    - {name: b, document: {file: p/b.json}}
    - {name: c, document: {file: p/c.yaml}}
    - {name: d, document: {file: p/d.json}}
    - {name: e, document: {file: p}}
ecs: {taskDefinitions: [{family: f, containerDefinitions: {file: p/c.json}}]}
`,
		"p/a.json": "{\n  \"Statement\": [{\"Effect\": \"Allow\", \"Efect\": \"x\", \"Action\": \"s3:*\", \"Resource\": \"${s3.bucket/x.arn}\"}]\n}\n",
		"p/b.json": "{\n  \"Statement\": [\n}\n",
		"p/c.yaml": "Statement: []\nStatement: []\n",
		"p/d.json": "[]",
		"p/c.json": "[{\"name\": \"c\", \"image\": \"nginx\",\n  \"cpus\": 1}]",
	}
	want := `dev.yaml:11:34: document: read p: is a directory
p/a.json:2:37: a statement has no "Efect"; it has Sid, Effect, Principal, NotPrincipal, Action, NotAction, Resource, NotResource, Condition; did you mean "Effect"?
p/a.json:2:81: s3.bucket/x is not declared in this spec
p/b.json:3:1: not valid JSON: invalid character '}' looking for beginning of value
p/c.json:2:3: unknown field "cpus" in containerDefinitions; did you mean "cpu"?
p/c.yaml:1:12: Statement: the list is empty
p/c.yaml:2:1: duplicate key "Statement", first on line 1
p/d.json:1:1: document: d.json: want a mapping, its JSON text, have a list
`
	if diff := cmp.Diff(want, text(check(t, files, Options{}))); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestImageLifecycleNumbers(t *testing.T) {
	s := body(t, `
vars: {keep: 9}
ecr:
  repositories:
    - name: app
      lifecyclePolicy:
        rules:
          - rulePriority: 1
            description: 2
            selection: {tagStatus: any, countType: imageCountMoreThan, countNumber: "${var.keep}"}
            action: {type: expire}
`)
	want := `{"rules":[{"rulePriority":1,"description":"2","selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":9},"action":{"type":"expire"}}]}`
	if diff := cmp.Diff(want, string(s.ECR.Repositories[0].LifecyclePolicy)); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
}

func TestContainerForms(t *testing.T) {
	const list = `[{"name": "c", "image": "${ecr.repository/app.uri}", "cpu": 1, "essential": true}]`
	s := bind(t, map[string]string{
		"dev.yaml": head + `
ecr: {repositories: [{name: app}]}
ecs:
  taskDefinitions:
    - {family: yaml, containerDefinitions: ` + list + `}
    - {family: json, containerDefinitions: '` + list + `'}
    - {family: file, containerDefinitions: {file: c.json}}
`,
		"c.json": list,
	}, Options{})
	want := []ecstypes.ContainerDefinition{{
		Name: aws.String("c"), Image: aws.String("123456789012.dkr.ecr.eu-north-1.amazonaws.com/app"), Cpu: 1, Essential: aws.Bool(true),
	}}
	for _, task := range s.ECS.TaskDefinitions {
		if diff := cmp.Diff(want, task.ContainerDefinitions, exported); diff != "" {
			t.Errorf("%s (-want +got):\n%s", task.Family, diff)
		}
		if diff := cmp.Diff([]ID{{Repository, "app"}}, task.Needs); diff != "" {
			t.Errorf("%s needs (-want +got):\n%s", task.Family, diff)
		}
	}
}

func TestNeeds(t *testing.T) {
	s := body(t, `
vars: {arn: "${s3.bucket/data.arn}"}
s3:
  buckets:
    - {name: data, policy: {Statement: {Effect: Deny, Principal: {AWS: "arn:aws:iam::123456789012:role/r"}, Action: "s3:*", Resource: "${s3.bucket/data.arn}"}}}
    - {name: other}
logs: {logGroups: [{name: /ecs/x}, {name: /exec}]}
iam:
  policies:
    - {name: literal, document: {Statement: {Effect: Allow, Action: "s3:*", Resource: "arn:aws:s3:::other"}}}
    - {name: variable, document: {Statement: {Effect: Allow, Action: "s3:*", Resource: "${var.arn}"}}}
    - {name: nobody, document: {Statement: {Effect: Allow, Action: "s3:*", Resource: "arn:aws:s3:::others"}}}
    - {name: edge, path: /b/, document: `+document+`}
  roles:
    - {name: r, assumeRolePolicy: `+trust+`, policies: [variable, literal, arn:aws:iam::123456789012:policy/b/edge], tags: {Group: "${logs.log-group//ecs/x.name}"}}
  users:
    - {name: u, permissionsBoundary: edge, policies: []}
ecs:
  clusters:
    - {name: c, configuration: {executeCommandConfiguration: {logging: OVERRIDE, logConfiguration: {cloudWatchLogGroupName: /exec}}}}
  taskDefinitions:
    - family: f
      executionRole: r
      taskRole: arn:aws:iam::123456789012:role/r
      containerDefinitions: [{name: c, image: nginx, logConfiguration: {logDriver: awslogs, options: {awslogs-group: /ecs/x, awslogs-region: x}}}]
`)
	got := make(map[string][]string)
	add := func(name string, m Meta) {
		for _, id := range m.Needs {
			got[name] = append(got[name], id.String())
		}
	}
	for _, r := range s.S3.Buckets {
		add(r.Name, r.Meta)
	}
	for _, r := range s.IAM.Policies {
		add(r.Name, r.Meta)
	}
	add("r", s.IAM.Roles[0].Meta)
	add("u", s.IAM.Users[0].Meta)
	add("c", s.ECS.Clusters[0].Meta)
	add("f", s.ECS.TaskDefinitions[0].Meta)
	want := map[string][]string{
		// The bucket names the role by its ARN, and the role needs the bucket:
		// a circle by references alone, which writing out the ARN breaks.
		"literal":  {"s3.bucket/other"},
		"variable": {"s3.bucket/data"},
		"r":        {"logs.log-group//ecs/x", "iam.policy/edge", "iam.policy/literal", "iam.policy/variable"},
		"u":        {"iam.policy/edge"},
		"c":        {"logs.log-group//exec"},
		"f":        {"logs.log-group//ecs/x", "iam.role/r"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
	wantARNs := []string{"arn:aws:iam::123456789012:policy/variable", "arn:aws:iam::123456789012:policy/literal", "arn:aws:iam::123456789012:policy/b/edge"}
	if diff := cmp.Diff(wantARNs, s.IAM.Roles[0].Policies); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	if got := *s.IAM.Users[0].PermissionsBoundary; got != "arn:aws:iam::123456789012:policy/b/edge" {
		t.Errorf("boundary: %s", got)
	}
}

// TestCircles: the example of TestNeeds is one where the bucket refers to the
// role.
func TestCircles(t *testing.T) {
	err := check(t, map[string]string{"dev.yaml": head + `
s3:
  buckets:
    - name: data
      policy: {Statement: {Effect: Deny, Principal: {AWS: "${iam.role/r.arn}"}, Action: "s3:*", Resource: "*"}}
iam:
  policies:
    - {name: p, document: {Statement: {Effect: Allow, Action: "s3:*", Resource: "${s3.bucket/data.arn}"}}}
  roles:
    - {name: r, assumeRolePolicy: ` + trust + `, policies: [p]}
`}, Options{})
	want := "dev.yaml:11:81: a circle: s3.bucket/data -> iam.role/r -> iam.policy/p -> s3.bucket/data; write out the ARN in one of these places to break it\n"
	if diff := cmp.Diff(want, text(err)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestTags(t *testing.T) {
	s := body(t, `
vars: {k: Team}
tags: {"${var.k}": ml, Cost: 042, When: 2024-01-01, Yes: yes, Half: 0.50}
s3: {buckets: [{name: data, tags: {Cost: 7}}]}
iam: {users: [{name: u}]}
`)
	want := map[string]string{"Team": "ml", "Cost": "042", "When": "2024-01-01", "Yes": "yes", "Half": "0.50"}
	if diff := cmp.Diff(want, s.IAM.Users[0].Tags); diff != "" {
		t.Errorf("user (-want +got):\n%s", diff)
	}
	want["Cost"] = "7"
	if diff := cmp.Diff(want, s.S3.Buckets[0].Tags); diff != "" {
		t.Errorf("bucket (-want +got):\n%s", diff)
	}
	if tags := body(t, "iam: {users: [{name: u}]}\n").IAM.Users[0].Tags; tags != nil {
		t.Errorf("tags of nobody: %v", tags)
	}
}

func TestLiveOutputs(t *testing.T) {
	s := body(t, `
vars: {id: "${iam.user/u.accessKeyId}"}
iam: {users: [{name: u, accessKey: {deliver: [{file: {path: x}}]}}]}
ecs: {taskDefinitions: [{family: f, containerDefinitions: [{name: c, image: nginx}]}]}
outputs:
  secret: ${iam.user/u.secretAccessKey}
  id: id=${var.id}.
  key: ${iam.access-key/u.accessKeyId}
  task: ${ecs.task-definition/f.arn} r${ecs.task-definition/f.revision}
  plain: ${project}
`)
	key, task := ID{AccessKey, "u"}, ID{TaskDefinition, "f"}
	want := []Output{
		{Name: "id", Value: Template{{Text: "id="}, {ID: key, Attr: "accessKeyId"}, {Text: "."}}, Sensitive: true},
		{Name: "key", Value: Template{{ID: key, Attr: "accessKeyId"}}, Sensitive: true},
		{Name: "plain", Value: Template{{Text: "p"}}},
		{Name: "secret", Value: Template{{ID: key, Attr: "secretAccessKey"}}, Sensitive: true},
		{Name: "task", Value: Template{{ID: task, Attr: "arn"}, {Text: " r"}, {ID: task, Attr: "revision"}}},
	}
	if diff := cmp.Diff(want, s.Outputs); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
}

func TestSizes(t *testing.T) {
	tests := []struct {
		cpu, memory         string
		wantCPU, wantMemory int
	}{
		{"512", "1024", 512, 1024},
		{"0.5 vCPU", "1 GB", 512, 1024},
		{".25vcpu", "0.5GB", 256, 512},
		{"16 VCPU", "120 gb", 16384, 122880},
		{" 1 ", "2048", 1, 2048},
		{"", "", 0, 0},
		{"0", "-1", 0, 0},
		{"1 GB", "1 vCPU", 0, 0},
		{"1e3 vCPU", "Inf GB", 0, 0},
		{"vCPU", ".GB", 0, 0},
		{"99999999999999999999", "9999999 GB", 0, 0},
	}
	for _, tt := range tests {
		cpu, cpuOK := CPUUnits(tt.cpu)
		memory, memoryOK := MemoryMiB(tt.memory)
		if cpu*btoi(cpuOK) != tt.wantCPU || memory*btoi(memoryOK) != tt.wantMemory {
			t.Errorf("%q, %q: %d %v, %d %v", tt.cpu, tt.memory, cpu, cpuOK, memory, memoryOK)
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// BenchmarkLoad loads a spec of a thousand roles and policies.
func BenchmarkLoad(b *testing.B) {
	var sb strings.Builder
	sb.WriteString(head + "tags: {Project: \"${project}\"}\niam:\n  policies:\n")
	for i := range 1000 {
		fmt.Fprintf(&sb, "    - {name: p%d, document: %s}\n", i, document)
	}
	sb.WriteString("  roles:\n")
	for i := range 1000 {
		fmt.Fprintf(&sb, "    - {name: r%d, assumeRolePolicy: %s, policies: [p%d]}\n", i, trust, i)
	}
	for b.Loop() {
		f, err := Load("-", Options{Stdin: strings.NewReader(sb.String())})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.Bind(Identity{Account: "123456789012"}); err != nil {
			b.Fatal(err)
		}
	}
}
