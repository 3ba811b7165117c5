"""Training tasks that nobody waits for any more are found among all others, and stopped."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Container
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.paginate import PageIterator

import localcloud
from mnist_tasks.ecs import JOB_TAG, RUN_TAG
from mnist_tasks.errors import IntegrityError
from mnist_tasks.leftovers import stop_leftovers

HOUR = timedelta(hours=1)


@pytest.fixture
def family(aws: Callable[[str], Any]) -> str:
    """A task definition whose containers run until they are stopped."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    container = {"name": "trainer", "image": "python:3.11-slim", "command": ["sleep", "600"]}
    aws("ecs").register_task_definition(family=name, networkMode="awsvpc", containerDefinitions=[container])
    return name


@pytest.fixture
def start(cloud: localcloud.Cloud, aws: Callable[[str], Any], family: str) -> Any:
    """Starts a task of a run and returns its ARN; the test's end stops it."""
    ecs, cluster, started = aws("ecs"), cloud.environment["MNIST_CLUSTER"], []

    def run(slug: str | None, candidate: str = "") -> str:
        tags = [{"key": RUN_TAG, "value": slug}, {"key": JOB_TAG, "value": candidate}] if slug else []
        answer = ecs.run_task(cluster=cluster, taskDefinition=family, launchType="FARGATE", tags=tags)
        started.append(answer["tasks"][0]["taskArn"])
        return started[-1]

    yield run
    for arn in started:
        ecs.stop_task(cluster=cluster, task=arn, reason="the test is over")


@pytest.fixture
def sweep(cloud: localcloud.Cloud, aws: Callable[[str], Any], family: str) -> Callable[..., list[str]]:
    def run(over: Container[str], now: datetime | None = None) -> list[str]:
        return stop_leftovers(
            aws("ecs"),
            cluster=cloud.environment["MNIST_CLUSTER"],
            task_definitions=("no-such-family", f"{family}:1"),
            is_over=over.__contains__,
            now=now or datetime.now(UTC),
            longest=HOUR,
        )

    return run


@pytest.fixture
def desired(cloud: localcloud.Cloud, aws: Callable[[str], Any]) -> Callable[[str], dict[str, Any]]:
    def describe(arn: str) -> dict[str, Any]:
        return aws("ecs").describe_tasks(cluster=cloud.environment["MNIST_CLUSTER"], tasks=[arn])["tasks"][0]

    return describe


def test_the_task_of_a_run_that_is_over_is_stopped_and_named(start: Any, sweep: Any, desired: Any) -> None:
    left, watched = start("over", "mnist_model_1"), start("going-on", "mnist_model_2")

    assert sweep({"over"}) == ["mnist_model_1"]
    assert desired(left)["desiredStatus"] == "STOPPED"
    assert "run over is over" in desired(left)["stoppedReason"]
    assert desired(watched)["desiredStatus"] == "RUNNING"


def test_a_task_that_has_outlived_its_time_limit_is_stopped_whatever_its_run(start: Any, sweep: Any) -> None:
    start("of-another-airflow", "mnist_model_1")

    assert sweep(set(), now=datetime.now(UTC) + HOUR / 2) == []
    assert sweep(set(), now=datetime.now(UTC) + 2 * HOUR) == ["mnist_model_1"]


def test_a_task_of_the_family_that_is_no_training_is_left_alone(start: Any, sweep: Any, desired: Any) -> None:
    other = start(None)

    assert sweep(set(), now=datetime.now(UTC) + 2 * HOUR) == []
    assert desired(other)["desiredStatus"] == "RUNNING"


class OneDamagedPlan(Container[str]):
    """Whether the first run that is asked about is over cannot be told; every other one is."""

    def __init__(self, error: Exception) -> None:
        self.errors = [error]

    def __contains__(self, run: object) -> bool:
        if self.errors:
            raise self.errors.pop()
        return True


@pytest.mark.parametrize(
    "error", [IntegrityError("a damaged plan"), ClientError({}, "StopTask"), OSError("no Airflow")]
)
def test_a_task_that_nothing_can_be_done_about_saves_no_other_one(
    start: Any, sweep: Any, desired: Any, error: Exception
) -> None:
    tasks = [start("one", "mnist_model_1"), start("other", "mnist_model_2")]

    with pytest.raises(type(error)):
        sweep(OneDamagedPlan(error))

    assert sorted(desired(task)["desiredStatus"] for task in tasks) == ["RUNNING", "STOPPED"]


def test_a_family_that_cannot_be_listed_saves_no_other_one(
    start: Any, sweep: Any, aws: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    start("over", "mnist_model_1")
    page = PageIterator._make_request

    def refuse(self: PageIterator, arguments: dict[str, Any]) -> Any:
        if arguments["family"] == "no-such-family":
            raise ClientError({}, "ListTasks")
        return page(self, arguments)

    monkeypatch.setattr(PageIterator, "_make_request", refuse)

    with pytest.raises(ClientError):
        sweep({"over"})

    monkeypatch.undo()
    assert sweep({"over"}) == []


def test_where_nothing_runs_nothing_is_stopped(sweep: Any) -> None:
    assert sweep({"over"}) == []
