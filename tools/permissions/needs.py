"""Which permissions AWS asks for a call: its own, and those of what AWS does because of it.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tools.iam.conditions import UnsupportedError
from tools.iam.template import PSEUDO, Template
from tools.permissions.calls import Call

S3_DECRYPTS = "S3 asks KMS, in the caller's name, to open the object's key"
S3_ENCRYPTS = "S3 asks KMS, in the caller's name, for a key for the object"
RUN_PASSES = "RunTask hands the task definition's roles to the task"
RUN_TAGS = "RunTask tags the task"
PUT_TAGS = "PutObject with tags"
PUT_LOCKS = "PutObject with a retention"
PUT_COMPARES = "PutObject with If-Match tells about the object that is there"

_HERE = f"{PSEUDO['AWS::Region']}:{PSEUDO['AWS::AccountId']}"
_S3_ACTIONS = {
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
}
# Parameters of PutObject that conditions can go by.
_S3_CONTEXT = {
    "ServerSideEncryption": "s3:x-amz-server-side-encryption",
    "SSEKMSKeyId": "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "SSECustomerAlgorithm": "s3:x-amz-server-side-encryption-customer-algorithm",
    "ObjectLockMode": "s3:object-lock-mode",
    "IfNoneMatch": "s3:if-none-match",
    "IfMatch": "s3:if-match",
    "VersionId": "s3:VersionId",
    "Prefix": "s3:prefix",
}


@dataclass(frozen=True)
class Need:
    """A permission that a role was asked for. `because` names what AWS does by itself; empty: the call is the need."""

    role: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)
    because: str = ""

    def __str__(self) -> str:
        return f"{self.role} {self.action} {self.resource}" + (f" {dict(self.context)}" if self.context else "")


def needs(call: Call, template: Template) -> list[Need]:
    """All needs of a call.

    Raises:
        UnsupportedError: an operation that is not known here; to guess its permission would be worse than to fail.
    """
    role = _logical(call.role)
    if call.service == "s3":
        found = list(_s3(call, role, template))
    elif call.service == "kms":
        context = {f"kms:EncryptionContext:{k}": v for k, v in call.parameters.get("EncryptionContext", {}).items()}
        found = [Need(role, f"kms:{call.operation}", call.parameters["KeyId"], context)]
    elif call.service == "ecs":
        found = list(_ecs(call, role, template))
    elif str(call) == "logs:GetLogEvents":
        group, stream = call.parameters["logGroupName"], call.parameters["logStreamName"]
        found = [Need(role, str(call), f"arn:aws:logs:{_HERE}:log-group:{group}:log-stream:{stream}")]
    else:
        raise UnsupportedError(f"{call}: its permission is not known")
    # The emulator speaks HTTP; every client of AWS speaks HTTPS.
    return [replace(need, context={**need.context, "aws:SecureTransport": "true"}) for need in found]


def _logical(role: str) -> str:
    match = re.search(r"-(\w+Role)-", role)
    if match is None:
        raise UnsupportedError(f"{role} is no role of the template")
    return match.group(1)


def _s3(call: Call, role: str, template: Template) -> Iterator[Need]:
    given = call.parameters
    if call.operation not in _S3_ACTIONS:
        raise UnsupportedError(f"{call}: its permission is not known")
    bucket = f"arn:aws:s3:::{given['Bucket']}"
    resource = f"{bucket}/{given['Key']}" if "Key" in given else bucket
    context = {key: str(given[name]) for name, key in _S3_CONTEXT.items() if name in given}
    action = _S3_ACTIONS[call.operation] + ("Version" if "VersionId" in given else "")
    yield Need(role, action, resource, context)
    if call.operation == "PutObject":
        yield from _with_put(given, role, resource, context)
    if call.operation in {"GetObject", "PutObject"}:
        # A bucket key: the context names the bucket, not the object.
        kms = {
            "kms:ViaService": f"s3.{PSEUDO['AWS::Region']}.amazonaws.com",
            "kms:EncryptionContext:aws:s3:arn": bucket,
        }
        reads = call.operation == "GetObject"
        action, because = ("kms:Decrypt", S3_DECRYPTS) if reads else ("kms:GenerateDataKey", S3_ENCRYPTS)
        yield Need(role, action, template.arn("Key"), kms, because)


def _with_put(given: Mapping[str, Any], role: str, resource: str, context: Mapping[str, str]) -> Iterator[Need]:
    if "Tagging" in given:
        yield Need(role, "s3:PutObjectTagging", resource, context, PUT_TAGS)
    if "ObjectLockMode" in given:
        yield Need(role, "s3:PutObjectRetention", resource, context, PUT_LOCKS)
    if "IfMatch" in given:
        yield Need(role, "s3:GetObject", resource, {}, PUT_COMPARES)


def _ecs(call: Call, role: str, template: Template) -> Iterator[Need]:
    given = call.parameters
    cluster = f"arn:aws:ecs:{_HERE}:cluster/{given['cluster'].rpartition('/')[2]}"
    context = {"ecs:cluster": cluster}
    tasks = cluster.replace(":cluster/", ":task/")
    if call.operation == "RunTask":
        yield from _run_task(given, role, template, context)
        if "tags" in given:
            yield Need(role, "ecs:TagResource", f"{tasks}/*", {"ecs:CreateAction": "RunTask"}, RUN_TAGS)
    elif call.operation in {"DescribeTasks", "StopTask"}:
        for task in given.get("tasks") or [given["task"]]:
            yield Need(role, str(call), f"{tasks}/{task.rpartition('/')[2]}", context)
    elif call.operation == "ListTasks":
        yield Need(role, str(call), "*", context)
    else:
        raise UnsupportedError(f"{call}: its permission is not known")


def _run_task(given: Mapping[str, Any], role: str, template: Template, context: Mapping[str, str]) -> Iterator[Need]:
    family = given["taskDefinition"].rpartition("/")[2]
    more = {
        "ecs:enable-execute-command": str(given.get("enableExecuteCommand", False)).lower(),
        "ecs:enable-ebs-volumes": str("volumeConfigurations" in given).lower(),
    }
    yield Need(role, "ecs:RunTask", f"arn:aws:ecs:{_HERE}:task-definition/{family}", {**context, **more})
    overrides = given.get("overrides", {})
    for name, passed in _roles_of(family.partition(":")[0], template).items():
        resource = overrides.get(name[0].lower() + name[1:], passed)
        yield Need(role, "iam:PassRole", resource, {"iam:PassedToService": "ecs-tasks.amazonaws.com"}, RUN_PASSES)


def _roles_of(family: str, template: Template) -> dict[str, str]:
    for name, resource in template.body["Resources"].items():
        if resource["Type"] == "AWS::ECS::TaskDefinition" and (found := template.properties(name))["Family"] == family:
            return {role: found[role] for role in ("ExecutionRoleArn", "TaskRoleArn")}
    raise UnsupportedError(f"{family} is no task definition of the template")
