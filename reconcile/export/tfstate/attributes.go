package tfstate

import (
	"slices"
	"strings"

	"github.com/churn-reconcile/churn-reconcile/spec"
)

// attributes are those of the AWS provider's attributes that say what to look
// for, over all types. What AWS has of it is not taken from here.
type attributes struct {
	ID         string `json:"id"`
	ARN        string `json:"arn"`
	Region     string `json:"region"`
	RegistryID string `json:"registry_id"`

	// What a resource is called, or the one that it is a part of.
	Name       string   `json:"name"`
	Path       string   `json:"path"`
	Bucket     string   `json:"bucket"`
	Repository string   `json:"repository"`
	Family     string   `json:"family"`
	URL        string   `json:"url"`
	Cluster    string   `json:"cluster_name"`
	Role       string   `json:"role"`
	User       string   `json:"user"`
	Group      string   `json:"group"`
	RoleName   string   `json:"role_name"`
	UserName   string   `json:"user_name"`
	GroupName  string   `json:"group_name"`
	Roles      []string `json:"roles"`
	Users      []string `json:"users"`
	Groups     []string `json:"groups"`

	// What Terraform looks after.
	Tags    map[string]*string `json:"tags"`
	TagsAll map[string]*string `json:"tags_all"` // with the provider's default_tags

	ForceDestroy bool `json:"force_destroy"`
	ForceDelete  bool `json:"force_delete"`
	SkipDestroy  bool `json:"skip_destroy"`

	RetentionInDays int    `json:"retention_in_days"`
	KMSKeyID        string `json:"kms_key_id"`
	LogGroupClass   string `json:"log_group_class"`

	ImageTagMutability       string `json:"image_tag_mutability"`
	ImageTagExclusionFilters given  `json:"image_tag_mutability_exclusion_filter"`
	ImageScanning            []struct {
		ScanOnPush bool `json:"scan_on_push"`
	} `json:"image_scanning_configuration"`
	Encryption []struct {
		Type string `json:"encryption_type"`
	} `json:"encryption_configuration"`

	Description         string   `json:"description"`
	MaxSessionDuration  int      `json:"max_session_duration"`
	PermissionsBoundary string   `json:"permissions_boundary"`
	ManagedPolicyARNs   []string `json:"managed_policy_arns"`
	InlinePolicy        given    `json:"inline_policy"`
	ThumbprintList      []string `json:"thumbprint_list"`

	Settings []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"setting"`
	Configuration           given    `json:"configuration"`
	ServiceConnectDefaults  given    `json:"service_connect_defaults"`
	CapacityProviders       []string `json:"capacity_providers"`
	DefaultCapacityStrategy given    `json:"default_capacity_provider_strategy"`

	NetworkMode          string   `json:"network_mode"`
	PIDMode              string   `json:"pid_mode"`
	Compatibilities      []string `json:"requires_compatibilities"`
	CPU                  string   `json:"cpu"`
	Memory               string   `json:"memory"`
	ExecutionRoleARN     string   `json:"execution_role_arn"`
	TaskRoleARN          string   `json:"task_role_arn"`
	RuntimePlatform      given    `json:"runtime_platform"`
	EphemeralStorage     given    `json:"ephemeral_storage"`
	EnableFaultInjection bool     `json:"enable_fault_injection"`
	ProxyConfiguration   given    `json:"proxy_configuration"`
	PlacementConstraints given    `json:"placement_constraints"`
	Volumes              given    `json:"volume"`

	// Of a bucket's encryption. Other types have rules of other kinds.
	Rule []struct {
		BlockedEncryptionTypes given `json:"blocked_encryption_types"`
	} `json:"rule"`

	// Arguments of aws_s3_bucket from before the provider's version 4, which
	// are what was read ever since.
	Versioning []struct {
		Enabled bool `json:"enabled"`
	} `json:"versioning"`
	LifecycleRule given `json:"lifecycle_rule"`

	// The secrets of an access key. Nothing that is printed is made of them.
	Secret       string `json:"secret"`
	SMTPPassword string `json:"ses_smtp_password_v4"`
}

// given says of a block or a list whether anything stands in it.
type given bool

func (g *given) UnmarshalJSON(raw []byte) error {
	*g = given(!slices.Contains([]string{"null", "[]", "{}", `""`}, string(raw)))
	return nil
}

// A find is a resource of the product that an object of the state is, or is a
// part of, and the fields of it that Terraform looks after there.
type find struct {
	id     spec.ID
	path   string // IAM's
	fields []string
	notes  []string

	// blocks says that Terraform looks after which encryption a bucket blocks,
	// which its provider knows of since version 6.
	blocks bool
}

// whole is what an object is by itself; not ok where it is no kind of the
// product's. A state cannot tell what was set from what AWS had filled in, for
// arguments that may be left out. They are taken for set where they are not
// what AWS has by default: to leave out what somebody has set would lose it, and
// to write what AWS gave costs a line that changes nothing.
func (o *object) whole() (find, bool) {
	a := &o.attributes
	var f find
	add := func(set bool, fields ...string) {
		if set {
			f.fields = append(f.fields, fields...)
		}
	}
	add(len(a.Tags) > 0 || len(a.TagsAll) > 0, "tags")
	switch o.address.Type {
	case "aws_s3_bucket":
		f.id = spec.ID{Kind: spec.Bucket, Name: a.Bucket}
		add(a.ForceDestroy, "forceDestroy")
	case "aws_cloudwatch_log_group":
		f.id = spec.ID{Kind: spec.LogGroup, Name: a.Name}
		add(a.RetentionInDays != 0, "retentionInDays")
		add(a.KMSKeyID != "", "kmsKeyId")
		add(a.LogGroupClass != "" && a.LogGroupClass != "STANDARD", "logGroupClass")
	case "aws_ecr_repository":
		f.id = spec.ID{Kind: spec.Repository, Name: a.Name}
		add(a.ImageTagMutability != "" && a.ImageTagMutability != "MUTABLE", "imageTagMutability")
		add(bool(a.ImageTagExclusionFilters), "imageTagMutabilityExclusionFilters")
		add(len(a.ImageScanning) > 0 && a.ImageScanning[0].ScanOnPush, "scanOnPush")
		add(len(a.Encryption) > 0 && a.Encryption[0].Type != "AES256", "encryption")
		add(a.ForceDelete, "forceDelete")
	case "aws_iam_openid_connect_provider":
		f.id = spec.ID{Kind: spec.OIDCProvider, Name: strings.TrimPrefix(a.URL, "https://")}
		add(true, "clientIDList")
		add(len(a.ThumbprintList) > 0, "thumbprintList")
	case "aws_iam_policy":
		f.id, f.path = spec.ID{Kind: spec.Policy, Name: a.Name}, a.Path
		add(a.Path != "" && a.Path != "/", "path")
		add(a.Description != "", "description")
		add(true, "document")
	case "aws_iam_role":
		f.id, f.path = spec.ID{Kind: spec.Role, Name: a.Name}, a.Path
		add(a.Path != "" && a.Path != "/", "path")
		add(a.Description != "", "description")
		add(true, "assumeRolePolicy")
		add(a.MaxSessionDuration != 0 && a.MaxSessionDuration != 3600, "maxSessionDuration")
		add(a.PermissionsBoundary != "", "permissionsBoundary")
		add(len(a.ManagedPolicyARNs) > 0, "policies")
		add(bool(a.InlinePolicy), "inlinePolicies")
	case "aws_iam_group":
		f.id, f.path = spec.ID{Kind: spec.Group, Name: a.Name}, a.Path
		add(a.Path != "" && a.Path != "/", "path")
	case "aws_iam_user":
		f.id, f.path = spec.ID{Kind: spec.User, Name: a.Name}, a.Path
		add(a.Path != "" && a.Path != "/", "path")
		add(a.PermissionsBoundary != "", "permissionsBoundary")
	case "aws_ecs_cluster":
		f.id = spec.ID{Kind: spec.Cluster, Name: a.Name}
		for _, s := range a.Settings {
			add(s.Name == "containerInsights" && s.Value != "disabled", "settings")
		}
		add(bool(a.Configuration), "configuration")
		add(len(a.CapacityProviders) > 0, "capacityProviders")
		add(bool(a.DefaultCapacityStrategy), "defaultCapacityProviderStrategy")
	case "aws_ecs_task_definition":
		f.id = spec.ID{Kind: spec.TaskDefinition, Name: a.Family}
		add(a.NetworkMode != "", "networkMode")
		add(a.PIDMode != "", "pidMode")
		add(len(a.Compatibilities) > 0, "requiresCompatibilities")
		add(a.CPU != "", "cpu")
		add(a.Memory != "", "memory")
		add(a.ExecutionRoleARN != "", "executionRole")
		add(a.TaskRoleARN != "", "taskRole")
		add(bool(a.RuntimePlatform), "runtimePlatform")
		add(bool(a.EphemeralStorage), "ephemeralStorage")
		add(a.EnableFaultInjection, "enableFaultInjection")
		add(bool(a.ProxyConfiguration), "proxyConfiguration")
		add(bool(a.PlacementConstraints), "placementConstraints")
		add(bool(a.Volumes), "volumes")
		add(true, "containerDefinitions")
	default:
		return find{}, false
	}
	f.notes = o.notes()
	return f, true
}

// notes are what Terraform kept of an object and a spec has no field for, or
// may not have kept.
func (o *object) notes() []string {
	a := &o.attributes
	var notes []string
	note := func(is bool, text string) {
		if is {
			notes = append(notes, text)
		}
	}
	note(a.SkipDestroy, "Terraform had skip_destroy on it.")
	note(bool(a.ServiceConnectDefaults), "Terraform gave it service_connect_defaults, which are left as they are.")
	return notes
}

// parts are what an object is a part of; none where it is no part of any kind
// of the product's. An attachment for several has as many.
func (o *object) parts() []find {
	a := &o.attributes
	part := func(kind spec.Kind, name string, fields ...string) []find {
		return []find{{id: spec.ID{Kind: kind, Name: name}, fields: fields}}
	}
	each := func(kind spec.Kind, names []string, field string) []find {
		var all []find
		for _, name := range names {
			all = append(all, part(kind, name, field)...)
		}
		return all
	}
	switch o.address.Type {
	case "aws_s3_bucket_versioning":
		return part(spec.Bucket, a.Bucket, "versioning")
	case "aws_s3_bucket_server_side_encryption_configuration":
		all := part(spec.Bucket, a.Bucket, "encryption")
		all[0].blocks = len(a.Rule) > 0 && bool(a.Rule[0].BlockedEncryptionTypes)
		return all
	case "aws_s3_bucket_public_access_block":
		return part(spec.Bucket, a.Bucket, "publicAccessBlock")
	case "aws_s3_bucket_ownership_controls":
		return part(spec.Bucket, a.Bucket, "objectOwnership")
	case "aws_s3_bucket_lifecycle_configuration":
		return part(spec.Bucket, a.Bucket, "lifecycleRules")
	case "aws_s3_bucket_policy":
		return part(spec.Bucket, a.Bucket, "policy")

	case "aws_ecr_lifecycle_policy":
		return part(spec.Repository, a.Repository, "lifecyclePolicy")
	case "aws_ecr_repository_policy":
		return part(spec.Repository, a.Repository, "policy")

	case "aws_ecs_cluster_capacity_providers":
		return part(spec.Cluster, a.Cluster, "capacityProviders", "defaultCapacityProviderStrategy")

	case "aws_iam_role_policy_attachment":
		return part(spec.Role, a.Role, "policies")
	case "aws_iam_role_policy_attachments_exclusive":
		return part(spec.Role, a.RoleName, "policies")
	case "aws_iam_role_policy":
		return part(spec.Role, a.Role, "inlinePolicies")
	case "aws_iam_role_policies_exclusive":
		return part(spec.Role, a.RoleName, "inlinePolicies")

	case "aws_iam_user_policy_attachment":
		return part(spec.User, a.User, "policies")
	case "aws_iam_user_policy_attachments_exclusive":
		return part(spec.User, a.UserName, "policies")
	case "aws_iam_user_policy":
		return part(spec.User, a.User, "inlinePolicies")
	case "aws_iam_user_policies_exclusive":
		return part(spec.User, a.UserName, "inlinePolicies")
	case "aws_iam_user_group_membership":
		return part(spec.User, a.User, "groups")
	case "aws_iam_access_key":
		return part(spec.AccessKey, a.User)

	case "aws_iam_group_policy_attachment":
		return part(spec.Group, a.Group, "policies")
	case "aws_iam_group_policy_attachments_exclusive":
		return part(spec.Group, a.GroupName, "policies")
	case "aws_iam_group_policy":
		return part(spec.Group, a.Group, "inlinePolicies")
	case "aws_iam_group_policies_exclusive":
		return part(spec.Group, a.GroupName, "inlinePolicies")
	case "aws_iam_group_membership":
		return each(spec.User, a.Users, "groups")

	case "aws_iam_policy_attachment":
		return slices.Concat(each(spec.Role, a.Roles, "policies"), each(spec.User, a.Users, "policies"), each(spec.Group, a.Groups, "policies"))
	}
	return nil
}
