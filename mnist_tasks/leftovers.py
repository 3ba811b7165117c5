"""Stop ECS tasks that nobody waits for any more.

Whoever starts a task stops it, but a worker that is killed when its run has no try left cannot. Such a task would run
until its own time limit; looking for it bounds further what it costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from mnist_tasks.ecs import JOB_TAG, RUN_TAG

# How many tasks DescribeTasks takes at once.
_BATCH = 100


def stop_leftovers(
    client: Any,
    *,
    cluster: str,
    task_definitions: Iterable[str],
    is_over: Callable[[str], bool],
    now: datetime,
    longest: timedelta,
) -> list[str]:
    """Stop every running task of a run that is over, or that is older than a task can be; returns their jobs.

    Args:
        client: boto3's for ECS.
        cluster: The cluster to look in.
        task_definitions: Families, with or without a revision, or ARNs; tasks of all their revisions are looked at.
        is_over: Tells of a run's slug whether the run has ended. It must say no of runs that it does not know: they may
            be those of another Airflow.
        now: The time.
        longest: The time limit of a container, with a margin.

    Raises:
        Exception: what went wrong first, after all tasks were looked at: one of them must not save the others.
    """
    stopped: list[str] = []
    errors: list[Exception] = []

    @contextmanager
    def going_on() -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - of S3, ECS or Airflow
            errors.append(error)

    for definition in task_definitions:
        with going_on():
            for task in _running(client, cluster, definition):
                tags = {tag["key"]: tag["value"] for tag in task.get("tags", [])}
                if RUN_TAG not in tags:
                    continue  # not one of ours
                with going_on():
                    is_too_old = now - task["createdAt"] > longest
                    if is_too_old or is_over(tags[RUN_TAG]):
                        reason = "older than its time limit" if is_too_old else f"run {tags[RUN_TAG]} is over"
                        client.stop_task(cluster=cluster, task=task["taskArn"], reason=f"leftover: {reason}")
                        stopped.append(tags.get(JOB_TAG, task["taskArn"]))
    if errors:
        raise errors[0]
    return stopped


def _running(client: Any, cluster: str, task_definition: str) -> Iterator[dict[str, Any]]:
    family = task_definition.rpartition("/")[2].partition(":")[0]
    pages = client.get_paginator("list_tasks").paginate(
        cluster=cluster, family=family, desiredStatus="RUNNING", PaginationConfig={"PageSize": _BATCH}
    )
    for page in pages:
        if page["taskArns"]:
            yield from client.describe_tasks(cluster=cluster, tasks=page["taskArns"], include=["TAGS"])["tasks"]
