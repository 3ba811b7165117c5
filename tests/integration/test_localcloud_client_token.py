"""RunTask honours `clientToken` as ECS documents it, with a real SDK and real processes.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

import localcloud
from tests.ecs_tasks import Tasks, control, poll
from tests.signed import signed

# Each process that starts leaves a line.
COUNT = "import os, time; open(os.environ['STARTS'], 'a').write('started\\n'); time.sleep({seconds})"


@pytest.fixture
def token() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def starts(tmp_path: Path) -> Path:
    return tmp_path / "starts"


@pytest.fixture
def definition(tasks: Tasks, starts: Path) -> Iterator[str]:
    """A task that runs until it is stopped, which the end of the test does."""
    arn = counting_definition(tasks, starts)
    yield arn
    for task in tasks.listed():
        tasks.stop(task)


def counting_definition(tasks: Tasks, starts: Path, seconds: float = 300) -> str:
    environment = [{"name": "STARTS", "value": str(starts)}]
    return tasks.register(
        image=tasks.image, command=["python", "-c", COUNT.format(seconds=seconds)], environment=environment
    )


def count(starts: Path) -> int:
    return len(starts.read_text().splitlines()) if starts.exists() else 0


def conflict(start: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        start()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert caught.value.response["Error"]["Code"] == "ConflictException"
    return caught.value.response


def raw_run_task(cloud: localcloud.Cloud, **request: Any) -> tuple[int, dict[str, Any]]:
    """What an SDK would refuse to send, or send with a token of its own."""
    target = {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.RunTask"}
    headers = signed(cloud, "ecs", "POST", "/", target)
    url = cloud.environment["AWS_ENDPOINT_URL"]
    try:
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(request).encode(), headers)) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_same_token_and_parameters_give_the_same_task_as_it_is_now(
    tasks: Tasks, definition: str, token: str, starts: Path
) -> None:
    task = tasks.run_definition(definition, clientToken=token)
    poll(lambda: tasks.describe(task)["lastStatus"] == "RUNNING" and count(starts))

    again = tasks.start(definition, clientToken=token)

    assert again["failures"] == []
    assert [found["taskArn"] for found in again["tasks"]] == [task]
    assert again["tasks"][0] == tasks.describe(task)
    assert tasks.listed() == [task]
    assert count(starts) == 1


def test_of_a_task_that_has_stopped_a_retry_gets_arn_last_status_and_desired_status(tasks: Tasks, token: str) -> None:
    definition = tasks.register(image=tasks.image, command=["python", "-c", "raise SystemExit(7)"])
    task = tasks.run_definition(definition, clientToken=token)
    tasks.finish(task)

    again = tasks.start(definition, clientToken=token)

    assert again["tasks"] == [{"taskArn": task, "lastStatus": "STOPPED", "desiredStatus": "STOPPED"}]
    assert tasks.describe(task)["containers"][0]["exitCode"] == 7


@pytest.mark.parametrize(
    "change",
    [
        {"startedBy": "somebody else"},
        {"count": 2},
        {"overrides": {"containerOverrides": [{"name": "main", "environment": [{"name": "A", "value": "2"}]}]}},
        {"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]},
        {"tags": [{"key": "a", "value": "b"}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_same_token_with_other_parameters_is_a_conflict_that_names_the_task(
    tasks: Tasks, definition: str, token: str, starts: Path, change: dict[str, Any]
) -> None:
    task = tasks.run_definition(definition, clientToken=token)

    assert conflict(lambda: tasks.start(definition, clientToken=token, **change))["resourceIds"] == [task]

    poll(lambda: count(starts))
    assert tasks.listed() == [task]


def test_a_conflict_stays_one_after_the_task_has_stopped(tasks: Tasks, definition: str, token: str) -> None:
    task = tasks.run_definition(definition, clientToken=token)
    tasks.stop(task)
    tasks.finish(task)

    answer = conflict(lambda: tasks.start(definition, clientToken=token, startedBy="somebody else"))

    assert answer["resourceIds"] == [task]


def test_several_tasks_of_one_request_are_given_again_all(tasks: Tasks, definition: str, token: str) -> None:
    first = tasks.start(definition, clientToken=token, count=2)

    again = tasks.start(definition, clientToken=token, count=2)

    arns = [task["taskArn"] for task in first["tasks"]]
    assert [task["taskArn"] for task in again["tasks"]] == arns
    assert sorted(tasks.listed()) == sorted(arns)


def test_a_cluster_by_name_and_by_arn_is_the_same_cluster(tasks: Tasks, definition: str, token: str) -> None:
    task = tasks.run_definition(definition, clientToken=token)
    cluster = tasks.describe(task)["clusterArn"]

    assert tasks.run_definition(definition, clientToken=token, cluster=cluster) == task


def test_another_cluster_account_or_region_is_a_separate_request(
    tasks: Tasks, definition: str, token: str, cloud: localcloud.Cloud
) -> None:
    first = tasks.run_definition(definition, clientToken=token)
    others: list[dict[str, str]] = [
        {},
        {"aws_access_key_id": "123456789012"},
        {"region_name": "eu-west-1"},
    ]
    arns = {first}
    for other in others:
        ecs = boto3.client("ecs", **cloud.client_arguments | other)
        own = ecs.register_task_definition(
            family="other", containerDefinitions=[{"name": "main", "image": tasks.image, "command": ["true"]}]
        )["taskDefinition"]["taskDefinitionArn"]
        for _ in range(2):
            answer = ecs.run_task(cluster="other", taskDefinition=own, launchType="FARGATE", clientToken=token)
            arns.add(answer["tasks"][0]["taskArn"])
        found = ecs.describe_tasks(cluster="other", tasks=[answer["tasks"][0]["taskArn"]])
        assert len(found["tasks"]) == 1

    assert len(arns) == 1 + len(others)
    assert len({arn.split("/")[0] for arn in arns}) == 3  # account and region are in the ARN


def test_a_task_is_missing_in_a_cluster_that_it_is_not_in(tasks: Tasks, definition: str) -> None:
    task = tasks.run_definition(definition)
    tasks.ecs.create_cluster(clusterName="empty")

    answer = tasks.ecs.describe_tasks(cluster="empty", tasks=[task])

    assert answer["tasks"] == []
    assert answer["failures"] == [{"arn": task, "reason": "MISSING"}]
    with pytest.raises(ClientError, match="not found"):
        tasks.ecs.stop_task(cluster="empty", task=task)


@pytest.mark.parametrize("token", ["x" * 65, "a b", "tökén", "line\n", 7, ["a"]])
def test_a_token_that_is_no_token_is_refused_and_starts_nothing(
    tasks: Tasks, cloud: localcloud.Cloud, definition: str, token: Any, starts: Path
) -> None:
    status, answer = raw_run_task(cloud, taskDefinition=definition, clientToken=token)

    assert (status, answer["__type"]) == (400, "InvalidParameterException")
    assert "64 ASCII characters" in answer["message"]
    assert count(starts) == 0


def test_a_token_may_have_64_characters_from_33_to_126_and_its_case_counts(tasks: Tasks, definition: str) -> None:
    token = "!~" + uuid.uuid4().hex[:6] + "a" * 56

    task = tasks.run_definition(definition, clientToken=token)

    assert tasks.run_definition(definition, clientToken=token) == task
    assert tasks.run_definition(definition, clientToken=token.replace("a" * 56, "A" * 56)) != task


def test_without_a_token_each_request_starts_a_task(tasks: Tasks, cloud: localcloud.Cloud, definition: str) -> None:
    request = {"cluster": tasks.environment["MNIST_CLUSTER"], "taskDefinition": definition, "launchType": "FARGATE"}

    arns = {raw_run_task(cloud, **request)[1]["tasks"][0]["taskArn"] for _ in range(2)}
    arns |= {tasks.run_definition(definition) for _ in range(2)}

    assert len(arns) == 4


def test_concurrent_requests_with_one_token_start_one_task(
    tasks: Tasks, definition: str, token: str, starts: Path
) -> None:
    with ThreadPoolExecutor(8) as pool:
        arns = set(pool.map(lambda _: tasks.run_definition(definition, clientToken=token), range(24)))

    assert len(arns) == 1
    assert tasks.listed() == list(arns)
    poll(lambda: count(starts))
    assert count(starts) == 1


def test_concurrent_requests_with_different_tokens_do_not_disturb_each_other(tasks: Tasks, token: str) -> None:
    definition = tasks.register(image=tasks.image, command=["true"])
    tokens = [f"{token}{number}" for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(lambda each: tasks.run_definition(definition, clientToken=each), tokens))
        again = list(pool.map(lambda each: tasks.run_definition(definition, clientToken=each), tokens))

    assert again == first
    assert len(set(first)) == 20


def test_a_request_that_was_refused_or_found_no_capacity_is_not_remembered(
    tasks: Tasks, cloud: localcloud.Cloud, definition: str, token: str
) -> None:
    with pytest.raises(ClientError, match="Unable to find task definition"):
        tasks.start("no-such-definition", clientToken=token)
    control(cloud, "capacity", failures=1, provider="FARGATE")
    failed = tasks.start(definition, clientToken=token)
    assert failed["tasks"] == []
    assert failed["failures"][0]["reason"].startswith("Capacity is unavailable at this time")

    task = tasks.run_definition(definition, clientToken=token)

    assert tasks.run_definition(definition, clientToken=token) == task


def test_a_task_that_could_not_be_put_on_record_never_starts_and_a_retry_starts_one(
    tasks: Tasks, cloud: localcloud.Cloud, definition: str, token: str, starts: Path
) -> None:
    aside = (cloud.home / "tasks").rename(cloud.home / "aside")
    try:
        with pytest.raises(Exception, match=r"closed|aborted"):
            tasks.start(definition, clientToken=token)
    finally:
        aside.rename(cloud.home / "tasks")

    task = tasks.run_definition(definition, clientToken=token)

    poll(lambda: count(starts))
    time.sleep(0.5)  # what must not happen needs time to happen
    assert tasks.listed() == [task]
    assert count(starts) == 1
