"""Grants that a person has looked at: needed, though no request of the scenes shows it."""

from __future__ import annotations

from tools.permissions.verdict import Reviewed

_MISSING = "without it, S3 answers 403 instead of 404 for an object that is not there; the emulator answers 404"
_REVISION = "a deployment may name a revision (MNIST_TASK_DEFINITION=mnist-trainer:7), another resource than the family"
_LOGS = "Airflow's task logs in CloudWatch (docs/aws.md), which a laptop keeps in files"
_SECRETS = "Airflow's connections in Secrets Manager (docs/aws.md), which a laptop has in its environment"

REVIEWED = (
    Reviewed("ExecutionRole", "*", "*", "Fargate's agent acts in this role; the one-machine cloud has no such agent"),
    Reviewed("TrainerRole", "s3:ListBucket", "*", _MISSING),
    Reviewed("PromoterRole", "s3:ListBucket", "*", _MISSING),
    Reviewed("WorkerRole", "ecs:RunTask", "*:task-definition/mnist-*:*", _REVISION),
    Reviewed("WorkerRole", "logs:CreateLogStream", "*:log-stream:dag_id=*", _LOGS),
    Reviewed("WorkerRole", "logs:PutLogEvents", "*:log-stream:dag_id=*", _LOGS),
    Reviewed("WorkerRole", "logs:DescribeLogGroups", "*", _LOGS),
    Reviewed("WorkerRole", "secretsmanager:GetSecretValue", "*:secret:airflow/connections/*", _SECRETS),
)
