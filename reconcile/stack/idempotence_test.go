package stack_test

import (
	"testing"
)

// Two ways to say one thing are no difference, and each has a twin that says
// another thing and is one.
func TestSameMeaning(t *testing.T) {
	alone(t)
	policy := func(document string) string {
		return "iam: {policies: [{name: p, document: " + document + "}]}"
	}
	role := func(trust string) string {
		return "iam: {roles: [{name: r, assumeRolePolicy: " + trust + "}]}"
	}
	task := func(container string) string {
		return `ecs: {taskDefinitions: [{family: f, networkMode: awsvpc, requiresCompatibilities: [FARGATE], cpu: "1024", memory: "2048",
			containerDefinitions: [{name: app, image: busybox, ` + container + `}]}]}`
	}
	volume := func(more string) string {
		return `ecs: {taskDefinitions: [{family: f, networkMode: awsvpc, requiresCompatibilities: [FARGATE], cpu: "1024", memory: "2048",
			volumes: [{name: v` + more + `}], containerDefinitions: [{name: app, image: busybox}]}]}`
	}
	size := func(cpu, memory string) string {
		return `ecs: {taskDefinitions: [{family: f, networkMode: awsvpc, requiresCompatibilities: [FARGATE], cpu: "` + cpu + `", memory: "` + memory + `",
			containerDefinitions: [{name: app, image: busybox}]}]}`
	}
	lifecycle := func(rules string) string {
		return "s3: {buckets: [{name: data-of-test, lifecycleRules: [" + rules + "]}]}"
	}
	images := func(rules string) string {
		return "ecr: {repositories: [{name: images, lifecyclePolicy: {rules: [" + rules + "]}}]}"
	}
	const (
		untagged = `{rulePriority: 1, action: {type: expire}, selection: {tagStatus: untagged, countType: imageCountMoreThan, countNumber: 1}}`
		tagged   = `{rulePriority: 2, action: {type: expire}, selection: {tagStatus: tagged, tagPrefixList: [a, b], countType: imageCountMoreThan, countNumber: 5}}`
		tagged2  = `{rulePriority: 2, action: {type: expire}, selection: {tagStatus: tagged, tagPrefixList: [b, a], countType: imageCountMoreThan, countNumber: 5}}`
		tagged3  = `{rulePriority: 2, action: {type: expire}, selection: {tagStatus: tagged, tagPrefixList: [b, c], countType: imageCountMoreThan, countNumber: 5}}`
	)
	for _, tt := range []struct {
		name              string
		is, same, another string
	}{
		{
			"a container's process that is not wrapped",
			task(`cpu: 0`), task(`linuxParameters: {initProcessEnabled: false}`), task(`linuxParameters: {initProcessEnabled: true}`),
		},
		{
			"a process that is said not to be wrapped",
			task(`linuxParameters: {initProcessEnabled: false}`), task(`cpu: 0`), task(`linuxParameters: {initProcessEnabled: true}`),
		},
		{
			"a restart policy that is turned off",
			task(`cpu: 0`), task(`restartPolicy: {enabled: false}`), task(`restartPolicy: {enabled: true}`),
		},
		{
			"no restart policy in the place of one that is turned off",
			task(`restartPolicy: {enabled: false}`), task(`cpu: 0`), task(`restartPolicy: {enabled: true}`),
		},
		{
			"a volume that is not configured at launch",
			volume(``), volume(`, configuredAtLaunch: false`), volume(`, configuredAtLaunch: true`),
		},
		{
			"actions in another order",
			policy(`{Version: "2012-10-17", Statement: [{Effect: Allow, Action: ["s3:GetObject", "s3:PutObject"], Resource: "*"}]}`),
			policy(`{Version: "2012-10-17", Statement: [{Effect: Allow, Action: ["s3:PutObject", "s3:GetObject"], Resource: "*"}]}`),
			policy(`{Version: "2012-10-17", Statement: [{Effect: Allow, Action: ["s3:PutObject", "s3:GetObjectTagging"], Resource: "*"}]}`),
		},
		{
			"a scalar for a list of one, one statement for a list of it",
			policy(`{Version: "2012-10-17", Statement: [{Effect: Allow, Action: ["s3:GetObject"], Resource: ["*"]}]}`),
			policy(`{Version: "2012-10-17", Statement: {Effect: Allow, Action: "s3:GetObject", Resource: "*"}}`),
			policy(`{Version: "2012-10-17", Statement: {Effect: Deny, Action: "s3:GetObject", Resource: "*"}}`),
		},
		{
			"an action in other case; a resource in other case is another",
			policy(`{Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:GetObject", Resource: "arn:aws:s3:::data-of-test/a"}]}`),
			policy(`{Version: "2012-10-17", Statement: [{Effect: Allow, Action: "S3:getobject", Resource: "arn:aws:s3:::data-of-test/a"}]}`),
			policy(`{Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:GetObject", Resource: "arn:aws:s3:::data-of-test/A"}]}`),
		},
		{
			"a condition's boolean as its text",
			policy(`{Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:*", Resource: "*", Condition: {Bool: {"aws:SecureTransport": true}}}]}`),
			policy(`{Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:*", Resource: "*", Condition: {Bool: {"aws:securetransport": "true"}}}]}`),
			policy(`{Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:*", Resource: "*", Condition: {Bool: {"aws:SecureTransport": "false"}}}]}`),
		},
		{
			"an account as its root",
			role(`{Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {AWS: "123456789012"}, Action: "sts:AssumeRole"}]}`),
			role(`{Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {AWS: "arn:aws:iam::123456789012:root"}, Action: "sts:AssumeRole"}]}`),
			role(`{Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {AWS: "arn:aws:iam::999999999999:root"}, Action: "sts:AssumeRole"}]}`),
		},
		{
			"what ECS fills into a container",
			task(`essential: true, environment: [], mountPoints: []`),
			task(`cpu: 0`),
			task(`cpu: 256`),
		},
		{
			"a port's protocol and host port",
			task(`portMappings: [{containerPort: 80}]`),
			task(`portMappings: [{containerPort: 80, hostPort: 80, protocol: tcp}]`),
			task(`portMappings: [{containerPort: 80, protocol: udp}]`),
		},
		{
			"a health check's defaults",
			task(`healthCheck: {command: [CMD, "true"]}`),
			task(`healthCheck: {command: [CMD, "true"], interval: 30, timeout: 5, retries: 3}`),
			task(`healthCheck: {command: [CMD, "true"], interval: 60}`),
		},
		{
			"an environment in another order",
			task(`environment: [{name: A, value: "1"}, {name: B, value: "2"}]`),
			task(`environment: [{name: B, value: "2"}, {name: A, value: "1"}]`),
			task(`environment: [{name: B, value: "1"}, {name: A, value: "2"}]`),
		},
		{
			"a command, whose order means something",
			task(`command: [echo, a, b]`),
			task(`command: [echo, a, b], essential: true`),
			task(`command: [echo, b, a]`),
		},
		{
			"sizes in units",
			size("1024", "2048"),
			size("1 vCPU", "2 GB"),
			size("1 vCPU", "3 GB"),
		},
		{
			"a bucket's rules in another order, an empty filter as an empty prefix",
			lifecycle(`{id: a, status: Enabled, filter: {}, expiration: {days: 1}}, {id: b, status: Enabled, filter: {prefix: b/}, expiration: {days: 2}}`),
			lifecycle(`{id: b, status: Enabled, filter: {prefix: b/}, expiration: {days: 2}}, {id: a, status: Enabled, filter: {prefix: ""}, expiration: {days: 1}}`),
			lifecycle(`{id: a, status: Enabled, filter: {prefix: a/}, expiration: {days: 1}}, {id: b, status: Enabled, filter: {prefix: b/}, expiration: {days: 2}}`),
		},
		{
			"a repository's rules, and their prefixes, in another order",
			images(untagged + ", " + tagged),
			images(tagged2 + ", " + untagged),
			images(untagged + ", " + tagged3),
		},
		{
			"a cluster's capacity providers in another order",
			`ecs: {clusters: [{name: c, capacityProviders: [FARGATE, FARGATE_SPOT]}]}`,
			`ecs: {clusters: [{name: c, capacityProviders: [FARGATE_SPOT, FARGATE]}]}`,
			`ecs: {clusters: [{name: c, capacityProviders: [FARGATE_SPOT]}]}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone(t)
			a := newAccount(t)
			a.mustApply(t, a.stack(t, tt.is))
			a.mustBeInSync(t, a.stack(t, tt.is))
			a.mustBeInSync(t, a.stack(t, tt.same))
			path := a.stack(t, tt.another)
			if o := a.mustApply(t, path); len(o.changes()) == 0 || len(o.writes()) == 0 {
				t.Errorf("no difference is seen between\n%s\nand\n%s", tt.is, tt.another)
			}
			a.mustBeInSync(t, path)
		})
	}
}
