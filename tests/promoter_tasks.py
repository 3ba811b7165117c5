"""The promoter as whoever may call RunTask starts it: its own image, with an argument and variables of his choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.ecs_tasks import poll


def run_promoter(
    environment: Mapping[str, str],
    ecs: Any,
    logs: Any,
    *,
    command: Sequence[str] = ("promote",),
    variables: Mapping[str, str],
) -> tuple[int, str]:
    """Its exit code and what it printed; `environment` names cluster, task definition and log group."""
    cluster = environment["MNIST_CLUSTER"]
    pairs = [{"name": name, "value": value} for name, value in variables.items()]
    container = {"name": "promoter", "command": list(command), "environment": pairs}
    answer = ecs.run_task(
        cluster=cluster,
        taskDefinition=environment["MNIST_PROMOTER_TASK_DEFINITION"],
        overrides={"containerOverrides": [container]},
    )
    task = answer["tasks"][0]["taskArn"]
    ended = poll(
        lambda: ecs.describe_tasks(cluster=cluster, tasks=[task])["tasks"][0], lambda t: t["lastStatus"] == "STOPPED"
    )
    stream = f"{environment['MNIST_PROMOTER_LOG_STREAM_PREFIX']}/promoter/{task.rpartition('/')[2]}"
    events = logs.get_log_events(logGroupName=environment["MNIST_LOG_GROUP"], logStreamName=stream, startFromHead=True)
    return ended["containers"][0]["exitCode"], "\n".join(event["message"] for event in events["events"])
