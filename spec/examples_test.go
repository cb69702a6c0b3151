package spec

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func example(t *testing.T, name string) *Spec {
	t.Helper()
	f, err := Load("../examples/"+name, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	s, err := f.Bind(Identity{Account: "123456789012", Partition: "aws"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// all lists what a spec declares, with what each needs.
func all(s *Spec) map[ID][]ID {
	m := make(map[ID][]ID)
	for _, r := range s.S3.Buckets {
		m[ID{Bucket, r.Name}] = r.Needs
	}
	for _, r := range s.Logs.LogGroups {
		m[ID{LogGroup, r.Name}] = r.Needs
	}
	for _, r := range s.ECR.Repositories {
		m[ID{Repository, r.Name}] = r.Needs
	}
	for _, r := range s.IAM.OIDCProviders {
		m[ID{OIDCProvider, r.URL}] = r.Needs
	}
	for _, r := range s.IAM.Policies {
		m[ID{Policy, r.Name}] = r.Needs
	}
	for _, r := range s.IAM.Roles {
		m[ID{Role, r.Name}] = r.Needs
	}
	for _, r := range s.IAM.Users {
		m[ID{User, r.Name}] = r.Needs
	}
	for _, r := range s.ECS.Clusters {
		m[ID{Cluster, r.Name}] = r.Needs
	}
	for _, r := range s.ECS.TaskDefinitions {
		m[ID{TaskDefinition, r.Family}] = r.Needs
	}
	return m
}

// TestDevExample holds examples/dev.yaml to the stack that it stands for.
func TestDevExample(t *testing.T) {
	s := example(t, "dev.yaml")
	want := map[ID][]ID{
		{Bucket, "churn-prediction-data-asamane"}: nil,
		{LogGroup, "/ecs/churn-prediction"}:       nil,
		{Repository, "churn-prediction-repo"}:     nil,
		{Policy, "ml-engineer-s3-policy"}:         {{Bucket, "churn-prediction-data-asamane"}},
		{Policy, "ecs-s3-access"}:                 {{Bucket, "churn-prediction-data-asamane"}},
		{Policy, "ml-engineer-ecs-policy"}:        nil,
		{Policy, "ml-engineer-ecr-policy"}:        nil,
		{Role, "ecsTaskExecutionRole"}:            {{Policy, "ecs-s3-access"}},
		{User, "ml-engineer"}:                     {{Policy, "ml-engineer-ecr-policy"}, {Policy, "ml-engineer-ecs-policy"}, {Policy, "ml-engineer-s3-policy"}},
		{Cluster, "churn-prediction-cluster"}:     nil,
		{TaskDefinition, "churn-prediction-task"}: {{LogGroup, "/ecs/churn-prediction"}, {Repository, "churn-prediction-repo"}, {Role, "ecsTaskExecutionRole"}},
	}
	if diff := cmp.Diff(want, all(s)); diff != "" {
		t.Errorf("resources and their needs (-want +got):\n%s", diff)
	}
	wantTags := map[string]string{"Name": "churn-prediction-data-asamane", "Environment": "dev", "Project": "churn-prediction"}
	if diff := cmp.Diff(wantTags, s.S3.Buckets[0].Tags); diff != "" {
		t.Errorf("the bucket's tags (-want +got):\n%s", diff)
	}
	documents := make(map[string]string)
	for _, p := range s.IAM.Policies {
		documents[p.Name] = string(p.Document)
		if p.Description != nil {
			documents[p.Name] = *p.Description + ": " + documents[p.Name]
		}
	}
	const open, arns = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[`, `],"Resource":["arn:aws:s3:::churn-prediction-data-asamane","arn:aws:s3:::churn-prediction-data-asamane/*"]}]}`
	wantDocuments := map[string]string{
		"ml-engineer-s3-policy":  "IAM policy for ML engineer to access S3 bucket: " + open + `"s3:GetObject","s3:PutObject","s3:ListBucket"` + arns,
		"ecs-s3-access":          "Allow ECS tasks to access S3: " + open + `"s3:PutObject","s3:GetObject","s3:ListBucket"` + arns,
		"ml-engineer-ecs-policy": open + `"ecs:RunTask","ecs:DescribeTasks","ecs:DescribeTaskDefinition","ecs:ListTasks","iam:PassRole"],"Resource":"*"}]}`,
		"ml-engineer-ecr-policy": open + `"ecr:GetAuthorizationToken","ecr:BatchCheckLayerAvailability","ecr:GetDownloadUrlForLayer","ecr:BatchGetImage","ecr:PutImage","ecr:InitiateLayerUpload","ecr:UploadLayerPart","ecr:CompleteLayerUpload","ecr:DescribeRepositories"],"Resource":"*"}]}`,
	}
	if diff := cmp.Diff(wantDocuments, documents); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	role := s.IAM.Roles[0]
	if got, want := string(role.AssumeRolePolicy), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`; got != want {
		t.Errorf("trust policy: %s", got)
	}
	wantPolicies := []string{"arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy", "arn:aws:iam::123456789012:policy/ecs-s3-access"}
	if diff := cmp.Diff(wantPolicies, role.Policies); diff != "" {
		t.Errorf("the role's policies (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&IAMAccessKey{RetireAfter: 24 * time.Hour, Deliver: []Sink{{File: &FileSink{Path: "ml-engineer.credentials"}}}}, s.IAM.Users[0].AccessKey); diff != "" {
		t.Errorf("the access key (-want +got):\n%s", diff)
	}
	var names []string
	for _, o := range s.Outputs {
		names = append(names, o.Name)
	}
	if diff := cmp.Diff([]string{"bucket_arn", "bucket_name", "ml_engineer_access_key_id", "ml_engineer_secret_access_key"}, names); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	if s.AccountGiven {
		t.Error("an example that names an account runs in nobody else's")
	}
}

// TestProdExample: both examples fit into one account.
func TestProdExample(t *testing.T) {
	dev, prod := example(t, "dev.yaml"), example(t, "prod.yaml")
	if dev.Stack() == prod.Stack() {
		t.Errorf("both are %s", dev.Stack())
	}
	inDev, inProd := all(dev), all(prod)
	if len(inDev) != len(inProd) {
		t.Errorf("%d resources in dev, %d in prod", len(inDev), len(inProd))
	}
	for id := range inProd {
		if _, both := inDev[id]; both {
			t.Errorf("%s is in both", id)
		}
	}
	bucket := prod.S3.Buckets[0]
	if bucket.Versioning != "Enabled" || bucket.Encryption == nil || bucket.PublicAccessBlock == nil || bucket.Policy == nil ||
		bucket.ObjectOwnership == "" || len(bucket.LifecycleRules) != 2 || bucket.Tags["Name"] != bucket.Name {
		t.Errorf("the bucket is %+v", bucket)
	}
	repo := prod.ECR.Repositories[0]
	if repo.ImageTagMutability != "IMMUTABLE" || repo.ForceDelete || repo.ScanOnPush == nil || !*repo.ScanOnPush || repo.LifecyclePolicy == nil {
		t.Errorf("the repository is %+v", repo)
	}
	if *prod.Logs.LogGroups[0].RetentionInDays <= *dev.Logs.LogGroups[0].RetentionInDays {
		t.Error("prod does not keep its logs longer")
	}
	if key := prod.IAM.Users[0].AccessKey; key.RotateAfter != 90*24*time.Hour || key.RetireAfter != 24*time.Hour || len(key.Deliver) != 1 || key.Deliver[0].File == nil {
		t.Errorf("the access key is %+v", key)
	}
	if len(prod.ECS.Clusters[0].Settings) != 1 {
		t.Errorf("the cluster's settings are %v", prod.ECS.Clusters[0].Settings)
	}
}

// TestGitHubExample: a workflow takes a role without a key, and nothing that
// dev.yaml keeps is kept here, too.
func TestGitHubExample(t *testing.T) {
	dev, s := example(t, "dev.yaml"), example(t, "github-oidc.yaml")
	provider := ID{OIDCProvider, "token.actions.githubusercontent.com"}
	want := map[ID][]ID{provider: nil, {Role, "churn-prediction-github-dev"}: {provider}}
	if diff := cmp.Diff(want, all(s)); diff != "" {
		t.Errorf("resources and their needs (-want +got):\n%s", diff)
	}
	if dev.Stack() == s.Stack() {
		t.Errorf("both are %s", dev.Stack())
	}
	inDev := all(dev)
	for id := range all(s) {
		if _, both := inDev[id]; both {
			t.Errorf("%s is in both", id)
		}
	}
	role := s.IAM.Roles[0]
	wantTrust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},` +
		`"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com",` +
		`"token.actions.githubusercontent.com:sub":"repo:asamane/churn-prediction:ref:refs/heads/main"}}}]}`
	if diff := cmp.Diff(wantTrust, string(role.AssumeRolePolicy)); diff != "" {
		t.Errorf("trust policy (-want +got):\n%s", diff)
	}
	// What it names of dev.yaml is there.
	rights := string(role.InlinePolicies["push-image"]) + string(role.InlinePolicies["run-task"])
	for _, arn := range []string{
		"arn:aws:ecr:eu-north-1:123456789012:repository/" + dev.ECR.Repositories[0].Name,
		"arn:aws:ecs:eu-north-1:123456789012:task-definition/" + dev.ECS.TaskDefinitions[0].Family + ":*",
		"arn:aws:ecs:eu-north-1:123456789012:cluster/" + dev.ECS.Clusters[0].Name,
		*dev.ECS.TaskDefinitions[0].ExecutionRole,
	} {
		if !strings.Contains(rights, `"`+arn+`"`) {
			t.Errorf("no right to %s in %s", arn, rights)
		}
	}
}
