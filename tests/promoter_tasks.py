"""The promoter as whoever may call RunTask starts it: its own image, with an argument and variables of his choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mnist_tasks import events
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
    group = environment["MNIST_LOG_GROUP"]

    def lines() -> list[str]:
        try:
            found = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in found["events"]]

    # CloudWatch may get the last line after ECS says STOPPED.
    return ended["containers"][0]["exitCode"], "\n".join(poll(lines, lambda found: any(map(_is_last, found))))


def _is_last(line: str) -> bool:
    """Whether this is how the promoter ends: it tells its decision, or why there is none."""
    event = events.read(line)
    return event is not None and event.get("event") in {"decided", "failed"}
