package stack_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Every field that the reference stack does not use: a spec is brought about
// from nothing, then either somebody changes AWS by hand or the spec changes.
func TestFields(t *testing.T) {
	alone(t)
	const task = `
ecs:
  taskDefinitions:
    - family: task
      networkMode: awsvpc
      requiresCompatibilities: [FARGATE]
      cpu: "512"
      memory: "1024"
`
	for _, tt := range []struct {
		name   string
		before string
		hand   func(context.Context, testing.TB, *account)
		after  string // "": as before
		want   string

		olderDefault bool // it ends in what AWS gave to everything once
	}{
		{
			name:   "bucket encryption",
			before: `s3: {buckets: [{name: data-of-test, encryption: {sseAlgorithm: AES256}}]}`,
			after: `s3: {buckets: [{name: data-of-test, encryption: {sseAlgorithm: "aws:kms", bucketKeyEnabled: true,
				kmsMasterKeyID: "arn:aws:kms:eu-north-1:123456789012:key/11111111-2222-3333-4444-555555555555"}}]}`,
			want: `
s3.bucket/data-of-test: update
  s3:PutBucketEncryption
  s3:PutBucketTagging
  encryption.bucketKeyEnabled: false -> true
  encryption.kmsMasterKeyID: <nil> -> arn:aws:kms:eu-north-1:123456789012:key/11111111-2222-3333-4444-555555555555
  encryption.sseAlgorithm: AES256 -> aws:kms`,
		},
		{
			name:   "bucket encryption that is blocked",
			before: `s3: {buckets: [{name: data-of-test, encryption: {sseAlgorithm: AES256, blockedEncryptionTypes: [SSE-C]}}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				blockEncryption(ctx, t, a, s3types.EncryptionTypeNone)
			},
			want: `
s3.bucket/data-of-test: update
  s3:PutBucketEncryption
  encryption.blockedEncryptionTypes[SSE-C]: <nil> -> SSE-C`,
		},
		{
			name: "bucket encryption of which none is blocked", olderDefault: true,
			before: `s3: {buckets: [{name: data-of-test, encryption: {sseAlgorithm: AES256, blockedEncryptionTypes: [NONE]}}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				blockEncryption(ctx, t, a, s3types.EncryptionTypeSseC)
			},
			want: `
s3.bucket/data-of-test: update
  s3:PutBucketEncryption
  encryption.blockedEncryptionTypes[SSE-C]: SSE-C -> <nil>`,
		},
		{
			name:   "bucket encryption, what it blocks left out",
			before: `s3: {buckets: [{name: data-of-test, encryption: {sseAlgorithm: AES256}}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				blockEncryption(ctx, t, a, s3types.EncryptionTypeNone)
			},
			want: ``,
		},
		{
			name: "bucket public access block",
			before: `s3: {buckets: [{name: data-of-test, publicAccessBlock: {blockPublicAcls: true, ignorePublicAcls: true,
				blockPublicPolicy: true, restrictPublicBuckets: false}}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.s3.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: aws.String("data-of-test")}))
			},
			want: `
s3.bucket/data-of-test: update
  s3:PutPublicAccessBlock
  publicAccessBlock.blockPublicAcls: false -> true
  publicAccessBlock.blockPublicPolicy: false -> true
  publicAccessBlock.ignorePublicAcls: false -> true`,
		},
		{
			name:   "bucket ownership",
			before: `s3: {buckets: [{name: data-of-test, objectOwnership: BucketOwnerPreferred}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.s3.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{
					Bucket: aws.String("data-of-test"),
					OwnershipControls: &s3types.OwnershipControls{Rules: []s3types.OwnershipControlsRule{
						{ObjectOwnership: s3types.ObjectOwnershipObjectWriter},
					}},
				}))
			},
			want: `
s3.bucket/data-of-test: update
  s3:PutBucketOwnershipControls
  objectOwnership: ObjectWriter -> BucketOwnerPreferred`,
		},
		{
			name:   "bucket lifecycle changed",
			before: `s3: {buckets: [{name: data-of-test, lifecycleRules: [{id: old, status: Enabled, filter: {prefix: logs/}, expiration: {days: 30}}]}]}`,
			after:  `s3: {buckets: [{name: data-of-test, lifecycleRules: [{id: old, status: Enabled, filter: {prefix: logs/}, expiration: {days: 60}}]}]}`,
			want: `
s3.bucket/data-of-test: update
  s3:PutBucketLifecycleConfiguration
  s3:PutBucketTagging
  lifecycleRules[old].expiration.days: 30 -> 60`,
		},
		{
			name:   "bucket lifecycle taken away",
			before: `s3: {buckets: [{name: data-of-test, lifecycleRules: [{id: old, status: Enabled, filter: {}, expiration: {days: 30}}]}]}`,
			after:  `s3: {buckets: [{name: data-of-test, lifecycleRules: []}]}`,
			want: `
s3.bucket/data-of-test: update
  s3:DeleteBucketLifecycle
  s3:PutBucketTagging
  lifecycleRules[old].expiration.days: 30 -> <nil>
  lifecycleRules[old].id: old -> <nil>
  lifecycleRules[old].status: Enabled -> <nil>`,
		},
		{
			name: "bucket policy changed",
			before: `s3: {buckets: [{name: data-of-test, policy: {Version: "2012-10-17", Statement: [{Sid: TLS, Effect: Deny, Principal: "*", Action: "s3:*",
				Resource: "arn:aws:s3:::data-of-test/*", Condition: {Bool: {"aws:SecureTransport": "false"}}}]}}]}`,
			after: `s3: {buckets: [{name: data-of-test, policy: {Version: "2012-10-17", Statement: [{Sid: TLS, Effect: Deny, Principal: "*", Action: "s3:*",
				Resource: "arn:aws:s3:::data-of-test/private/*", Condition: {Bool: {"aws:SecureTransport": "false"}}}]}}]}`,
			want: `
s3.bucket/data-of-test: update
  s3:PutBucketPolicy
  s3:PutBucketTagging
  policy.Statement[TLS].Resource[arn:aws:s3:::data-of-test/*]: arn:aws:s3:::data-of-test/* -> <nil>
  policy.Statement[TLS].Resource[arn:aws:s3:::data-of-test/private/*]: <nil> -> arn:aws:s3:::data-of-test/private/*`,
		},
		{
			name:   "bucket versioning suspended",
			before: `s3: {buckets: [{name: data-of-test, versioning: Enabled}]}`,
			after:  `s3: {buckets: [{name: data-of-test, versioning: Suspended}]}`,
			want: `
s3.bucket/data-of-test: update
  s3:PutBucketVersioning
  s3:PutBucketTagging
  versioning: Enabled -> Suspended`,
		},
		{
			name:   "log group without expiry",
			before: `logs: {logGroups: [{name: /test, retentionInDays: never}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("/test"), RetentionInDays: aws.Int32(30)}))
			},
			want: `
logs.log-group//test: update
  logs:DeleteRetentionPolicy
  retentionInDays: 30 -> <nil>`,
		},
		{
			name:   "log group key set",
			before: `logs: {logGroups: [{name: /test}]}`,
			after:  `logs: {logGroups: [{name: /test, kmsKeyId: "arn:aws:kms:eu-north-1:123456789012:key/11111111-2222-3333-4444-555555555555"}]}`,
			want: `
logs.log-group//test: update
  logs:AssociateKmsKey
  logs:TagResource
  kmsKeyId: <nil> -> arn:aws:kms:eu-north-1:123456789012:key/11111111-2222-3333-4444-555555555555`,
		},
		{
			name:   "log group key taken away",
			before: `logs: {logGroups: [{name: /test, kmsKeyId: "arn:aws:kms:eu-north-1:123456789012:key/11111111-2222-3333-4444-555555555555"}]}`,
			after:  `logs: {logGroups: [{name: /test, kmsKeyId: ""}]}`,
			want: `
logs.log-group//test: update
  logs:DisassociateKmsKey
  logs:TagResource
  kmsKeyId: arn:aws:kms:eu-north-1:123456789012:key/11111111-2222-3333-4444-555555555555 -> <nil>`,
		},
		{
			name:   "log group protected",
			before: `logs: {logGroups: [{name: /test, deletionProtectionEnabled: true}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				protectLogGroup(ctx, t, a, false)
			},
			want: `
logs.log-group//test: update
  logs:PutLogGroupDeletionProtection
  deletionProtectionEnabled: <nil> -> true`,
		},
		{
			name:   "log group not protected",
			before: `logs: {logGroups: [{name: /test, deletionProtectionEnabled: false}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				protectLogGroup(ctx, t, a, true)
			},
			want: `
logs.log-group//test: update
  logs:PutLogGroupDeletionProtection
  deletionProtectionEnabled: true -> <nil>`,
		},
		{
			name:   "log group's protection left out",
			before: `logs: {logGroups: [{name: /test}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				protectLogGroup(ctx, t, a, true)
			},
			want: ``,
		},
		{
			name: "repository with exclusions",
			before: `ecr: {repositories: [{name: images, imageTagMutability: IMMUTABLE_WITH_EXCLUSION,
				imageTagMutabilityExclusionFilters: [{filterType: WILDCARD, filter: "dev-*"}, {filterType: WILDCARD, filter: latest}]}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				excludeTags(ctx, t, a, ecrtypes.ImageTagMutabilityImmutableWithExclusion, "latest", "v*")
			},
			want: `
ecr.repository/images: update
  ecr:PutImageTagMutability
  imageTagMutabilityExclusionFilters[dev-*]: <nil> -> WILDCARD
  imageTagMutabilityExclusionFilters[v*]: WILDCARD -> <nil>`,
		},
		{
			name: "the twin of it: the same exclusions in another order",
			before: `ecr: {repositories: [{name: images, imageTagMutability: MUTABLE_WITH_EXCLUSION,
				imageTagMutabilityExclusionFilters: [{filterType: WILDCARD, filter: "dev-*"}, {filterType: WILDCARD, filter: latest}]}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				excludeTags(ctx, t, a, ecrtypes.ImageTagMutabilityMutableWithExclusion, "latest", "dev-*")
			},
			want: ``,
		},
		{
			name: "repository without exclusions any more",
			before: `ecr: {repositories: [{name: images, imageTagMutability: MUTABLE_WITH_EXCLUSION,
				imageTagMutabilityExclusionFilters: [{filterType: WILDCARD, filter: latest}]}]}`,
			after: `ecr: {repositories: [{name: images, imageTagMutability: IMMUTABLE}]}`,
			want: `
ecr.repository/images: update
  ecr:PutImageTagMutability
  ecr:TagResource
  imageTagMutability: MUTABLE_WITH_EXCLUSION -> IMMUTABLE
  imageTagMutabilityExclusionFilters[latest]: WILDCARD -> <nil>`,
		},
		{
			name:   "repository scanning",
			before: `ecr: {repositories: [{name: images, scanOnPush: true, encryption: {encryptionType: AES256}}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.ecr.PutImageScanningConfiguration(ctx, &ecr.PutImageScanningConfigurationInput{
					RepositoryName: aws.String("images"), ImageScanningConfiguration: &ecrtypes.ImageScanningConfiguration{},
				}))
			},
			want: `
ecr.repository/images: update
  ecr:PutImageScanningConfiguration
  scanOnPush: false -> true`,
		},
		{
			name: "repository lifecycle changed",
			before: `ecr: {repositories: [{name: images, lifecyclePolicy: {rules: [{rulePriority: 1, action: {type: expire},
				selection: {tagStatus: any, countType: imageCountMoreThan, countNumber: 5}}]}}]}`,
			after: `ecr: {repositories: [{name: images, lifecyclePolicy: {rules: [{rulePriority: 1, action: {type: expire},
				selection: {tagStatus: any, countType: imageCountMoreThan, countNumber: 9}}]}}]}`,
			want: `
ecr.repository/images: update
  ecr:PutLifecyclePolicy
  ecr:TagResource
  lifecyclePolicy.rules.1.selection.countNumber: 5 -> 9`,
		},
		{
			name: "repository lifecycle and policy taken away",
			before: `ecr: {repositories: [{name: images,
				lifecyclePolicy: {rules: [{rulePriority: 1, action: {type: expire}, selection: {tagStatus: any, countType: imageCountMoreThan, countNumber: 5}}]},
				policy: {Version: "2012-10-17", Statement: [{Sid: pull, Effect: Allow, Principal: {AWS: "arn:aws:iam::999999999999:root"}, Action: "ecr:BatchGetImage"}]}}]}`,
			after: `ecr: {repositories: [{name: images, lifecyclePolicy: {}, policy: {}}]}`,
			want: `
ecr.repository/images: update
  ecr:DeleteLifecyclePolicy
  ecr:DeleteRepositoryPolicy
  ecr:TagResource
  lifecyclePolicy.rules.1.action.type: expire -> <nil>
  lifecyclePolicy.rules.1.rulePriority: 1 -> <nil>
  lifecyclePolicy.rules.1.selection.countNumber: 5 -> <nil>
  lifecyclePolicy.rules.1.selection.countType: imageCountMoreThan -> <nil>
  lifecyclePolicy.rules.1.selection.tagStatus: any -> <nil>
  policy: map[Statement:[map[Action:ecr:BatchGetImage Effect:Allow Principal:map[AWS:arn:aws:iam::999999999999:root] Sid:pull]] Version:2012-10-17] -> <nil>`,
		},
		{
			name:   "role description and session duration",
			before: `iam: {roles: [{name: worker, description: first, maxSessionDuration: 7200, assumeRolePolicy: ` + trustECSTasks + `}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: aws.String("worker"), Description: aws.String("second")}))
			},
			// UpdateRole without a duration sets it to an hour.
			want: `
iam.role/worker: update
  iam:UpdateRole
  description: second -> first
  maxSessionDuration: 3600 -> 7200`,
		},
		{
			name: "role inline policies: one changed, one gone, one too many",
			before: `iam: {roles: [{name: worker, assumeRolePolicy: ` + trustECSTasks + `, inlinePolicies: {
				changed: {Version: "2012-10-17", Statement: [{Sid: S, Effect: Allow, Action: "s3:GetObject", Resource: "*"}]},
				gone: ` + otherDocument + `}}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				for name, document := range map[string]string{
					"changed": `{"Version":"2012-10-17","Statement":[{"Sid":"S","Effect":"Allow","Action":"s3:PutObject","Resource":"*"}]}`,
					"extra":   otherDocument,
				} {
					done(t)(a.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("worker"), PolicyName: &name, PolicyDocument: &document}))
				}
				done(t)(a.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String("worker"), PolicyName: aws.String("gone")}))
			},
			want: `
iam.role/worker: update
  iam:PutRolePolicy
  iam:PutRolePolicy
  iam:DeleteRolePolicy
  inlinePolicies[changed].Statement[S].Action[s3:GetObject]: <nil> -> s3:GetObject
  inlinePolicies[changed].Statement[S].Action[s3:PutObject]: s3:PutObject -> <nil>
  inlinePolicies[gone]: <nil> -> map[Statement:[map[Action:s3:* Effect:Deny Resource:*]] Version:2012-10-17]
  inlinePolicies[extra]: map[Statement:[map[Action:s3:* Effect:Deny Resource:*]] Version:2012-10-17] -> <nil>`,
		},
		{
			name:   "role boundary",
			before: `iam: {roles: [{name: worker, permissionsBoundary: "` + readOnlyARN + `", assumeRolePolicy: ` + trustECSTasks + `}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: aws.String("worker")}))
			},
			want: `
iam.role/worker: update
  iam:PutRolePermissionsBoundary
  permissionsBoundary: <nil> -> arn:aws:iam::aws:policy/ReadOnlyAccess`,
		},
		{
			name:   "user boundary taken away, and an inline policy",
			before: `iam: {users: [{name: ci, permissionsBoundary: "` + readOnlyARN + `", inlinePolicies: {one: ` + otherDocument + `}}]}`,
			after:  `iam: {users: [{name: ci, permissionsBoundary: "", inlinePolicies: {}}]}`,
			want: `
iam.user/ci: update
  iam:DeleteUserPermissionsBoundary
  iam:DeleteUserPolicy
  iam:TagUser
  permissionsBoundary: arn:aws:iam::aws:policy/ReadOnlyAccess -> <nil>
  inlinePolicies[one]: map[Statement:[map[Action:s3:* Effect:Deny Resource:*]] Version:2012-10-17] -> <nil>`,
		},
		{
			name: "cluster settings and capacity providers",
			before: `ecs: {clusters: [{name: cluster, settings: [{name: containerInsights, value: enabled}],
				capacityProviders: [FARGATE, FARGATE_SPOT], defaultCapacityProviderStrategy: [{capacityProvider: FARGATE, weight: 1}]}]}`,
			after: `ecs: {clusters: [{name: cluster, settings: [{name: containerInsights, value: disabled}],
				capacityProviders: [FARGATE], defaultCapacityProviderStrategy: [{capacityProvider: FARGATE, weight: 2}]}]}`,
			want: `
ecs.cluster/cluster: update
  ecs:UpdateCluster
  ecs:PutClusterCapacityProviders
  ecs:TagResource
  settings.containerInsights: enabled -> disabled
  capacityProviders.FARGATE_SPOT: FARGATE_SPOT -> <nil>
  defaultCapacityProviderStrategy.FARGATE.weight: 1 -> 2`,
		},
		{
			name:   "cluster configuration",
			before: `ecs: {clusters: [{name: cluster, configuration: {executeCommandConfiguration: {logging: DEFAULT}}}]}`,
			after:  `ecs: {clusters: [{name: cluster, configuration: {executeCommandConfiguration: {logging: NONE}}}]}`,
			want: `
ecs.cluster/cluster: update
  ecs:UpdateCluster
  ecs:TagResource
  configuration.executeCommandConfiguration.logging: DEFAULT -> NONE`,
		},
		{
			name: "task definition volumes, storage and platform",
			before: task + `
      volumes: [{name: scratch}]
      ephemeralStorage: {sizeInGiB: 30}
      runtimePlatform: {cpuArchitecture: X86_64, operatingSystemFamily: LINUX}
      containerDefinitions: [{name: app, image: busybox, mountPoints: [{sourceVolume: scratch, containerPath: /tmp}]}]
`,
			after: task + `
      volumes: []
      ephemeralStorage: {sizeInGiB: 40}
      runtimePlatform: {cpuArchitecture: ARM64, operatingSystemFamily: LINUX}
      containerDefinitions: [{name: app, image: busybox}]
`,
			want: `
ecs.task-definition/task: update
  ecs:RegisterTaskDefinition
  containerDefinitions[app].mountPoints./tmp.containerPath: /tmp -> <nil>
  containerDefinitions[app].mountPoints./tmp.readOnly: false -> <nil>
  containerDefinitions[app].mountPoints./tmp.sourceVolume: scratch -> <nil>
  ephemeralStorage.sizeInGiB: 30 -> 40
  runtimePlatform.cpuArchitecture: X86_64 -> ARM64
  volumes[scratch].name: scratch -> <nil>`,
		},
		{
			name: "task definition with a proxy, faults and shared processes",
			before: task + `
      pidMode: task
      enableFaultInjection: true
      proxyConfiguration: {type: APPMESH, containerName: envoy, properties: [{name: IgnoredUID, value: "1337"}, {name: ProxyIngressPort, value: "15000"}]}
      containerDefinitions: [{name: app, image: "busybox:1"}, {name: envoy, image: envoy, user: "1337"}]
`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				a.registerTask(ctx, t, "512", "busybox:1")
			},
			want: `
ecs.task-definition/task: update
  ecs:RegisterTaskDefinition
  containerDefinitions[envoy].essential: <nil> -> true
  containerDefinitions[envoy].image: <nil> -> envoy
  containerDefinitions[envoy].name: <nil> -> envoy
  containerDefinitions[envoy].user: <nil> -> 1337
  enableFaultInjection: <nil> -> true
  pidMode: <nil> -> task
  proxyConfiguration.containerName: <nil> -> envoy
  proxyConfiguration.properties[IgnoredUID].name: <nil> -> IgnoredUID
  proxyConfiguration.properties[IgnoredUID].value: <nil> -> 1337
  proxyConfiguration.properties[ProxyIngressPort].name: <nil> -> ProxyIngressPort
  proxyConfiguration.properties[ProxyIngressPort].value: <nil> -> 15000
  proxyConfiguration.type: <nil> -> APPMESH
  tags.churn-reconcile:stack: <nil> -> test/test`,
		},
		{
			name: "task definition with proxy and faults taken away",
			before: task + `
      pidMode: task
      enableFaultInjection: true
      proxyConfiguration: {type: APPMESH, containerName: app}
      containerDefinitions: [{name: app, image: busybox}]
`,
			after: task + `
      pidMode: task
      enableFaultInjection: false
      proxyConfiguration: {}
      containerDefinitions: [{name: app, image: busybox}]
`,
			want: `
ecs.task-definition/task: update
  ecs:RegisterTaskDefinition
  enableFaultInjection: true -> <nil>
  proxyConfiguration.containerName: app -> <nil>
  proxyConfiguration.type: APPMESH -> <nil>`,
		},
		{
			name: "task definition placed on some instances",
			before: `
ecs:
  taskDefinitions:
    - family: task
      networkMode: bridge
      pidMode: host
      placementConstraints: [{type: memberOf, expression: "attribute:ecs.os-type == linux"}, {type: memberOf, expression: "attribute:gpu exists"}]
      containerDefinitions: [{name: app, image: busybox, memory: 64}]
`,
			after: `
ecs:
  taskDefinitions:
    - family: task
      networkMode: bridge
      pidMode: task
      placementConstraints: [{type: memberOf, expression: "attribute:ecs.os-type == linux"}]
      containerDefinitions: [{name: app, image: busybox, memory: 64}]
`,
			want: `
ecs.task-definition/task: update
  ecs:RegisterTaskDefinition
  pidMode: host -> task
  placementConstraints.attribute:gpu exists.expression: attribute:gpu exists -> <nil>
  placementConstraints.attribute:gpu exists.type: memberOf -> <nil>`,
		},
		{
			name: "task definition placed anywhere",
			before: `
ecs:
  taskDefinitions:
    - family: task
      placementConstraints: [{type: memberOf, expression: "attribute:gpu exists"}]
      containerDefinitions: [{name: app, image: busybox, memory: 64}]
`,
			after: `
ecs:
  taskDefinitions:
    - family: task
      placementConstraints: []
      containerDefinitions: [{name: app, image: busybox, memory: 64}]
`,
			want: `
ecs.task-definition/task: update
  ecs:RegisterTaskDefinition
  placementConstraints.attribute:gpu exists.expression: attribute:gpu exists -> <nil>
  placementConstraints.attribute:gpu exists.type: memberOf -> <nil>`,
		},
		{
			name: "an image that somebody else sets is left as it is",
			before: task + `
      ignore: ["containerDefinitions.*.image"]
      containerDefinitions: [{name: app, image: "busybox:1"}]
`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				a.registerTask(ctx, t, "512", "busybox:2")
			},
			// A revision made by hand has no tags.
			want: `
ecs.task-definition/task: update
  ecs:TagResource
  tags.churn-reconcile:stack: <nil> -> test/test`,
		},
		{
			name: "the twin of it: the image is the spec's",
			before: task + `
      containerDefinitions: [{name: app, image: "busybox:1"}]
`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				a.registerTask(ctx, t, "512", "busybox:2")
			},
			want: `
ecs.task-definition/task: update
  ecs:RegisterTaskDefinition
  containerDefinitions[app].image: busybox:2 -> busybox:1
  tags.churn-reconcile:stack: <nil> -> test/test`,
		},
		{
			name:   "tags of others are left alone, all others are not",
			before: "ignoreTags: [\"org:*\"]\necs: {clusters: [{name: cluster, tags: {Team: ml}}]}",
			hand: func(ctx context.Context, t testing.TB, a *account) {
				a.tagCluster(ctx, t, "org:cost-center", "Owner")
			},
			want: `
ecs.cluster/cluster: update
  ecs:UntagResource
  tags.Owner: x -> <nil>`,
		},
		{
			name:   "tags that are not given are left alone",
			before: `ecs: {clusters: [{name: cluster}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				a.tagCluster(ctx, t, "org:cost-center", "Owner")
			},
			want: ``,
		},
		{
			name:   "tags that are given as none are none",
			before: `ecs: {clusters: [{name: cluster, tags: {}}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				a.tagCluster(ctx, t, "Owner")
			},
			want: `
ecs.cluster/cluster: update
  ecs:UntagResource
  tags.Owner: x -> <nil>`,
		},
		{
			name:   "a bucket's fields that are not given are left alone",
			before: `s3: {buckets: [{name: data-of-test}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.s3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
					Bucket: aws.String("data-of-test"), VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
				}))
				done(t)(a.s3.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: aws.String("data-of-test")}))
			},
			want: ``,
		},
		{
			name:   "attachments that are not given are left alone",
			before: `iam: {users: [{name: ci}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("ci"), PolicyArn: aws.String(readOnlyARN)}))
			},
			want: ``,
		},
		{
			name:   "attachments that are given as none are none",
			before: `iam: {users: [{name: ci, policies: []}]}`,
			hand: func(ctx context.Context, t testing.TB, a *account) {
				done(t)(a.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("ci"), PolicyArn: aws.String(readOnlyARN)}))
			},
			want: `
iam.user/ci: update
  iam:DetachUserPolicy
  policies[ReadOnlyAccess]: arn:aws:iam::aws:policy/ReadOnlyAccess -> <nil>`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone(t)
			a := newAccount(t)
			path := a.stack(t, tt.before)
			a.mustApply(t, path)
			a.mustBeInSync(t, path)
			if tt.hand != nil {
				tt.hand(t.Context(), t, a)
			}
			if tt.after != "" {
				path = a.stack(t, tt.after)
			}
			wantChanges(t, tt.want, a.mustApply(t, path).changes())
			a.mustBeInSync(t, path)
			a.mustRoundTrip(t, path, tt.olderDefault)
		})
	}
}

func blockEncryption(ctx context.Context, t testing.TB, a *account, blocked s3types.EncryptionType) {
	t.Helper()
	done(t)(a.s3.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{
		Bucket: aws.String("data-of-test"),
		ServerSideEncryptionConfiguration: &s3types.ServerSideEncryptionConfiguration{Rules: []s3types.ServerSideEncryptionRule{{
			ApplyServerSideEncryptionByDefault: &s3types.ServerSideEncryptionByDefault{SSEAlgorithm: s3types.ServerSideEncryptionAes256},
			BlockedEncryptionTypes:             &s3types.BlockedEncryptionTypes{EncryptionType: []s3types.EncryptionType{blocked}},
		}}},
	}))
}

func protectLogGroup(ctx context.Context, t testing.TB, a *account, protected bool) {
	t.Helper()
	done(t)(a.logs.PutLogGroupDeletionProtection(ctx, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{
		LogGroupIdentifier: aws.String("/test"), DeletionProtectionEnabled: &protected,
	}))
}

func excludeTags(ctx context.Context, t testing.TB, a *account, mutability ecrtypes.ImageTagMutability, filters ...string) {
	t.Helper()
	in := &ecr.PutImageTagMutabilityInput{RepositoryName: aws.String("images"), ImageTagMutability: mutability}
	for _, f := range filters {
		in.ImageTagMutabilityExclusionFilters = append(in.ImageTagMutabilityExclusionFilters,
			ecrtypes.ImageTagMutabilityExclusionFilter{FilterType: ecrtypes.ImageTagMutabilityExclusionFilterTypeWildcard, Filter: &f})
	}
	done(t)(a.ecr.PutImageTagMutability(ctx, in))
}

func (a *account) registerTask(ctx context.Context, t testing.TB, cpu, image string) {
	t.Helper()
	done(t)(a.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("task"), NetworkMode: ecstypes.NetworkModeAwsvpc,
		RequiresCompatibilities: []ecstypes.Compatibility{ecstypes.CompatibilityFargate},
		Cpu:                     &cpu, Memory: aws.String("1024"),
		ContainerDefinitions: []ecstypes.ContainerDefinition{{Name: aws.String("app"), Image: &image}},
	}))
}

func (a *account) tagCluster(ctx context.Context, t testing.TB, keys ...string) {
	t.Helper()
	var tags []ecstypes.Tag
	for _, key := range keys {
		tags = append(tags, ecstypes.Tag{Key: &key, Value: aws.String("x")})
	}
	done(t)(a.ecs.TagResource(ctx, &ecs.TagResourceInput{
		ResourceArn: aws.String("arn:aws:ecs:" + region + ":" + accountID + ":cluster/cluster"), Tags: tags,
	}))
}
