package stack_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stacksVar is how many random stacks Terraform makes and judges. Each costs a
// quarter of a minute of CPU, so that there are none by default.
const stacksVar = "CHURN_TEST_TERRAFORM_STACKS"

var stackSeed = flag.Uint64("seed", 0, "seed of the one random stack of TestTerraformRandom, or history of TestHistories; 0: others each time")

// A random stack that Terraform has made is exported. What comes of it finds
// nothing to do but to add the product's tags, and once they are there,
// Terraform sees nothing but them.
func TestTerraformRandom(t *testing.T) {
	stacks, _ := strconv.Atoi(os.Getenv(stacksVar))
	seeds := make([]uint64, stacks)
	for i := range seeds {
		seeds[i] = rand.Uint64()
	}
	if *stackSeed != 0 {
		seeds = []uint64{*stackSeed}
	}
	if len(seeds) == 0 {
		t.Skipf("%s says how many stacks to make", stacksVar)
	}
	alone(t)
	tf := newTerraform(t)
	for _, seed := range seeds {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			alone(t)
			t.Logf("replay with -run TestTerraformRandom -seed %d", seed)
			a := newAccount(t)
			dir := tf.dir(t, a)
			dir.rows = 0
			files := randomStack(rand.New(rand.NewPCG(seed, 0)))
			for name, text := range files {
				path := filepath.Join(dir.path, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("main.tf:\n%s", files["main.tf"])
				}
			})
			dir.run("init", "-input=false", "-no-color")
			dir.run("apply", "-input=false", "-no-color", "-auto-approve", "-parallelism=20")

			state := dir.run("state", "pull")
			text := a.exportState(t, state, "random", "dev")
			shown := a.exportState(t, dir.run("show", "-json"), "random", "dev")
			if diff := cmp.Diff(string(text), string(shown)); diff != "" {
				t.Errorf("of terraform show -json it is another (-state +shown):\n%s", diff)
			}
			spec := a.write(t, strings.ReplaceAll(string(text), ".credentials", ".credentials-in-SINK"))
			mustOnlyTag(t, a.look(spec), true)
			a.mustApply(t, spec)
			a.mustBeInSync(t, spec)
			if diff := cmp.Diff(string(text), string(a.exportState(t, state, "random", "dev"))); diff != "" {
				t.Errorf("exported again it is (-first +second):\n%s", diff)
			}
			for _, change := range dir.plan(nil) {
				if _, what, _ := strings.Cut(change, ": "); what != "update tags" && what != "update tags_all" && what != "update " {
					t.Errorf("terraform would do more than take tags away: %s", change)
				}
			}
			// The commands of the spec's end do what they say, all at once as well:
			// one by one each of them would take a second.
			sh := exec.CommandContext(t.Context(), "sh", "-c", `grep -o 'state rm .*' "$0" | cut -c10- | xargs terraform state rm`, spec)
			sh.Dir, sh.Env = dir.path, tf.env(dir.env)
			if out, err := sh.CombinedOutput(); err != nil {
				t.Errorf("terraform state rm: %v\n%s", err, out)
			}
			for _, left := range strings.Fields(dir.run("state", "list")) {
				if !strings.HasPrefix(left, "data.") && !strings.HasPrefix(left, "terraform_data.") && !strings.HasPrefix(left, "aws_s3_object.") {
					t.Errorf("terraform still keeps %s", left)
				}
			}
			if t.Failed() {
				t.Logf("the spec:\n%s", text)
			}
		})
	}
}

// A configuration is one that is being made up.
type configuration struct {
	*rand.Rand
	text    strings.Builder
	outputs strings.Builder
	n       int
	tagKeys []string

	// sandbox is off for an emulator, of which the differences say what it
	// drops: a user's boundary, a log group's class, parts of lifecycle rules.
	sandbox bool
}

// randomStack makes up a configuration of the product's kinds: names and tags
// with what YAML and shells trip over, optional arguments on and off, parts as
// resources of their own and as arguments, policies by jsonencode and by a data
// source, count, for_each and a module.
func randomStack(r *rand.Rand) map[string]string {
	c := &configuration{Rand: r, sandbox: os.Getenv(endpointVar) == "", tagKeys: []string{"Name", "Team", "cost:center", "on", "a b", "null", "x/y"}}
	c.text.WriteString(randomProvider)
	if c.maybe(3) {
		fmt.Fprintf(&c.text, "  default_tags {\n    tags = %s\n  }\n", c.tagMap(2))
	}
	c.text.WriteString("}\n")
	buckets := c.several(2, c.bucket)
	repositories := c.several(1, c.repository)
	groups := c.logGroups()
	policies := c.policies(buckets[0])
	roles := c.several(2, func() string { return c.role(policies) })
	if c.maybe(2) {
		c.users(policies)
	}
	c.several(1, c.cluster)
	c.tasks(roles[0], repositories[0], groups, buckets[0])
	if c.maybe(6) {
		c.block(`resource "aws_iam_openid_connect_provider" "p" {`,
			`url = "https://token.actions.githubusercontent.com"`, `client_id_list = ["sts.amazonaws.com"]`,
			c.or(`thumbprint_list = ["6938fd4d98bab03faadb97b34396831e3780aea1"]`))
	}
	c.block(`resource "terraform_data" "foreign" {`, `input = "x"`)
	if c.maybe(3) {
		c.block(`resource "aws_s3_object" "foreign" {`, `bucket = `+buckets[0]+`.id`, `key = "k"`, `content = "c"`)
	}
	return map[string]string{"main.tf": c.text.String() + c.outputs.String(), "task/main.tf": randomModule}
}

const randomProvider = `terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region                      = "eu-north-1"
  s3_use_path_style           = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_credentials_validation = true
`

const randomModule = `variable "family" {}
variable "role" {}
variable "containers" {}
variable "tags" {}
variable "more" {}

resource "aws_ecs_task_definition" "this" {
  family                   = var.family
  network_mode             = "awsvpc"
  requires_compatibilities = ["FARGATE"]
  cpu                      = "512"
  memory                   = "1024"
  execution_role_arn       = var.role
  task_role_arn            = var.more ? var.role : null
  container_definitions    = var.containers
  tags                     = var.tags

  dynamic "runtime_platform" {
    for_each = var.more ? [1] : []
    content {
      operating_system_family = "LINUX"
      cpu_architecture        = "ARM64"
    }
  }
  dynamic "ephemeral_storage" {
    for_each = var.more ? [1] : []
    content { size_in_gib = 30 }
  }
  dynamic "volume" {
    for_each = var.more ? [1] : []
    content { name = "scratch" }
  }
}

output "arn" { value = aws_ecs_task_definition.this.arn }
`

func (c *configuration) maybe(of int) bool { return c.IntN(of) == 0 }

// or is a line in half of all cases.
func (c *configuration) or(line string) string {
	if c.maybe(2) {
		return ""
	}
	return line
}

// ours is a line in half of all cases on the sandbox.
func (c *configuration) ours(line string) string {
	if line = c.or(line); !c.sandbox {
		return ""
	}
	return line
}

func (c *configuration) pick(from ...string) string { return from[c.IntN(len(from))] }

func (c *configuration) several(most int, one func() string) []string {
	made := []string{one()}
	for range c.IntN(most) {
		made = append(made, one())
	}
	return made
}

func (c *configuration) block(open string, lines ...string) {
	c.text.WriteString("\n" + open + "\n")
	for _, line := range lines {
		if line != "" {
			c.text.WriteString("  " + line + "\n")
		}
	}
	c.text.WriteString("}\n")
}

func (c *configuration) output(expression string) {
	if c.maybe(2) {
		c.n++
		fmt.Fprintf(&c.outputs, "\noutput \"o%d\" { value = %s }\n", c.n, expression)
	}
}

// name is an AWS name and the name of a Terraform resource.
func (c *configuration) name() (name, label string) {
	c.n++
	return fmt.Sprintf("%s-%d", c.pick("data", "no", "on", "1e3", "0x1f", "train", "null", "true"), c.n), fmt.Sprintf("r%d", c.n)
}

func (c *configuration) tagMap(most int) string {
	var tags []string
	keys := c.Perm(len(c.tagKeys))
	for _, k := range keys[:c.IntN(most+1)] {
		value := c.pick("ml", "", "yes", "a: b", "x = +-@/", "007", "random", "dev", "12:30")
		tags = append(tags, fmt.Sprintf("%q = %q", c.tagKeys[k], value))
	}
	return "{ " + strings.Join(tags, ", ") + " }"
}

func (c *configuration) tags() string { return c.or("tags = " + c.tagMap(3)) }

func (c *configuration) bucket() string {
	_, label := c.name()
	name := fmt.Sprintf("random-bucket-%d", c.n)
	at := "aws_s3_bucket." + label
	part := func(kind string, lines ...string) {
		if c.maybe(2) {
			c.block(`resource "aws_s3_bucket_`+kind+`" "`+label+`" {`, append([]string{"bucket = " + at + ".id"}, lines...)...)
		}
	}
	c.block(`resource "aws_s3_bucket" "`+label+`" {`, `bucket = "`+name+`"`, c.or("force_destroy = true"), c.tags())
	part("versioning", `versioning_configuration {`, `  status = "`+c.pick("Enabled", "Suspended")+`"`, `}`)
	part("server_side_encryption_configuration", `rule {`, c.or(`  bucket_key_enabled = true`),
		`  apply_server_side_encryption_by_default {`, `    sse_algorithm = "`+c.pick("AES256", "aws:kms")+`"`, `  }`, `}`)
	part("public_access_block", "block_public_acls = "+c.pick("true", "false"), c.or("block_public_policy = true"), c.or("ignore_public_acls = true"), c.or("restrict_public_buckets = true"))
	part("ownership_controls", `rule {`, `  object_ownership = "`+c.pick("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")+`"`, `}`)
	part("policy", "policy = "+c.policy(at, `Principal = "*"`, "Deny"))
	if c.maybe(5) && c.sandbox { // the provider waits for a minute until S3 is sure of it
		part("lifecycle_configuration", `rule {`, `  id = "old #1"`, `  status = "Enabled"`,
			"  filter {", c.or(`    prefix = "tmp/"`), "  }", "  expiration {", "    days = 30", "  }", `}`)
	}
	c.output(at + ".bucket")
	c.output(at + ".arn")
	c.output(`"s3://${` + at + `.bucket}/$${literal}"`)
	return at
}

// policy is a policy document about a bucket, as an expression.
func (c *configuration) policy(bucket, principal, effect string) string {
	actions := c.pick(`["s3:GetObject", "s3:ListBucket"]`, `"s3:PutObject"`, `["s3:*"]`)
	if effect == "Deny" { // nothing that Terraform itself needs
		actions = c.pick(`["s3:DeleteObjectVersion", "s3:PutObjectAcl"]`, `"s3:AbortMultipartUpload"`)
	}
	condition := c.or(`Condition = { StringLike = { "aws:PrincipalTag/Team" = ["$${aws:PrincipalTag/Team}", "*"] } }`)
	sid := c.or(`Sid = "Statement1"`)
	lines := []string{sid, `Effect = "` + effect + `"`, principal, "Action = " + actions, "Resource = [" + bucket + ".arn, \"${" + bucket + ".arn}/*\"]", condition}
	var given []string
	for _, line := range lines {
		if line != "" {
			given = append(given, line)
		}
	}
	return `jsonencode({ Version = "2012-10-17", Statement = [{ ` + strings.Join(given, ", ") + ` }] })`
}

func (c *configuration) repository() string {
	name, label := c.name()
	at := "aws_ecr_repository." + label
	var scan, encryption []string
	if c.maybe(2) {
		scan = []string{"image_scanning_configuration {", "  scan_on_push = " + c.pick("true", "false"), "}"}
	}
	if c.maybe(3) {
		encryption = []string{"encryption_configuration {", `  encryption_type = "AES256"`, "}"}
	}
	lines := []string{`name = "team/` + name + `"`, c.or(`image_tag_mutability = "` + c.pick("MUTABLE", "IMMUTABLE") + `"`), c.or("force_delete = true"), c.tags()}
	c.block(`resource "aws_ecr_repository" "`+label+`" {`, append(append(lines, scan...), encryption...)...)
	if c.maybe(2) {
		c.block(`resource "aws_ecr_lifecycle_policy" "`+label+`" {`, "repository = "+at+".name",
			`policy = jsonencode({ rules = [{ rulePriority = 1, description = "keep: 5", selection = { tagStatus = "untagged", countType = "imageCountMoreThan", countNumber = 5 }, action = { type = "expire" } }] })`)
	}
	if c.maybe(3) {
		c.block(`resource "aws_ecr_repository_policy" "`+label+`" {`, "repository = "+at+".name",
			`policy = jsonencode({ Version = "2012-10-17", Statement = [{ Sid = "pull", Effect = "Allow", Principal = { AWS = "arn:aws:iam::123456789012:root" }, Action = ["ecr:BatchGetImage"] }] })`)
	}
	c.output(at + ".repository_url")
	return at
}

func (c *configuration) logGroups() string {
	_, label := c.name()
	c.block(`resource "aws_cloudwatch_log_group" "`+label+`" {`, `for_each = { "a b" = "/ecs/one", "it's \"$x\"" = "/ecs/two", "$${y}\\" = "three#" }`,
		"name = each.value", c.or("retention_in_days = 14"), c.ours(`log_group_class = "INFREQUENT_ACCESS"`), c.tags())
	return "aws_cloudwatch_log_group." + label + `["a b"]`
}

// policies are policies as expressions of their ARNs.
func (c *configuration) policies(bucket string) []string {
	name, label := c.name()
	at := "aws_iam_policy." + label
	document := c.policy(bucket, "", "Allow")
	if c.maybe(2) {
		c.block(`data "aws_iam_policy_document" "`+label+`" {`, "statement {", `  actions = ["s3:GetObject", "s3:ListBucket"]`, "  resources = ["+bucket+".arn]", "}")
		document = "data.aws_iam_policy_document." + label + ".json"
	}
	c.block(`resource "aws_iam_policy" "`+label+`" {`, "count = 3", `name = "`+name+`-${count.index}"`,
		c.or(`path = "/random/"`), c.or(`description = "what: # it's for, \"really\""`), "policy = "+document, c.tags())
	c.output(at + "[0].arn")
	return []string{at + "[0].arn", at + "[1].arn", at + "[2].arn"}
}

const inline = `jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:ListAllMyBuckets", Resource = "*" }] })`

func (c *configuration) role(policies []string) string {
	name, label := c.name()
	at := "aws_iam_role." + label
	lines := []string{
		`name = "` + name + `"`, c.or(`description = "yes"`), c.or(`path = "/random/"`), c.or("max_session_duration = 7200"),
		c.or("permissions_boundary = " + policies[2]), c.tags(),
		`assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { Service = "ecs-tasks.amazonaws.com" }, Action = "sts:AssumeRole" }] })`,
	}
	list := "[" + strings.Join(policies[:1+c.IntN(2)], ", ") + "]"
	attachments, inlines := c.IntN(5), c.IntN(4)
	if attachments == 1 {
		lines = append(lines, "managed_policy_arns = "+list)
	}
	if inlines == 1 {
		lines = append(lines, "inline_policy {", `  name = "in-line"`, "  policy = "+inline, "}")
	}
	c.block(`resource "aws_iam_role" "`+label+`" {`, lines...)
	switch attachments {
	case 2:
		c.block(`resource "aws_iam_role_policy_attachment" "`+label+`" {`, "for_each = { x = "+policies[0]+`, "y z" = "arn:aws:iam::aws:policy/ReadOnlyAccess" }`, "role = "+at+".name", "policy_arn = each.value")
	case 3:
		c.block(`resource "aws_iam_role_policy_attachments_exclusive" "`+label+`" {`, "role_name = "+at+".name", "policy_arns = "+c.pick(list, "[]"))
	case 4:
		c.block(`resource "aws_iam_policy_attachment" "`+label+`" {`, `name = "x"`, "roles = ["+at+".name]", `policy_arn = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"`)
	}
	switch inlines {
	case 2:
		c.block(`resource "aws_iam_role_policy" "`+label+`" {`, `name = "on"`, "role = "+at+".id", "policy = "+inline)
	case 3:
		c.block(`resource "aws_iam_role_policies_exclusive" "`+label+`" {`, "role_name = "+at+".name", "policy_names = []")
	}
	c.output(at + ".arn")
	return at
}

func (c *configuration) users(policies []string) {
	groupName, group := c.name()
	c.block(`resource "aws_iam_group" "`+group+`" {`, `name = "`+groupName+`"`, c.or(`path = "/random/"`))
	if c.maybe(2) {
		c.block(`resource "aws_iam_group_policy_attachment" "`+group+`" {`, "group = aws_iam_group."+group+".name", "policy_arn = "+policies[0])
	}
	if c.maybe(2) {
		c.block(`resource "aws_iam_group_policy" "`+group+`" {`, "group = aws_iam_group."+group+".name", `name = "g"`, "policy = "+inline)
	}
	name, label := c.name()
	at := "aws_iam_user." + label
	c.block(`resource "aws_iam_user" "`+label+`" {`, `name = "`+name+`"`, c.or(`path = "/random/"`), c.ours("permissions_boundary = "+policies[2]), c.tags())
	switch c.IntN(3) {
	case 1:
		c.block(`resource "aws_iam_user_policy_attachment" "`+label+`" {`, "user = "+at+".name", "policy_arn = "+policies[0])
	case 2:
		c.block(`resource "aws_iam_user_policy_attachments_exclusive" "`+label+`" {`, "user_name = "+at+".name", "policy_arns = ["+policies[1]+"]")
	}
	if c.maybe(2) {
		c.block(`resource "aws_iam_user_policy" "`+label+`" {`, "user = "+at+".name", `name = "u"`, "policy = "+inline)
	}
	switch c.IntN(3) {
	case 1:
		c.block(`resource "aws_iam_user_group_membership" "`+label+`" {`, "user = "+at+".name", "groups = [aws_iam_group."+group+".name]")
	case 2:
		c.block(`resource "aws_iam_group_membership" "`+label+`" {`, `name = "m"`, "group = aws_iam_group."+group+".name", "users = ["+at+".name]")
	}
	if c.maybe(2) {
		c.block(`resource "aws_iam_access_key" "`+label+`" {`, "user = "+at+".name")
		fmt.Fprintf(&c.outputs, "\noutput \"key_id\" {\n  value = aws_iam_access_key.%s.id\n  sensitive = true\n}\n\noutput \"key_secret\" {\n  value = aws_iam_access_key.%[1]s.secret\n  sensitive = true\n}\n", label)
	}
}

func (c *configuration) cluster() string {
	name, label := c.name()
	at := "aws_ecs_cluster." + label
	lines := []string{`name = "` + name + `"`, c.tags()}
	if c.maybe(2) {
		lines = append(lines, "setting {", `  name = "containerInsights"`, `  value = "`+c.pick("enabled", "disabled", "enhanced")+`"`, "}")
	}
	if c.maybe(3) {
		lines = append(lines, "configuration {", "  execute_command_configuration {", `    logging = "`+c.pick("DEFAULT", "NONE")+`"`, "  }", "}")
	}
	c.block(`resource "aws_ecs_cluster" "`+label+`" {`, lines...)
	if c.maybe(2) {
		var strategy []string
		if c.maybe(2) {
			strategy = []string{"default_capacity_provider_strategy {", "  base = 1", "  weight = 100", `  capacity_provider = "FARGATE"`, "}"}
		}
		c.block(`resource "aws_ecs_cluster_capacity_providers" "`+label+`" {`, append([]string{"cluster_name = " + at + ".name", `capacity_providers = ["FARGATE", "FARGATE_SPOT"]`}, strategy...)...)
	}
	return at
}

func (c *configuration) tasks(role, repository, group, bucket string) {
	name, label := c.name()
	environment := c.pick(
		`[]`, `[{ name = "BUCKET", value = `+bucket+`.bucket }, { name = "DOLLAR", value = "$${x} #y: z" }]`, `[{ name = "LINES", value = "one\ntwo\n" }, { name = "REGION", value = "eu-north-1" }]`)
	logging := c.or(`logConfiguration = { logDriver = "awslogs", options = { awslogs-group = ` + group + `.name, awslogs-region = "eu-north-1", awslogs-stream-prefix = "ecs" } },`)
	c.block(`module "`+label+`" {`, `source = "./task"`, `for_each = toset(["x", "y z", "it's"])`, `family = "`+name+`-${length(each.key)}"`, "role = "+role+".arn",
		"more = "+c.pick("true", "false"), "tags = "+c.tagMap(2),
		`containers = jsonencode([{ name = "c", image = "${`+repository+`.repository_url}:latest", essential = true, `+logging+` environment = `+environment+
			c.or(`, command = ["sh", "-c", "echo $HOME | tee 'x y'"]`)+c.or(`, portMappings = [{ containerPort = 8080 }]`)+` }])`)
	c.output(`module.` + label + `["x"].arn`)
}
