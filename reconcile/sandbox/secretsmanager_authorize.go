package sandbox

import "encoding/json"

// secretsmanagerNeeds lists what Secrets Manager's operations need.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html
func secretsmanagerNeeds() map[string]needs {
	t := map[string]needs{"ListSecrets": anyResource}
	theseNeed(t, secretNeeds,
		"CreateSecret", "DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecret", "DeleteSecret", "RestoreSecret",
		"TagResource", "UntagResource", "GetResourcePolicy", "PutResourcePolicy", "DeleteResourcePolicy")
	return t
}

// secretNeeds is about a secret. One that does not exist is taken by the ARN
// that the sandbox would give it.
func secretNeeds(st *state, r *request) []need {
	var in struct {
		Name     string
		SecretID string
		Tags     []tag
		TagKeys  []string
	}
	_ = json.Unmarshal(r.body, &in) // what is malformed is for the operation to refuse
	if r.operation == "CreateSecret" {
		n := needed(r.action(), secretARN(r, in.Name)).with("secretsmanager:Name", in.Name)
		n.says = in.Name
		return n.alsoTagging("secretsmanager:TagResource", in.Tags)
	}
	n := needed(r.action(), secretARN(r, in.SecretID))
	n.says = in.SecretID
	if s, err := secretsFind(st, r, in.SecretID); err == nil {
		n.resource, n.policy = s.ARN, s.Policy
		n = n.tagged(tagList(s.Tags), "secretsmanager:ResourceTag/")
	}
	n = n.with("secretsmanager:SecretId", n.resource)
	return []need{n.tagging(in.Tags).with("aws:TagKeys", append(tagNames(in.Tags), in.TagKeys...)...)}
}
