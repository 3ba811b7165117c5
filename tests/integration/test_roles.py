"""The roles as the emulator enforces them: the same table as in tests/unit/test_roles.py, tried with real requests.

What it cannot enforce (conditions of RunTask, iam:PassRole, encryption at rest) is evaluated there only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

import localcloud
from tests.promoter_tasks import run_promoter
from tests.roles import OBJECTS, PROMOTER, ROLES, WORKER, Row

NOT_THERE = '"00000000000000000000000000000000"'
# An ETag that no object has: whoever may put is told that it does not match, and nothing is written.
CALLS: dict[str, Callable[[Any, str, str], Any]] = {
    "s3:ListBucket": lambda s3, bucket, _: s3.list_objects_v2(Bucket=bucket, MaxKeys=1),
    "s3:GetObject": lambda s3, bucket, key: s3.get_object(Bucket=bucket, Key=key),
    "s3:PutObject": lambda s3, bucket, key: s3.put_object(Bucket=bucket, Key=key, IfMatch=NOT_THERE),
    "s3:DeleteObject": lambda s3, bucket, key: s3.delete_object(Bucket=bucket, Key=key),
    "s3:PutBucketPolicy": lambda s3, bucket, _: s3.put_bucket_policy(Bucket=bucket, Policy="{}"),
}
TRIED = [row for row in OBJECTS if row.action in CALLS]


@pytest.fixture(scope="session")
def as_role(cloud: localcloud.Cloud, aws: Callable[[str], Any]) -> Callable[[str, str], Any]:
    """`as_role("TrainerRole", "s3")`: a client with a session of that role."""
    arns = {role["RoleName"].split("-")[1]: role["Arn"] for role in aws("iam").list_roles()["Roles"]}
    sessions = {
        role: aws("sts").assume_role(RoleArn=arns[role], RoleSessionName="test")["Credentials"] for role in ROLES
    }

    def client(role: str, service: str) -> Any:
        keys = sessions[role]
        return boto3.client(
            service,
            endpoint_url=cloud.environment["AWS_ENDPOINT_URL"],
            region_name=cloud.environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )

    return client


def is_allowed(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] != 403
    return True


@pytest.mark.parametrize("row", TRIED, ids=str)
def test_exactly_these_roles_may_do_this(row: Row, cloud: localcloud.Cloud, as_role: Callable[[str, str], Any]) -> None:
    bucket = cloud.environment["MNIST_BUCKET"]

    may = {
        role for role in ROLES if is_allowed(lambda role=role: CALLS[row.action](as_role(role, "s3"), bucket, row.key))
    }

    assert may == row.who


def test_only_the_worker_starts_and_watches_tasks(cloud: localcloud.Cloud, as_role: Callable[[str, str], Any]) -> None:
    cluster = cloud.environment["MNIST_CLUSTER"]

    def may(call: Callable[[Any], Any]) -> set[str]:
        return {role for role in ROLES if is_allowed(partial(call, as_role(role, "ecs")))}

    assert may(lambda ecs: ecs.list_tasks(cluster=cluster)) == {WORKER}
    assert may(lambda ecs: ecs.describe_tasks(cluster=cluster, tasks=["0" * 32])) == {WORKER}
    assert may(lambda ecs: ecs.run_task(cluster=cluster, taskDefinition="no-such-family")) == {WORKER}
    assert may(lambda ecs: ecs.run_task(cluster="another", taskDefinition="mnist-promoter")) == set()
    assert may(lambda ecs: ecs.register_task_definition(family="mine", containerDefinitions=[])) == set()


def test_no_role_takes_another_one(aws: Callable[[str], Any], as_role: Callable[[str, str], Any]) -> None:
    roles = {role["RoleName"]: role["Arn"] for role in aws("iam").list_roles()["Roles"]}
    targets = [arn for name, arn in roles.items() if not name.startswith("mnist-Reader")]

    for role in ROLES:
        sts = as_role(role, "sts")
        for target in targets:
            assert not is_allowed(lambda t=target, s=sts: s.assume_role(RoleArn=t, RoleSessionName="mine")), (
                role,
                target,
            )


def test_what_the_promoter_writes_cannot_be_removed_by_its_version(
    cloud: localcloud.Cloud, aws: Callable[[str], Any], as_role: Callable[[str, str], Any]
) -> None:
    """Not even by the administrator, unless he says that he means to."""
    from mnist_tasks.storage import Lock, Storage

    bucket, key = cloud.environment["MNIST_BUCKET"], "checkpoints/mnist_model_19990101_000001_final/weights"
    Storage(as_role(PROMOTER, "s3"), bucket, Lock("GOVERNANCE", 1)).put(key, b"weights")
    version = aws("s3").head_object(Bucket=bucket, Key=key)["VersionId"]

    assert not is_allowed(lambda: aws("s3").delete_object(Bucket=bucket, Key=key, VersionId=version))
    aws("s3").delete_object(Bucket=bucket, Key=key, VersionId=version, BypassGovernanceRetention=True)


STOLEN = {
    "another module's arguments": ({"command": ["-m", "mnist_tasks.training"]}, "expected promote or rollback"),
    "code as an argument": ({"command": ["promote", "import os"]}, "expected promote or rollback"),
    "another server in AWS's place": (
        {"environment": {"AWS_ENDPOINT_URL_S3": "http://10.0.0.1"}},
        "takes no AWS_ENDPOINT",
    ),
    "a variable that nobody knows": ({"environment": {"MNIST_THRESHOLD": "0"}}, "takes no MNIST_THRESHOLD"),
    "other credentials' file": ({"environment": {"AWS_CONFIG_FILE": "/proc/self/environ"}}, "takes no AWS_CONFIG_FILE"),
    "a startup file of Python": ({"environment": {"PYTHONSTARTUP": "/tmp/x", "PYTHONPATH": "/tmp"}}, "MNIST_BUCKET"),
    "code in Python's warnings": (
        {"environment": {"PYTHONWARNINGS": "all:0:antigravity.x:0:0", "BROWSER": "sh -c 'echo pwned' #%s"}},
        "MNIST_BUCKET",
    ),
}


@pytest.mark.parametrize("how", STOLEN)
def test_a_stolen_worker_role_gets_the_promoter_to_run_nothing_of_its_own(
    how: str, cloud: localcloud.Cloud, as_role: Callable[[str, str], Any]
) -> None:
    """It may start the promoter: with its own program, which refuses what it does not know."""
    override, said = STOLEN[how]
    code, log = run_promoter(
        cloud.environment,
        as_role(WORKER, "ecs"),
        as_role(WORKER, "logs"),
        command=override.get("command", ["promote"]),
        variables=override.get("environment", {}),
    )

    assert code == 2, log
    assert re.search(said, log), log
    assert "pwned" not in log
    assert '"level": "error"' in log
