# The reference stack as Terraform has it, a resource for each of its rows.

terraform {
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

  # Of the product's own tags these have no value that could be typed in.
  ignore_tags {
    keys = ["churn-reconcile:access-key", "churn-reconcile:applied"]
  }
}

# Tags beside the ones that each resource has by itself.
variable "tags" {
  type    = map(string)
  default = {}
}

resource "aws_s3_bucket" "model_bucket" {
  bucket = "churn-prediction-data-asamane"
  tags = merge({
    Name        = "churn-prediction-data-asamane"
    Environment = "dev"
    Project     = "churn-prediction"
  }, var.tags)
}

resource "aws_s3_bucket_versioning" "versioning" {
  bucket = aws_s3_bucket.model_bucket.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_iam_user" "ml_engineer" {
  name = "ml-engineer"
  tags = merge({ Project = "churn-prediction" }, var.tags)
}

resource "aws_iam_access_key" "ml_engineer_key" {
  user = aws_iam_user.ml_engineer.name
}

resource "aws_iam_policy" "ml_engineer_policy" {
  name        = "ml-engineer-s3-policy"
  description = "IAM policy for ML engineer to access S3 bucket"
  tags        = var.tags
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:PutObject", "s3:ListBucket"]
      Resource = [aws_s3_bucket.model_bucket.arn, "${aws_s3_bucket.model_bucket.arn}/*"]
    }]
  })
}

resource "aws_iam_user_policy_attachment" "ml_engineer_attach" {
  user       = aws_iam_user.ml_engineer.name
  policy_arn = aws_iam_policy.ml_engineer_policy.arn
}

resource "aws_ecr_repository" "ml_repo" {
  name                 = "churn-prediction-repo"
  image_tag_mutability = "MUTABLE"
  force_delete         = true
  tags                 = var.tags

  # What Terraform may do to the repository is nothing that AWS knows of, so
  # an import cannot find it out.
  lifecycle {
    ignore_changes = [force_delete]
  }
}

resource "aws_ecs_cluster" "ml_cluster" {
  name = "churn-prediction-cluster"
  tags = var.tags
}

resource "aws_ecs_task_definition" "ml_task" {
  family                   = "churn-prediction-task"
  network_mode             = "awsvpc"
  requires_compatibilities = ["FARGATE"]
  cpu                      = "512"
  memory                   = "1024"
  execution_role_arn       = aws_iam_role.ecs_task_execution_role.arn
  task_role_arn            = aws_iam_role.ecs_task_execution_role.arn
  tags                     = var.tags
  container_definitions = jsonencode([{
    name      = "ml-container"
    image     = "${aws_ecr_repository.ml_repo.repository_url}:latest"
    essential = true
    environment = [
      { name = "BUCKET_NAME", value = aws_s3_bucket.model_bucket.bucket },
      { name = "UPLOAD_TO_S3", value = "true" },
      { name = "AWS_REGION", value = "eu-north-1" },
    ]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.ecs_logs.name
        awslogs-region        = "eu-north-1"
        awslogs-stream-prefix = "ecs"
      }
    }
  }])
}

resource "aws_cloudwatch_log_group" "ecs_logs" {
  name              = "/ecs/churn-prediction"
  retention_in_days = 7
  tags              = var.tags
}

resource "aws_iam_role" "ecs_task_execution_role" {
  name = "ecsTaskExecutionRole"
  tags = var.tags
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "ecs_execution_role_policy" {
  role       = aws_iam_role.ecs_task_execution_role.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_policy" "ecs_s3_access" {
  name        = "ecs-s3-access"
  description = "Allow ECS tasks to access S3"
  tags        = var.tags
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["s3:PutObject", "s3:GetObject", "s3:ListBucket"]
      Resource = [aws_s3_bucket.model_bucket.arn, "${aws_s3_bucket.model_bucket.arn}/*"]
    }]
  })
}

resource "aws_iam_role_policy_attachment" "ecs_s3_access_attach" {
  role       = aws_iam_role.ecs_task_execution_role.name
  policy_arn = aws_iam_policy.ecs_s3_access.arn
}

resource "aws_iam_policy" "ml_engineer_ecs_policy" {
  name = "ml-engineer-ecs-policy"
  tags = var.tags
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["ecs:RunTask", "ecs:DescribeTasks", "ecs:DescribeTaskDefinition", "ecs:ListTasks", "iam:PassRole"]
      Resource = "*"
    }]
  })
}

resource "aws_iam_user_policy_attachment" "ml_engineer_attach_ecs" {
  user       = aws_iam_user.ml_engineer.name
  policy_arn = aws_iam_policy.ml_engineer_ecs_policy.arn
}

resource "aws_iam_policy" "ml_engineer_ecr_policy" {
  name = "ml-engineer-ecr-policy"
  tags = var.tags
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "ecr:GetAuthorizationToken",
        "ecr:BatchCheckLayerAvailability",
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchGetImage",
        "ecr:PutImage",
        "ecr:InitiateLayerUpload",
        "ecr:UploadLayerPart",
        "ecr:CompleteLayerUpload",
        "ecr:DescribeRepositories",
      ]
      Resource = "*"
    }]
  })
}

resource "aws_iam_user_policy_attachment" "ml_engineer_attach_ecr" {
  user       = aws_iam_user.ml_engineer.name
  policy_arn = aws_iam_policy.ml_engineer_ecr_policy.arn
}
