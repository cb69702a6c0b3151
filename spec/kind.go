package spec

import (
	"cmp"
	"slices"
	"strings"
)

// A Kind is the first half of an address: a service and what it keeps.
type Kind string

// The kinds.
const (
	Bucket         Kind = "s3.bucket"
	LogGroup       Kind = "logs.log-group"
	Repository     Kind = "ecr.repository"
	OIDCProvider   Kind = "iam.oidc-provider"
	Policy         Kind = "iam.policy"
	Role           Kind = "iam.role"
	Group          Kind = "iam.group"
	User           Kind = "iam.user"
	AccessKey      Kind = "iam.access-key"
	Cluster        Kind = "ecs.cluster"
	TaskDefinition Kind = "ecs.task-definition"
)

// kinds is the table of kinds: what the rest of the program has to know of each,
// beside its type, its checks and its calls. Reports list them in this order,
// and writes go in it where no dependency decides.
var kinds = []kind{
	{
		Kind: Bucket, section: "s3", list: "buckets", name: "name", terraform: "aws_s3_bucket",
		arn: "arn:{partition}:s3:::{name}", attributes: []string{"name", "arn"},
	},
	{
		Kind: LogGroup, section: "logs", list: "logGroups", name: "name", terraform: "aws_cloudwatch_log_group",
		// Without the ":*" that some of the API appends.
		arn: "arn:{partition}:logs:{region}:{account}:log-group:{name}", attributes: []string{"name", "arn"},
	},
	{
		Kind: Repository, section: "ecr", list: "repositories", name: "name", terraform: "aws_ecr_repository",
		arn: "arn:{partition}:ecr:{region}:{account}:repository/{name}", attributes: []string{"name", "arn", "uri"},
	},
	{
		Kind: OIDCProvider, section: "iam", list: "oidcProviders", name: "url", terraform: "aws_iam_openid_connect_provider", spelled: issuer,
		arn: "arn:{partition}:iam::{account}:oidc-provider/{name}", attributes: []string{"name", "arn", "url"},
	},
	{
		Kind: Policy, section: "iam", list: "policies", name: "name", terraform: "aws_iam_policy", foldsName: true,
		arn: "arn:{partition}:iam::{account}:policy{path}{name}", attributes: []string{"name", "arn"},
	},
	{
		Kind: Role, section: "iam", list: "roles", name: "name", terraform: "aws_iam_role", foldsName: true, foldsTags: true,
		arn: "arn:{partition}:iam::{account}:role{path}{name}", attributes: []string{"name", "arn"},
	},
	{
		Kind: Group, section: "iam", list: "groups", name: "name", terraform: "aws_iam_group", foldsName: true, untagged: true,
		arn: "arn:{partition}:iam::{account}:group{path}{name}", attributes: []string{"name", "arn"},
	},
	{
		Kind: User, section: "iam", list: "users", name: "name", terraform: "aws_iam_user", foldsName: true, foldsTags: true,
		arn: "arn:{partition}:iam::{account}:user{path}{name}", attributes: []string{"name", "arn", "accessKeyId", "secretAccessKey"},
	},
	{
		// Its user declares it. It has neither an ARN nor tags.
		Kind: AccessKey, attributes: []string{"name", "accessKeyId", "secretAccessKey"},
	},
	{
		Kind: Cluster, section: "ecs", list: "clusters", name: "name", terraform: "aws_ecs_cluster",
		arn: "arn:{partition}:ecs:{region}:{account}:cluster/{name}", attributes: []string{"name", "arn"},
	},
	{
		// A revision's number, and so its ARN, is born in AWS.
		Kind: TaskDefinition, section: "ecs", list: "taskDefinitions", name: "family", terraform: "aws_ecs_task_definition", attributes: []string{"name", "family", "arn", "revision"},
	},
}

// A kind is a row of the table.
type kind struct {
	Kind
	section, list string // where a file declares it; "": nowhere
	name          string // the field that names it
	spelled       func(string) string
	terraform     string   // what Terraform calls its type
	arn           string   // "": it has none that follows from its name
	attributes    []string // what can be said of it after ADDRESS and a dot
	foldsName     bool     // IAM takes names that differ in case only for the same
	foldsTags     bool     // IAM takes tag keys that differ in case only for the same
	untagged      bool     // AWS keeps no tags of it, and so no ownership mark
}

// rank is a kind's place in the table, -1 where it is none.
func (k Kind) rank() int {
	return slices.IndexFunc(kinds, func(row kind) bool { return row.Kind == k })
}

// row is a kind's row; the zero one where it is none.
func (k Kind) row() kind {
	if i := k.rank(); i >= 0 {
		return kinds[i]
	}
	return kind{}
}

// Kinds lists every kind in report order.
func Kinds() []Kind {
	all := make([]Kind, len(kinds))
	for i, row := range kinds {
		all[i] = row.Kind
	}
	return all
}

// SameName says that AWS takes two names of the kind for the same.
func (k Kind) SameName(a, b string) bool {
	return a == b || k.row().foldsName && strings.EqualFold(a, b)
}

// FoldsTags says that AWS takes tag keys that differ in case only for the same:
// to tag Project replaces project, and to untag either takes away whichever is
// there.
func (k Kind) FoldsTags() bool { return k.row().foldsTags }

// ARN is where a resource of this name is in AWS, "" where only AWS knows. path
// is IAM's; "" is "/".
func (k Kind) ARN(name, path string, in Identity) string {
	return strings.NewReplacer(
		"{partition}", in.Partition, "{region}", in.Region, "{account}", in.Account,
		"{path}", cmp.Or(path, "/"), "{name}", name,
	).Replace(k.row().arn)
}

// Located is the resource that an ARN names, with IAM's path. It is not ok where
// that is of no kind here, or somewhere else. Of a task definition it is the
// family, whatever the revision.
func Located(arn string, in Identity) (id ID, path string, ok bool) {
	for _, row := range kinds {
		template := row.arn
		if row.Kind == TaskDefinition {
			template = "arn:{partition}:ecs:{region}:{account}:task-definition/{name}"
		}
		before, hasPath := strings.CutSuffix(template, "{path}{name}")
		before = strings.TrimSuffix(before, "{name}")
		prefix := strings.NewReplacer("{partition}", in.Partition, "{region}", in.Region, "{account}", in.Account).Replace(before)
		name, found := strings.CutPrefix(arn, prefix)
		if template == "" || !found {
			continue
		}
		switch {
		case hasPath:
			i := strings.LastIndex(name, "/")
			if i < 0 {
				continue
			}
			path, name = name[:i+1], name[i+1:]
		case row.Kind == TaskDefinition:
			name, _, _ = strings.Cut(name, ":")
		}
		return ID{row.Kind, strings.TrimSuffix(name, ":*")}, path, name != ""
	}
	return ID{}, "", false
}

// Resources lists what the spec declares, in report order and within a kind in
// the order of the file. An access key is its user's.
func (s *Spec) Resources() []Resource { return s.resources }

// IDs lists every address that the spec declares, in report order.
func (s *Spec) IDs() []ID {
	needs := s.Needs()
	ids := make([]ID, 0, len(needs))
	for id := range needs {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, Compare)
	return ids
}

// Needs tells of every address that the spec declares what it needs.
func (s *Spec) Needs() map[ID][]ID {
	needs := map[ID][]ID{}
	for _, r := range s.resources {
		needs[r.ID()] = r.Common().Needs
		if user, ok := r.(*IAMUser); ok && user.AccessKey != nil {
			needs[ID{AccessKey, user.Name}] = []ID{user.ID()}
		}
	}
	return needs
}
