package spec

import (
	"time"

	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// A Spec is what a file asks for, with every substitution made and every rule
// checked. It is read-only once bound.
//
// Throughout, a field's zero value means that the file left it out, and what
// is left out is not managed: not read, not changed. Where "empty" is a wish
// of its own, the type tells the two apart: a nil list, map or pointer is left
// out, an empty one is enforced.
type Spec struct {
	File        string `yaml:"-"`                           // the path as it was given, "-" for standard input
	Project     string `yaml:"project" required:"true"`     // the first half of the ownership mark
	Environment string `yaml:"environment" required:"true"` // the second half of the ownership mark
	Region      string `yaml:"region"`                      // where everything lives; left out: the region of the run
	Account     string `yaml:"account"`                     // a run with credentials of another account stops before its first write; never empty once bound
	Partition   string `yaml:"-"`                           // aws, aws-cn, aws-us-gov, ...

	// AccountGiven says that the file names the account, so that a run with
	// other credentials has to stop before its first write.
	AccountGiven bool `yaml:"-"`

	IgnoreTags []string `yaml:"ignoreTags"` // globs over tag keys of others, which are left alone
	Limits     Limits   `yaml:"limits"`     // what a run may do at most; over it nothing is written
	Suspend    bool     `yaml:"suspend"`    // watch only looks at this stack; a run that somebody starts takes no notice

	Lease Lease `yaml:"lease"` // lets one run of the stack at a time write; left out: any number

	// AssumeRole is the role that a run takes on for this stack; left out: the
	// run's own credentials.
	AssumeRole AssumeRole `yaml:"assumeRole"`

	// Access is what users and roles of the spec can and cannot do. Validation
	// fails where the spec's policies say otherwise.
	Access []Access `yaml:"access"`

	// Assertions is Access line by line, with its places in the file.
	Assertions []Assertion `yaml:"-"`

	S3      S3       `yaml:"s3"`
	Logs    Logs     `yaml:"logs"`
	ECR     ECR      `yaml:"ecr"`
	IAM     IAM      `yaml:"iam"`
	ECS     ECS      `yaml:"ecs"`
	Outputs []Output `yaml:"outputs"` // sorted by name

	resources []Resource
}

// Stack is the value of the ownership mark: PROJECT/ENVIRONMENT.
func (s *Spec) Stack() string { return s.Project + "/" + s.Environment }

// Limits are what one run may do at most. Left out there is none; 0 is one too.
type Limits struct {
	Changes  *int32 `yaml:"changes"`  // resources with anything to do
	Removals *int32 `yaml:"removals"` // things that are taken away in AWS
}

// Access states what a user or a role can and cannot do.
type Access struct {
	Principal string   `yaml:"principal" required:"true"` // iam.user/NAME or iam.role/NAME, of this spec
	Can       []string `yaml:"can"`                       // actions, with wildcards: each that matches is allowed on all of on, in some context
	Cannot    []string `yaml:"cannot"`                    // actions, with wildcards: none that matches is allowed on any of on, in whatever context
	On        []string `yaml:"on"`                        // ARNs, with wildcards; left out: everything
}

// Lease is an object in S3 that one run of the stack at a time holds.
type Lease struct {
	Bucket string        `yaml:"bucket" required:"true"` // has to be there before the first run
	Key    string        `yaml:"key"`                    // left out: churn-reconcile/PROJECT/ENVIRONMENT.json
	TTL    time.Duration `yaml:"ttl"`                    // how long a holder that died is waited for; left out: 2m
}

// AssumeRole is a role, usually of another account.
type AssumeRole struct {
	RoleARN    string `yaml:"roleArn" required:"true"` // the role's ARN
	ExternalID string `yaml:"externalId"`              // what the role's trust policy wants as sts:ExternalId; left out: nothing is sent
}

type (
	// S3 holds the buckets.
	S3 struct {
		Buckets []S3Bucket `yaml:"buckets"` // in the order of the file
	}
	// Logs holds the CloudWatch log groups.
	Logs struct {
		LogGroups []LogsLogGroup `yaml:"logGroups"` // in the order of the file
	}
	// ECR holds the repositories.
	ECR struct {
		Repositories []ECRRepository `yaml:"repositories"` // in the order of the file
	}
	// IAM holds OpenID Connect providers, policies, roles, groups and users.
	IAM struct {
		OIDCProviders []IAMOIDCProvider `yaml:"oidcProviders"` // in the order of the file
		Policies      []IAMPolicy       `yaml:"policies"`      // customer-managed policies
		Roles         []IAMRole         `yaml:"roles"`         // in the order of the file
		Groups        []IAMGroup        `yaml:"groups"`        // in the order of the file
		Users         []IAMUser         `yaml:"users"`         // in the order of the file
	}
	// ECS holds clusters and task definitions.
	ECS struct {
		Clusters        []ECSCluster        `yaml:"clusters"`        // in the order of the file
		TaskDefinitions []ECSTaskDefinition `yaml:"taskDefinitions"` // one a family
	}
)

// Meta is what every resource has. Tags are the stack's tags with the
// resource's own over them; nil where neither gives any, which leaves tags
// unmanaged save the ownership mark.
type Meta struct {
	Tags    map[string]string `yaml:"tags"`    // beside the stack's tags, over which they win
	Protect *bool             `yaml:"protect"` // true: kept from being deleted, also once it has left the spec, by a tag; false: no more; left out: not managed
	Needs   []ID              `yaml:"-"`       // sorted; what this resource refers to
}

func (m *Meta) meta() *Meta { return m }

// Common is what a resource has in common with every other one.
func (m Meta) Common() Meta { return m }

// A Resource is what a spec declares under an address.
type Resource interface {
	ID() ID
	Common() Meta
}

// A resource is one that is being bound.
type resource interface {
	Resource
	meta() *Meta
}

// ID is the bucket's address.
func (r S3Bucket) ID() ID { return ID{Bucket, r.Name} }

// ID is the log group's address.
func (r LogsLogGroup) ID() ID { return ID{LogGroup, r.Name} }

// ID is the repository's address.
func (r ECRRepository) ID() ID { return ID{Repository, r.Name} }

// ID is the provider's address.
func (r IAMOIDCProvider) ID() ID { return ID{OIDCProvider, r.URL} }

// ID is the policy's address.
func (r IAMPolicy) ID() ID { return ID{Policy, r.Name} }

// ID is the role's address.
func (r IAMRole) ID() ID { return ID{Role, r.Name} }

// ID is the group's address.
func (r IAMGroup) ID() ID { return ID{Group, r.Name} }

// ID is the user's address.
func (r IAMUser) ID() ID { return ID{User, r.Name} }

// ID is the cluster's address.
func (r ECSCluster) ID() ID { return ID{Cluster, r.Name} }

// ID is the task definition's address.
func (r ECSTaskDefinition) ID() ID { return ID{TaskDefinition, r.Family} }

// S3Bucket is a bucket. It is created in the spec's region.
type S3Bucket struct {
	Meta              `yaml:",inline"`
	Name              string                  `yaml:"name" required:"true"`                                                         // unique in all of AWS; cannot change
	Versioning        string                  `yaml:"versioning" enum:"Enabled Suspended"`                                          // once enabled it can only be suspended
	Encryption        *S3Encryption           `yaml:"encryption"`                                                                   // the default encryption of new objects
	PublicAccessBlock *S3PublicAccessBlock    `yaml:"publicAccessBlock"`                                                            // four switches, written as a whole
	ObjectOwnership   string                  `yaml:"objectOwnership" enum:"BucketOwnerEnforced BucketOwnerPreferred ObjectWriter"` // BucketOwnerEnforced: no ACLs
	LifecycleRules    []s3types.LifecycleRule `yaml:"lifecycleRules"`                                                               // empty: no lifecycle configuration
	Policy            Document                `yaml:"policy"`                                                                       // {}: no bucket policy
	ForceDestroy      bool                    `yaml:"forceDestroy"`                                                                 // a permission to the product, no property of AWS
}

// S3Encryption is a bucket's default encryption.
type S3Encryption struct {
	SSEAlgorithm           string   `yaml:"sseAlgorithm" required:"true" enum:"AES256 aws:kms aws:kms:dsse"` // AES256: keys of S3
	KMSMasterKeyID         *string  `yaml:"kmsMasterKeyID"`                                                  // an ARN; left out: the AWS-managed key
	BucketKeyEnabled       *bool    `yaml:"bucketKeyEnabled"`                                                // one call to KMS for many objects; left out: not managed
	BlockedEncryptionTypes []string `yaml:"blockedEncryptionTypes" enum:"NONE SSE-C"`                        // encryption that no new object may have; NONE, alone: none is blocked; left out: not managed
}

// S3PublicAccessBlock holds the four switches; each one left out is false, as
// in AWS's own API, because the configuration is written whole.
type S3PublicAccessBlock struct {
	BlockPublicAcls       bool `yaml:"blockPublicAcls"`       // refuse new public ACLs
	IgnorePublicAcls      bool `yaml:"ignorePublicAcls"`      // take public ACLs for private
	BlockPublicPolicy     bool `yaml:"blockPublicPolicy"`     // refuse new public policies
	RestrictPublicBuckets bool `yaml:"restrictPublicBuckets"` // a public policy opens nothing to other accounts
}

// LogsLogGroup is a CloudWatch log group.
type LogsLogGroup struct {
	Meta                      `yaml:",inline"`
	Name                      string  `yaml:"name" required:"true"`                                                                                              // cannot change
	RetentionInDays           *int32  `yaml:"retentionInDays" enum:"never 1 2 3 5 7 14 30 60 90 120 150 180 365 400 545 731 1096 1827 2192 2557 2922 3288 3653"` // never, which is 0 once loaded: events do not expire
	KMSKeyID                  *string `yaml:"kmsKeyId"`                                                                                                          // an ARN; "": no key
	DeletionProtectionEnabled *bool   `yaml:"deletionProtectionEnabled"`                                                                                         // true: AWS refuses to delete the group
	LogGroupClass             string  `yaml:"logGroupClass" enum:"STANDARD INFREQUENT_ACCESS DELIVERY"`                                                          // cannot change
}

// ECRRepository is an image repository.
type ECRRepository struct {
	Meta                               `yaml:",inline"`
	Name                               string                                       `yaml:"name" required:"true"`                                                                        // cannot change
	ImageTagMutability                 string                                       `yaml:"imageTagMutability" enum:"MUTABLE IMMUTABLE MUTABLE_WITH_EXCLUSION IMMUTABLE_WITH_EXCLUSION"` // whether a tag can be moved to another image
	ImageTagMutabilityExclusionFilters []ecrtypes.ImageTagMutabilityExclusionFilter `yaml:"imageTagMutabilityExclusionFilters"`                                                          // wildcards over tags that the opposite holds for, with one of the two …_WITH_EXCLUSION
	ScanOnPush                         *bool                                        `yaml:"scanOnPush"`                                                                                  // look for known vulnerabilities in each pushed image
	Encryption                         *ECREncryption                               `yaml:"encryption"`                                                                                  // cannot change
	LifecyclePolicy                    Document                                     `yaml:"lifecyclePolicy"`                                                                             // which images expire; {}: none
	Policy                             Document                                     `yaml:"policy"`                                                                                      // who else may pull and push; {}: none
	ForceDelete                        bool                                         `yaml:"forceDelete"`                                                                                 // a permission to the product, no property of AWS
}

// ECREncryption is a repository's encryption at rest.
type ECREncryption struct {
	EncryptionType string  `yaml:"encryptionType" required:"true" enum:"AES256 KMS KMS_DSSE"` // AES256: keys of ECR
	KMSKey         *string `yaml:"kmsKey"`                                                    // an ARN; left out: the AWS-managed key
}

// IAMOIDCProvider is an OpenID Connect provider, such as GitHub's. There is
// one of a URL in an account.
type IAMOIDCProvider struct {
	Meta           `yaml:",inline"`
	URL            string   `yaml:"url" required:"true"`          // its name; https:// may stand before it and is taken off; cannot change
	ClientIDList   []string `yaml:"clientIDList" required:"true"` // whom its tokens are for, at least one; AWS's own is sts.amazonaws.com
	ThumbprintList []string `yaml:"thumbprintList"`               // of its certificates, 40 hex digits each; left out: not managed, AWS finds out itself
}

// IAMPolicy is a customer-managed policy. Name, path and description cannot
// change in AWS.
type IAMPolicy struct {
	Meta        `yaml:",inline"`
	Name        string   `yaml:"name" required:"true"`     // cannot change
	Path        string   `yaml:"path"`                     // left out: "/"; cannot change
	Description *string  `yaml:"description"`              // cannot change
	Document    Document `yaml:"document" required:"true"` // what it allows and denies
}

// IAMRole is a role with its trust policy. Name and path cannot change.
type IAMRole struct {
	Meta                `yaml:",inline"`
	Name                string              `yaml:"name" required:"true"` // cannot change
	Path                string              `yaml:"path"`                 // left out: "/"; cannot change
	Description         *string             `yaml:"description"`          // for people
	AssumeRolePolicy    Document            `yaml:"assumeRolePolicy"`     // who may take the role; once bound, also what trust comes to
	Trust               *RoleTrust          `yaml:"trust"`                // short for an assumeRolePolicy, in its place
	MaxSessionDuration  *int32              `yaml:"maxSessionDuration"`   // seconds, 3600 to 43200
	PermissionsBoundary *string             `yaml:"permissionsBoundary"`  // a policy of this spec by name or any by ARN, resolved to an ARN; "": none
	Policies            []string            `yaml:"policies"`             // those of this spec by name, any by ARN, resolved to ARNs; empty: none attached
	InlinePolicies      map[string]Document `yaml:"inlinePolicies"`       // by name; empty: none
}

// RoleTrust says in short who may take a role.
type RoleTrust struct {
	GitHub *GitHubTrust `yaml:"github" required:"true"` // workflows of GitHub Actions
}

// GitHubTrust lets the workflows of a repository take a role, through an
// OpenID Connect provider and without an access key. At most one of Branch,
// Environment and Tag is set, since GitHub's token names only one. Without
// any, every workflow of the repository may, those of pull requests included.
type GitHubTrust struct {
	Repository  string `yaml:"repository" required:"true"` // owner/name, or owner@ID/name@ID where GitHub puts the numbers into its tokens, as it does for repositories made since July 2026
	Branch      string `yaml:"branch"`                     // jobs on this branch; * stands for any text
	Environment string `yaml:"environment"`                // jobs in this environment, on whatever branch
	Tag         string `yaml:"tag"`                        // jobs on this tag; * stands for any text
	Provider    string `yaml:"provider"`                   // the URL of one of this spec or of the account; left out: token.actions.githubusercontent.com
}

// IAMGroup is a group of users, who may do what it may. Its users say that they
// are in it. AWS keeps no tags of a group, so it carries no ownership mark: one
// that is there already is kept as the spec says, whoever made it, and none is
// ever deleted. Let only one stack declare a group.
type IAMGroup struct {
	Meta           `yaml:"-"`
	Name           string              `yaml:"name" required:"true"` // cannot change
	Path           string              `yaml:"path"`                 // left out: "/"; cannot change
	Policies       []string            `yaml:"policies"`             // those of this spec by name, any by ARN, resolved to ARNs; empty: none attached
	InlinePolicies map[string]Document `yaml:"inlinePolicies"`       // by name; empty: none
}

// IAMUser is a user.
type IAMUser struct {
	Meta                `yaml:",inline"`
	Name                string              `yaml:"name" required:"true"` // cannot change
	Path                string              `yaml:"path"`                 // left out: "/"; cannot change
	PermissionsBoundary *string             `yaml:"permissionsBoundary"`  // a policy of this spec by name or any by ARN, resolved to an ARN; "": none
	Policies            []string            `yaml:"policies"`             // those of this spec by name, any by ARN, resolved to ARNs; empty: none attached
	InlinePolicies      map[string]Document `yaml:"inlinePolicies"`       // by name; empty: none
	Groups              []string            `yaml:"groups"`               // the groups that the user is in, of this spec or any other, by name; at most 10; empty: in none
	AccessKey           *IAMAccessKey       `yaml:"accessKey"`            // the one key pair that the stack keeps for the user
}

// IAMAccessKey is the one key pair that the stack keeps for a user. It has an
// address of its own, iam.access-key/USER.
type IAMAccessKey struct {
	Deliver     []Sink        `yaml:"deliver" required:"true"` // at least one: AWS tells the secret only once
	RotateAfter time.Duration `yaml:"rotateAfter"`             // the age at which the key gets a successor; left out: never
	RetireAfter time.Duration `yaml:"retireAfter"`             // how long a succeeded key has to be idle to become inactive, and then inactive to be deleted; left out: 24h
}

// A Sink is a place that the key pair is delivered to. Exactly one field is
// set.
type Sink struct {
	File           *FileSink           `yaml:"file"`           // a file on this machine
	GitHub         *GitHubSink         `yaml:"github"`         // two secrets of GitHub Actions
	SecretsManager *SecretsManagerSink `yaml:"secretsManager"` // a secret of AWS Secrets Manager
}

// FileSink writes the pair into a file of mode 0600.
type FileSink struct {
	Path    string `yaml:"path" required:"true"`          // relative to the working directory
	Profile string `yaml:"profile"`                       // of the credentials format; left out: the user's name
	Format  string `yaml:"format" enum:"credentials env"` // credentials, like ~/.aws/credentials, or env, NAME=VALUE lines; left out: credentials
}

// GitHubSink writes the pair into two secrets of GitHub Actions: of a
// repository, of one of its environments, or of an organization.
type GitHubSink struct {
	Repository      string `yaml:"repository"`      // owner/name
	Environment     string `yaml:"environment"`     // of the repository; left out: the repository's own secrets
	Organization    string `yaml:"organization"`    // in place of a repository
	KeyIDSecret     string `yaml:"keyIdSecret"`     // in capitals once bound, as GitHub keeps it; left out: AWS_ACCESS_KEY_ID
	SecretKeySecret string `yaml:"secretKeySecret"` // in capitals once bound, as GitHub keeps it; left out: AWS_SECRET_ACCESS_KEY
}

// SecretsManagerSink writes the pair as JSON into a secret of AWS Secrets
// Manager, which is created, with the user's tags, where it does not exist.
type SecretsManagerSink struct {
	Name     string  `yaml:"name" required:"true"` // in the spec's region; not an ARN
	KMSKeyID *string `yaml:"kmsKeyId"`             // an ARN; left out: the AWS-managed key for a new secret, not managed for an old one
}

// ECSCluster is a cluster. Settings, capacity providers and configuration
// that are given are the truth as a whole.
type ECSCluster struct {
	Meta                            `yaml:",inline"`
	Name                            string                                  `yaml:"name" required:"true"`            // cannot change
	Settings                        []ecstypes.ClusterSetting               `yaml:"settings"`                        // containerInsights
	CapacityProviders               []string                                `yaml:"capacityProviders"`               // FARGATE, FARGATE_SPOT, or an Auto Scaling group's
	DefaultCapacityProviderStrategy []ecstypes.CapacityProviderStrategyItem `yaml:"defaultCapacityProviderStrategy"` // over the capacityProviders
	Configuration                   *ecstypes.ClusterConfiguration          `yaml:"configuration"`                   // of ECS Exec and of storage
}

// ECSTaskDefinition is a family whose latest active revision is kept as the
// spec says.
type ECSTaskDefinition struct {
	Meta                    `yaml:",inline"`
	Family                  string                                       `yaml:"family" required:"true"`                     // cannot change
	NetworkMode             string                                       `yaml:"networkMode" enum:"none bridge awsvpc host"` // FARGATE wants awsvpc
	PIDMode                 string                                       `yaml:"pidMode" enum:"host task"`                   // whose processes the containers see; left out: each its own
	RequiresCompatibilities []ecstypes.Compatibility                     `yaml:"requiresCompatibilities"`                    // what ECS checks the definition for
	CPU                     string                                       `yaml:"cpu"`                                        // "512", "0.5 vCPU"
	Memory                  string                                       `yaml:"memory"`                                     // "1024", "1 GB"
	ExecutionRole           *string                                      `yaml:"executionRole"`                              // what pulls the image and writes logs: a role of this spec by name or any by ARN, resolved to an ARN; "": none
	TaskRole                *string                                      `yaml:"taskRole"`                                   // what the containers work with: a role of this spec by name or any by ARN, resolved to an ARN; "": none
	RuntimePlatform         *ecstypes.RuntimePlatform                    `yaml:"runtimePlatform"`                            // operating system and processor
	EphemeralStorage        *ecstypes.EphemeralStorage                   `yaml:"ephemeralStorage"`                           // beyond the 20 GiB of every task on Fargate
	EnableFaultInjection    *bool                                        `yaml:"enableFaultInjection"`                       // whether containers may ask for faults to be injected
	ProxyConfiguration      *ecstypes.ProxyConfiguration                 `yaml:"proxyConfiguration"`                         // of App Mesh; {}: none
	PlacementConstraints    []ecstypes.TaskDefinitionPlacementConstraint `yaml:"placementConstraints"`                       // where tasks may run, on EC2 alone; empty: anywhere
	Volumes                 []ecstypes.Volume                            `yaml:"volumes"`                                    // empty: none
	ContainerDefinitions    []ecstypes.ContainerDefinition               `yaml:"containerDefinitions" required:"true"`       // at least one, one of them essential
	Ignore                  []string                                     `yaml:"ignore"`                                     // paths left as they are live, like containerDefinitions.*.image
}

// A Document is a policy document as JSON text, keys in the order in which the
// file has them. nil: left out. "{}": empty, which asks for none to be there.
type Document []byte

// An Output is a named value of the spec.
type Output struct {
	Name      string
	Value     Template
	Sensitive bool // refers to an access key
}

// A Template is text with references that only AWS can answer: an access
// key's id, a task definition's revision. Everything else is text already.
type Template []Part

// A Part is literal text, or a reference where ID is not zero.
type Part struct {
	Text string
	ID   ID
	Attr string // accessKeyId, secretAccessKey, arn, revision
}
