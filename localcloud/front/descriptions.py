"""What ECS says of a task, made of what the emulator says and what is on record: pure functions.

Reference: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html and
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.front.records import TaskRecord

STOPPED = "STOPPED"


def describe(record: TaskRecord, seen: Mapping[str, Any] | None) -> dict[str, Any]:
    """A task as DescribeTasks shows it; `seen` is the emulator's view, None when it has forgotten the task."""
    task = dict(seen or record.description)
    task["containers"] = [_container(container, record) for container in task["containers"]]
    if record.stop is None:
        return task
    task |= {
        "desiredStatus": STOPPED,
        "stopCode": record.stop.code,
        "stoppedReason": record.stop.reason,
        "stoppingAt": record.stop.at,
    }
    if record.stopped_at is not None:
        return task | {"lastStatus": STOPPED, "stoppedAt": record.stopped_at}
    # The emulator calls a task STOPPED before it asks the containers to stop.
    task["lastStatus"] = "STOPPING" if task["lastStatus"] == STOPPED else task["lastStatus"]
    return {name: value for name, value in task.items() if name not in {"stoppedAt", "executionStoppedAt"}}


def describe_retry(record: TaskRecord, seen: Mapping[str, Any] | None) -> dict[str, Any]:
    """A task as a repeated RunTask shows it: of a stopped one only ARN, last status and desired status.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html, "RunTask retry rules and responses"
    """
    task = describe(record, seen)
    if task["lastStatus"] != STOPPED:
        return task
    return {name: task[name] for name in ("taskArn", "lastStatus", "desiredStatus")}


def _container(container: Mapping[str, Any], record: TaskRecord) -> dict[str, Any]:
    # The emulator reports 0 for whatever StopTask ended, and for what never ran.
    shown = {name: value for name, value in container.items() if name != "exitCode"}
    exit_code = record.exit_codes.get(container["name"])
    if exit_code is not None:
        return shown | {"lastStatus": STOPPED, "exitCode": exit_code}
    if record.stopped_at is not None:
        return shown | {"lastStatus": STOPPED}
    return shown | ({"lastStatus": "RUNNING"} if record.stop and shown["lastStatus"] == STOPPED else {})
