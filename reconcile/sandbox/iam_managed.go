package sandbox

import (
	"encoding/base32"
	"encoding/json"
	"hash/fnv"
	"slices"
	"strings"
	"time"
)

// managed are AWS's own policies that the sandbox knows: path, name, and the
// actions that they allow on everything. Paths and names are AWS's; AWS's
// documents are longer, and nothing here evaluates them.
var managed = [...]struct {
	path, name string
	actions    string // separated by spaces
}{
	{"/", "AdministratorAccess", "*"},
	{"/", "AmazonDynamoDBFullAccess", "dynamodb:*"},
	{"/", "AmazonDynamoDBReadOnlyAccess", "dynamodb:BatchGetItem dynamodb:Describe* dynamodb:List* dynamodb:GetItem dynamodb:Query dynamodb:Scan"},
	{"/", "AmazonEC2ContainerRegistryFullAccess", "ecr:* cloudtrail:LookupEvents"},
	{"/", "AmazonEC2ContainerRegistryPowerUser", "ecr:GetAuthorizationToken ecr:BatchCheckLayerAvailability ecr:GetDownloadUrlForLayer ecr:GetRepositoryPolicy ecr:DescribeRepositories ecr:ListImages ecr:DescribeImages ecr:BatchGetImage ecr:InitiateLayerUpload ecr:UploadLayerPart ecr:CompleteLayerUpload ecr:PutImage"},
	{"/", "AmazonEC2ContainerRegistryPullOnly", "ecr:GetAuthorizationToken ecr:BatchImportUpstreamImage ecr:BatchGetImage ecr:GetDownloadUrlForLayer"},
	{"/", "AmazonEC2ContainerRegistryReadOnly", "ecr:GetAuthorizationToken ecr:BatchCheckLayerAvailability ecr:GetDownloadUrlForLayer ecr:GetRepositoryPolicy ecr:DescribeRepositories ecr:ListImages ecr:DescribeImages ecr:BatchGetImage"},
	{"/", "AmazonEC2FullAccess", "ec2:* elasticloadbalancing:* cloudwatch:* autoscaling:*"},
	{"/", "AmazonEC2ReadOnlyAccess", "ec2:Describe* ec2:Get* elasticloadbalancing:Describe* cloudwatch:Describe*"},
	{"/", "AmazonECS_FullAccess", "ecs:* elasticloadbalancing:Describe* iam:ListRoles logs:CreateLogGroup"},
	{"/", "AmazonRDSFullAccess", "rds:*"},
	{"/", "AmazonS3FullAccess", "s3:* s3-object-lambda:*"},
	{"/", "AmazonS3ReadOnlyAccess", "s3:Get* s3:List* s3:Describe* s3-object-lambda:Get* s3-object-lambda:List*"},
	{"/", "AmazonSageMakerFullAccess", "sagemaker:*"},
	{"/", "AmazonSageMakerReadOnly", "sagemaker:Describe* sagemaker:List*"},
	{"/", "AmazonSNSFullAccess", "sns:*"},
	{"/", "AmazonSQSFullAccess", "sqs:*"},
	{"/", "AmazonSSMManagedInstanceCore", "ssm:DescribeAssociation ssm:GetDocument ssm:UpdateInstanceInformation ssmmessages:* ec2messages:*"},
	{"/", "AmazonSSMReadOnlyAccess", "ssm:Describe* ssm:Get* ssm:List*"},
	{"/", "AWSLambda_FullAccess", "lambda:*"},
	{"/", "AWSLambda_ReadOnlyAccess", "lambda:Get* lambda:List*"},
	{"/", "AWSXRayDaemonWriteAccess", "xray:PutTraceSegments xray:PutTelemetryRecords xray:GetSamplingRules xray:GetSamplingTargets xray:GetSamplingStatisticSummaries"},
	{"/", "CloudWatchAgentServerPolicy", "cloudwatch:PutMetricData ec2:DescribeVolumes ec2:DescribeTags logs:PutLogEvents logs:DescribeLogStreams logs:DescribeLogGroups logs:CreateLogStream logs:CreateLogGroup"},
	{"/", "CloudWatchFullAccess", "autoscaling:Describe* cloudwatch:* logs:* sns:*"},
	{"/", "CloudWatchLogsFullAccess", "logs:* cloudwatch:GenerateQuery"},
	{"/", "CloudWatchLogsReadOnlyAccess", "logs:Describe* logs:Get* logs:List* logs:StartQuery logs:StopQuery logs:TestMetricFilter logs:FilterLogEvents"},
	{"/", "CloudWatchReadOnlyAccess", "cloudwatch:Describe* cloudwatch:Get* cloudwatch:List* logs:Get* logs:List* logs:Describe*"},
	{"/", "IAMFullAccess", "iam:*"},
	{"/", "IAMReadOnlyAccess", "iam:GenerateCredentialReport iam:GenerateServiceLastAccessedDetails iam:Get* iam:List* iam:SimulateCustomPolicy iam:SimulatePrincipalPolicy"},
	{"/", "IAMUserChangePassword", "iam:ChangePassword iam:GetAccountPasswordPolicy"},
	{"/", "PowerUserAccess", "iam:CreateServiceLinkedRole iam:DeleteServiceLinkedRole iam:ListRoles"},
	{"/", "ReadOnlyAccess", "s3:Get* s3:List* iam:Get* iam:List* ecr:Get* ecr:List* ecr:Describe* ecs:Describe* ecs:List* logs:Get* logs:List* logs:Describe*"},
	{"/", "SecretsManagerReadWrite", "secretsmanager:*"},
	{"/", "SecurityAudit", "iam:Get* iam:List* s3:GetBucket* s3:ListAllMyBuckets"},
	{"/job-function/", "Billing", "billing:* budgets:*"},
	{"/job-function/", "DataScientist", "sagemaker:* s3:GetObject s3:PutObject s3:ListBucket"},
	{"/job-function/", "SupportUser", "support:*"},
	{"/job-function/", "SystemAdministrator", "cloudwatch:* logs:* ec2:*"},
	{"/job-function/", "ViewOnlyAccess", "s3:ListAllMyBuckets s3:ListBucket iam:List* ecs:List* ecs:Describe* logs:Describe*"},
	{"/service-role/", "AWSLambdaBasicExecutionRole", "logs:CreateLogGroup logs:CreateLogStream logs:PutLogEvents"},
	{"/service-role/", "AWSLambdaVPCAccessExecutionRole", "logs:CreateLogGroup logs:CreateLogStream logs:PutLogEvents ec2:CreateNetworkInterface ec2:DescribeNetworkInterfaces ec2:DeleteNetworkInterface"},
	{"/service-role/", "AmazonEC2ContainerServiceEventsRole", "ecs:RunTask ecs:TagResource iam:PassRole"},
	{"/service-role/", "AmazonEC2ContainerServiceforEC2Role", "ecs:CreateCluster ecs:DeregisterContainerInstance ecs:DiscoverPollEndpoint ecs:Poll ecs:RegisterContainerInstance ecs:Submit* ecr:GetAuthorizationToken ecr:BatchGetImage logs:CreateLogStream logs:PutLogEvents"},
	{"/service-role/", "AmazonECSTaskExecutionRolePolicy", "ecr:GetAuthorizationToken ecr:BatchCheckLayerAvailability ecr:GetDownloadUrlForLayer ecr:BatchGetImage logs:CreateLogStream logs:PutLogEvents"},
	{"/service-role/", "AmazonECSInfrastructureRolePolicyForVolumes", "ec2:CreateVolume ec2:CreateTags ec2:DescribeVolumes ec2:AttachVolume ec2:DetachVolume ec2:DeleteVolume"},
	{"/service-role/", "AWSGlueServiceRole", "glue:* s3:GetBucketLocation s3:ListBucket logs:CreateLogGroup logs:CreateLogStream logs:PutLogEvents"},
	{"/service-role/", "AmazonSageMakerServiceCatalogProductsUseRole", "sagemaker:* logs:* s3:*"},
	{"/aws-service-role/", "AmazonECSServiceRolePolicy", "ec2:AttachNetworkInterface ec2:CreateNetworkInterface ec2:Describe* elasticloadbalancing:Describe* logs:CreateLogStream logs:PutLogEvents"},
}

// awsPolicies lists AWS's own policies in a partition.
func awsPolicies(partition string) []*iamPolicy {
	all := make([]*iamPolicy, len(managed))
	for i := range managed {
		all[i] = newAWSPolicy(partition, i)
	}
	return all
}

// awsPolicy finds one of AWS's own policies by its ARN; nil where the sandbox
// knows of none.
func awsPolicy(arn string) *iamPolicy {
	rest, ok := strings.CutPrefix(arn, "arn:")
	if !ok {
		return nil
	}
	partition, rest, _ := strings.Cut(rest, ":")
	full, ok := strings.CutPrefix(rest, "iam::aws:policy")
	if !ok || !slices.Contains([]string{"aws", "aws-cn", "aws-us-gov"}, partition) {
		return nil
	}
	for i, m := range managed {
		if m.path+m.name == full {
			return newAWSPolicy(partition, i)
		}
	}
	return nil
}

func newAWSPolicy(partition string, i int) *iamPolicy {
	m := managed[i]
	type statement struct {
		Effect   string
		Action   []string
		Resource string
	}
	// Texts always marshal.
	doc, _ := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", []statement{{"Allow", strings.Fields(m.actions), "*"}}})
	made := time.Date(2015, time.February, 6, 18, 40, 0, 0, time.UTC)
	return &iamPolicy{
		Name: m.name, ID: idOf("ANPA", m.name), Path: m.path,
		Arn:     "arn:" + partition + ":iam::aws:policy" + m.path + m.name,
		Created: made, Updated: made,
		Versions: []policyVersion{{"v1", string(doc), made}}, Default: "v1",
	}
}

// idOf is a unique ID that is the same in every sandbox.
func idOf(prefix, name string) string {
	h := fnv.New128a()
	_, _ = h.Write([]byte(name)) // never fails
	return prefix + base32.StdEncoding.EncodeToString(h.Sum(nil))[:17]
}
