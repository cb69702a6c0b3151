package spec

import (
	"fmt"
	"slices"
	"strings"
)

// translate is a hint for a field that goes by another name elsewhere: in
// Terraform, in CloudFormation, in AWS's console. names are the fields that
// there are.
func translate(have string, names []string) string {
	word := strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(have))
	for _, name := range names {
		if strings.ToLower(name) == word && name != have {
			return fmt.Sprintf("; did you mean %q?", name)
		}
	}
	for _, meant := range foreignWords()[word] {
		if slices.Contains(names, meant) {
			return fmt.Sprintf("; did you mean %q?", meant)
		}
	}
	if k, ok := ofTerraform(have); ok && slices.Contains(names, "project") {
		return fmt.Sprintf("; did you mean %q?", k.section+"."+k.list)
	}
	return ""
}

// foreignWords are names from elsewhere, in small letters without what parts
// their words, and what a spec calls the same.
func foreignWords() map[string][]string {
	return map[string][]string{
		// The top and the sections.
		"variable": {"vars"}, "variables": {"vars"}, "locals": {"vars"}, "parameters": {"vars"},
		"output": {"outputs"}, "env": {"environment"}, "stage": {"environment"}, "stack": {"project"},
		"awsregion": {"region"}, "awsaccount": {"account"}, "accountid": {"account"}, "allowedaccountids": {"account"},
		"defaulttags": {"tags"}, "labels": {"tags"}, "tagset": {"tags"}, "include": {"extends"}, "import": {"extends"},
		"cloudwatch": {"logs"}, "cloudwatchlogs": {"logs"}, "loggroups": {"logGroups"},
		"repository": {"repositories", "name"}, "task": {"taskDefinitions"}, "tasks": {"taskDefinitions"},

		// Names.
		"bucket": {"buckets", "name"}, "bucketname": {"name"}, "loggroupname": {"name"}, "loggroup": {"logGroups", "name"},
		"repositoryname": {"name"}, "rolename": {"name"}, "groupname": {"name"}, "username": {"name"}, "group": {"groups", "name"}, "user": {"users", "name"},
		"role": {"roles", "name"}, "policyname": {"name"}, "clustername": {"name"}, "cluster": {"clusters", "name"},
		"id": {"name"}, "taskdefinition": {"taskDefinitions"}, "taskfamily": {"family"}, "name": {"family"},

		// S3.
		"versioningconfiguration": {"versioning"}, "bucketversioning": {"versioning"},
		"serversideencryptionconfiguration": {"encryption"}, "bucketencryption": {"encryption"}, "defaultencryption": {"encryption"},
		"blockpublicaccess": {"publicAccessBlock"}, "publicaccessblockconfiguration": {"publicAccessBlock"},
		"ownershipcontrols": {"objectOwnership"}, "lifecyclerule": {"lifecycleRules"}, "lifecycleconfiguration": {"lifecycleRules"},
		"lifecycle": {"lifecycleRules", "lifecyclePolicy"}, "rules": {"lifecycleRules", "lifecyclePolicy"}, "bucketpolicy": {"policy"},
		"kmskeyid": {"kmsMasterKeyID", "kmsKeyId", "kmsKey"}, "kmskeyarn": {"kmsKeyId", "kmsMasterKeyID", "kmsKey"},
		"abortincompletemultipartuploaddays": {"abortIncompleteMultipartUpload"},

		// Logs and ECR.
		"retention": {"retentionInDays"}, "retentiondays": {"retentionInDays"}, "retentionsetting": {"retentionInDays"},
		"imagescanningconfiguration": {"scanOnPush"}, "imagescanning": {"scanOnPush"}, "tagmutability": {"imageTagMutability"},
		"tagimmutability": {"imageTagMutability"}, "encryptionconfiguration": {"encryption"}, "repositorypolicy": {"policy"},
		"forcedelete": {"forceDestroy"}, "forcedestroy": {"forceDelete"},

		// IAM.
		"trustpolicy": {"assumeRolePolicy"}, "trustrelationship": {"assumeRolePolicy"}, "assumerolepolicydocument": {"assumeRolePolicy"},
		"policy": {"document", "policies"}, "policydocument": {"document"}, "managedpolicyarns": {"policies"}, "managedpolicies": {"policies"},
		"attachedpolicies": {"policies"}, "inlinepolicy": {"inlinePolicies"}, "permissionsboundaryarn": {"permissionsBoundary"},
		"accesskeys": {"accessKey"}, "openidconnectproviders": {"oidcProviders"}, "sinks": {"deliver"}, "clientids": {"clientIDList"},
		"thumbprints": {"thumbprintList"}, "oidcprovider": {"oidcProviders", "provider"}, "rotation": {"rotateAfter"}, "filename": {"path"},

		// ECS.
		"setting": {"settings"}, "containerinsights": {"settings"}, "containers": {"containerDefinitions"}, "container": {"containerDefinitions"},
		"executionrolearn": {"executionRole"}, "taskrolearn": {"taskRole"}, "launchtype": {"requiresCompatibilities"},
		"compatibilities": {"requiresCompatibilities"}, "volume": {"volumes"}, "env_vars": {"environment"}, "envvars": {"environment"},
		"environmentvariables": {"environment"}, "ports": {"portMappings"}, "logging": {"logConfiguration"}, "cmd": {"command"},
	}
}

// ofTerraform is the kind that Terraform has this type of resource for.
func ofTerraform(name string) (kind, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.terraform != "" && k.terraform == name })
	if i < 0 {
		return kind{}, false
	}
	return kinds[i], true
}

// reshape says how to write what a field has in the form that it wants: a list
// of pairs as ECS has it, a mapping as a spec has tags.
func reshape(n *node, want nodeKind, name string) string {
	switch {
	case want == sequence && n.kind == mapping && slices.Contains([]string{"environment", "secrets"}, name) && len(n.fields) > 0:
		value := map[string]string{"environment": "value", "secrets": "valueFrom"}[name]
		return fmt.Sprintf("; write [{name: %s, %s: ...}]", clip(n.fields[0].key.text), value)
	case want == mapping && n.kind == sequence && name == "tags":
		return "; write Key: value, a line for each"
	}
	return ""
}

// foreignReference is a hint for a reference of Terraform's or
// CloudFormation's.
func foreignReference(expr string) string {
	head, rest, _ := strings.Cut(expr, ".")
	switch {
	case strings.HasPrefix(expr, "jsonencode("), strings.HasPrefix(expr, "file("), strings.HasPrefix(expr, "templatefile("):
		return ", which has no functions; a document stands in it as YAML, as JSON text or as {file: path}"
	case head == "local":
		return fmt.Sprintf("; did you mean \"var.%s\"?", clip(rest))
	case expr == "AWS::AccountId", strings.HasPrefix(expr, "data.aws_caller_identity."):
		return "; did you mean \"account\"?"
	case expr == "AWS::Region", strings.HasPrefix(expr, "data.aws_region."):
		return "; did you mean \"region\"?"
	case expr == "AWS::Partition", strings.HasPrefix(expr, "data.aws_partition."):
		return "; did you mean \"partition\"?"
	}
	if k, ok := ofTerraform(head); ok {
		return fmt.Sprintf("; a resource goes by its address and the name that it has in AWS: ${%s/NAME.arn}", k.Kind)
	}
	return ""
}
