# What each resource is called in AWS, for "terraform plan" to read it from
# there into a state that is empty.

variable "access_key_id" {
  type = string
}

locals {
  bucket     = "churn-prediction-data-asamane"
  policy_arn = "arn:aws:iam::123456789012:policy"
}

import {
  to = aws_s3_bucket.model_bucket
  id = local.bucket
}

import {
  to = aws_s3_bucket_versioning.versioning
  id = local.bucket
}

import {
  to = aws_iam_user.ml_engineer
  id = "ml-engineer"
}

import {
  to = aws_iam_access_key.ml_engineer_key
  id = var.access_key_id
}

import {
  to = aws_iam_policy.ml_engineer_policy
  id = "${local.policy_arn}/ml-engineer-s3-policy"
}

import {
  to = aws_iam_user_policy_attachment.ml_engineer_attach
  id = "ml-engineer/${local.policy_arn}/ml-engineer-s3-policy"
}

import {
  to = aws_ecr_repository.ml_repo
  id = "churn-prediction-repo"
}

import {
  to = aws_ecs_cluster.ml_cluster
  id = "churn-prediction-cluster"
}

import {
  to = aws_ecs_task_definition.ml_task
  id = "arn:aws:ecs:eu-north-1:123456789012:task-definition/churn-prediction-task:1"
}

import {
  to = aws_cloudwatch_log_group.ecs_logs
  id = "/ecs/churn-prediction"
}

import {
  to = aws_iam_role.ecs_task_execution_role
  id = "ecsTaskExecutionRole"
}

import {
  to = aws_iam_role_policy_attachment.ecs_execution_role_policy
  id = "ecsTaskExecutionRole/arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

import {
  to = aws_iam_policy.ecs_s3_access
  id = "${local.policy_arn}/ecs-s3-access"
}

import {
  to = aws_iam_role_policy_attachment.ecs_s3_access_attach
  id = "ecsTaskExecutionRole/${local.policy_arn}/ecs-s3-access"
}

import {
  to = aws_iam_policy.ml_engineer_ecs_policy
  id = "${local.policy_arn}/ml-engineer-ecs-policy"
}

import {
  to = aws_iam_user_policy_attachment.ml_engineer_attach_ecs
  id = "ml-engineer/${local.policy_arn}/ml-engineer-ecs-policy"
}

import {
  to = aws_iam_policy.ml_engineer_ecr_policy
  id = "${local.policy_arn}/ml-engineer-ecr-policy"
}

import {
  to = aws_iam_user_policy_attachment.ml_engineer_attach_ecr
  id = "ml-engineer/${local.policy_arn}/ml-engineer-ecr-policy"
}
