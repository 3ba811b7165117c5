"""Who may do what: the table that the roles are held to, evaluated from the template and tried in the emulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TRAINER, PROMOTER, WORKER, READER = ROLES = ("TrainerRole", "PromoterRole", "WorkerRole", "ReaderRole")
EVERYBODY, NOBODY = set(ROLES), set[str]()

CANDIDATE, FINAL = "checkpoints/mnist_model_19990101_000000", "checkpoints/mnist_model_19990101_000000_final"
RUN = "runs/manual-1999-01-01-00000000"


@dataclass(frozen=True)
class Row:
    """An action on an object of the bucket (`key`; empty: the bucket itself), and exactly who may do it."""

    action: str
    key: str
    who: set[str]

    def __str__(self) -> str:
        return f"{self.action} {self.key or 'bucket'}"


OBJECTS = (
    Row("s3:ListBucket", "", EVERYBODY),
    Row("s3:GetObject", "datasets/mnist/0/mnist.npz", EVERYBODY),
    Row("s3:GetObject", f"{CANDIDATE}/weights", {TRAINER, PROMOTER, READER}),
    Row("s3:GetObject", f"{CANDIDATE}/metrics.json", EVERYBODY),
    Row("s3:GetObject", f"{CANDIDATE}/manifest.json", EVERYBODY),
    Row("s3:GetObject", f"{FINAL}/weights", {PROMOTER, READER}),
    Row("s3:GetObject", f"{FINAL}/manifest.json", {PROMOTER, WORKER, READER}),
    Row("s3:GetObject", "checkpoints/champion.json", {PROMOTER, WORKER, READER}),
    Row("s3:GetObject", "decisions/99999999.json", {PROMOTER, WORKER, READER}),
    Row("s3:GetObject", f"{RUN}/plan.json", {PROMOTER, WORKER, READER}),
    Row("s3:GetObject", f"{RUN}/validation.json", {PROMOTER, WORKER, READER}),
    Row("s3:GetObject", f"{RUN}/decision_base.json", {PROMOTER, WORKER, READER}),
    Row("s3:GetObject", f"{RUN}/report.html", {WORKER, READER}),
    Row("s3:GetObject", f"{RUN}/resume/mnist_model_19990101_000000", {TRAINER, READER}),
    Row("s3:PutObject", "datasets/mnist/0/mnist.npz", {WORKER}),
    Row("s3:PutObject", f"{CANDIDATE}/weights", {TRAINER}),
    Row("s3:PutObject", f"{CANDIDATE}/manifest.json", {TRAINER}),
    Row("s3:PutObject", f"{FINAL}/weights", {PROMOTER}),
    Row("s3:PutObject", f"{FINAL}/manifest.json", {PROMOTER}),
    Row("s3:PutObject", "checkpoints/champion.json", {PROMOTER}),
    Row("s3:PutObject", "checkpoints/anything-else", NOBODY),
    Row("s3:PutObject", "decisions/99999999.json", {PROMOTER}),
    Row("s3:PutObject", "decisions/head.json", {PROMOTER}),
    Row("s3:PutObject", f"{RUN}/decision_base.json", {PROMOTER}),
    Row("s3:PutObject", f"{RUN}/plan.json", {WORKER}),
    Row("s3:PutObject", "runs/names/mnist_model_19990101_000000", {WORKER}),
    Row("s3:PutObject", f"{RUN}/report.html", {WORKER}),
    Row("s3:PutObject", f"{RUN}/progress/mnist_model_19990101_000000.json", {TRAINER, WORKER}),
    Row("s3:PutObject", f"{RUN}/resume/mnist_model_19990101_000000", {TRAINER, WORKER}),
    # Another classifier's, in folders of its own: the same roles may do the same.
    Row("s3:PutObject", "checkpoints/contracts/contracts_model_19990101_000000/weights", {TRAINER}),
    Row("s3:PutObject", "checkpoints/contracts/contracts_model_19990101_000000_final/weights", {PROMOTER}),
    Row("s3:PutObject", "checkpoints/contracts/champion.json", {PROMOTER}),
    Row("s3:PutObject", "decisions/contracts/99999999.json", {PROMOTER}),
    Row("s3:PutObject", "runs/contracts/a-run/plan.json", {WORKER}),
    Row("s3:PutObject", "runs/contracts/a-run/decision_base.json", {PROMOTER}),
    Row("s3:PutObjectTagging", f"{CANDIDATE}/weights", {TRAINER}),
    Row("s3:PutObjectRetention", f"{FINAL}/weights", {PROMOTER}),
    Row("s3:BypassGovernanceRetention", f"{FINAL}/weights", NOBODY),
    Row("s3:DeleteObject", f"{CANDIDATE}/weights", NOBODY),
    Row("s3:DeleteObject", f"{FINAL}/manifest.json", NOBODY),
    Row("s3:DeleteObjectVersion", f"{FINAL}/manifest.json", NOBODY),
    Row("s3:DeleteObject", "checkpoints/champion.json", NOBODY),
    Row("s3:DeleteObject", "decisions/99999999.json", NOBODY),
    Row("s3:DeleteObject", f"{RUN}/plan.json", NOBODY),
    Row("s3:DeleteObject", f"{RUN}/resume/mnist_model_19990101_000000", {TRAINER, WORKER}),
    Row("s3:PutBucketPolicy", "", NOBODY),
    Row("s3:PutLifecycleConfiguration", "", NOBODY),
)


@dataclass(frozen=True)
class Act:
    """An action on something else, named by its logical name or ARN, with the context that AWS gives it."""

    action: str
    resource: str
    who: set[str]
    context: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.action} {self.resource.rpartition(':')[2]} {dict(self.context) or ''}"


_ECS, _IAM = "arn:aws:ecs:eu-central-1:111122223333", "arn:aws:iam::111122223333"
_LOGS = "arn:aws:logs:eu-central-1:111122223333:log-group:/mnist/containers"
_TASK_LOG = "dag_id=mnist_training/run_id=manual__1999-01-01T00_00_00+00_00/task_id=train/attempt=1.log"
_MANAGED = "arn:aws:secretsmanager:eu-central-1:111122223333:secret"
_HERE = {"ecs:cluster": f"{_ECS}:cluster/mnist"}
_ELSEWHERE = {"ecs:cluster": f"{_ECS}:cluster/another"}
_TO_TASKS = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
_THROUGH_S3 = {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}
_AT_START = {"ecs:CreateAction": "RunTask"}


def _purpose(purpose: str) -> dict[str, str]:
    return {"kms:EncryptionContext:purpose": purpose}


ACTS = (
    Act("ecs:RunTask", f"{_ECS}:task-definition/mnist-trainer", {WORKER}, _HERE),
    Act("ecs:RunTask", f"{_ECS}:task-definition/mnist-trainer:7", {WORKER}, _HERE),
    Act("ecs:RunTask", f"{_ECS}:task-definition/mnist-promoter", {WORKER}, _HERE),
    Act("ecs:RunTask", f"{_ECS}:task-definition/mnist-promoter:7", {WORKER}, _HERE),
    Act("ecs:RunTask", f"{_ECS}:task-definition/mnist-trainer-of-mine", NOBODY, _HERE),
    Act("ecs:RunTask", f"{_ECS}:task-definition/mnist-promoter:7", NOBODY, _ELSEWHERE),
    Act(
        "ecs:RunTask", f"{_ECS}:task-definition/mnist-promoter", NOBODY, {**_HERE, "ecs:enable-execute-command": "true"}
    ),
    Act("ecs:RunTask", f"{_ECS}:task-definition/mnist-promoter", NOBODY, {**_HERE, "ecs:enable-ebs-volumes": "true"}),
    Act("ecs:StopTask", f"{_ECS}:task/mnist/0123", {WORKER}, _HERE),
    Act("ecs:StopTask", f"{_ECS}:task/another/0123", NOBODY, _ELSEWHERE),
    Act("ecs:DescribeTasks", f"{_ECS}:task/mnist/0123", {WORKER}, _HERE),
    Act("ecs:ListTasks", "*", {WORKER}, _HERE),
    Act("ecs:ListTasks", "*", NOBODY, _ELSEWHERE),
    Act("ecs:TagResource", f"{_ECS}:task/mnist/0123", {WORKER}, _AT_START),
    Act("ecs:TagResource", f"{_ECS}:task/mnist/0123", NOBODY),
    Act("ecs:RegisterTaskDefinition", "*", NOBODY),
    Act("ecs:ExecuteCommand", f"{_ECS}:task/mnist/0123", NOBODY, _HERE),
    Act("iam:PassRole", TRAINER, {WORKER}, _TO_TASKS),
    Act("iam:PassRole", PROMOTER, {WORKER}, _TO_TASKS),
    Act("iam:PassRole", "ExecutionRole", {WORKER}, _TO_TASKS),
    Act("iam:PassRole", READER, NOBODY, _TO_TASKS),
    Act("iam:PassRole", WORKER, NOBODY, _TO_TASKS),
    Act("iam:PassRole", PROMOTER, NOBODY, {"iam:PassedToService": "lambda.amazonaws.com"}),
    Act("iam:PassRole", f"{_IAM}:role/administrator", NOBODY, _TO_TASKS),
    Act("iam:PutRolePolicy", PROMOTER, NOBODY),
    Act("iam:CreatePolicyVersion", "Boundary", NOBODY),
    Act("sts:AssumeRole", PROMOTER, NOBODY),
    Act("logs:GetLogEvents", f"{_LOGS}:log-stream:trainer/trainer/0123", {WORKER}),
    Act("logs:CreateLogStream", f"{_LOGS}:log-stream:{_TASK_LOG}", {WORKER, "ExecutionRole"}),
    Act("logs:PutLogEvents", f"{_LOGS}:log-stream:{_TASK_LOG}", {WORKER, "ExecutionRole"}),
    Act("logs:PutLogEvents", f"{_LOGS}:log-stream:trainer/trainer/0123", {"ExecutionRole"}),
    Act("logs:DescribeLogGroups", "*", {WORKER}),
    Act("logs:DeleteLogGroup", f"{_LOGS}:*", NOBODY),
    Act("secretsmanager:GetSecretValue", f"{_MANAGED}:airflow/connections/smtp_default-AbCdEf", {WORKER}),
    Act("secretsmanager:GetSecretValue", f"{_MANAGED}:payroll-AbCdEf", NOBODY),
    Act("kms:Decrypt", "Key", EVERYBODY, _THROUGH_S3),
    Act("kms:Decrypt", "Key", NOBODY),
    Act("kms:GenerateDataKey", "Key", {TRAINER, PROMOTER, WORKER}, _THROUGH_S3),
    Act("kms:Decrypt", "CheckpointKey", {TRAINER, PROMOTER, READER}, _purpose("weights")),
    Act("kms:Decrypt", "CheckpointKey", {TRAINER}, _purpose("resume")),
    Act("kms:Decrypt", "CheckpointKey", NOBODY, _purpose("final")),
    Act("kms:Decrypt", "CheckpointKey", NOBODY),
    Act("kms:GenerateDataKey", "CheckpointKey", {TRAINER}, _purpose("weights")),
    Act("kms:GenerateDataKey", "CheckpointKey", {TRAINER}, _purpose("resume")),
    Act("kms:Decrypt", "FinalKey", {PROMOTER, READER}, _purpose("final")),
    Act("kms:Decrypt", "FinalKey", NOBODY, _purpose("weights")),
    Act("kms:GenerateDataKey", "FinalKey", {PROMOTER}, _purpose("final")),
    Act("kms:GenerateDataKey", "FinalKey", NOBODY),
    Act("kms:Sign", "SigningKey", {PROMOTER}),
    Act("kms:GetPublicKey", "SigningKey", {PROMOTER, READER}),
    Act("kms:Sign", "Key", NOBODY),
    Act("kms:PutKeyPolicy", "Key", NOBODY),
    Act("kms:PutKeyPolicy", "SigningKey", NOBODY),
    Act("kms:ScheduleKeyDeletion", "Key", NOBODY),
)
