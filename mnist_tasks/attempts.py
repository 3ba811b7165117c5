"""What a run's ECS tasks took: one small record for each, written by whoever waits for the task.

ECS forgets a task about an hour after its end. What it says of it until then, from when to when it ran, on what and how
it ended, is kept beside the run's other records: the only place that knows what a run has cost, and what of that
went into tries that came to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from mnist_tasks.config import Frozen, S3KeyPart
from mnist_tasks.layout import Layout
from mnist_tasks.storage import Storage, parse, to_json

# https://aws.amazon.com/fargate/pricing/: by the second from the start of the image's download, at least a minute.
SHORTEST_BILLED = timedelta(minutes=1)


class Attempt(Frozen):
    """One ECS task for a job of a run. `started` is when its image began to arrive, from where on Fargate bills.

    `job` is the name of a candidate, or what the promoter was asked to do.
    """

    version: Literal[1] = 1
    job: S3KeyPart
    generation: int = Field(ge=1)
    capacity: Literal["FARGATE", "FARGATE_SPOT"]
    vcpus: float = Field(gt=0)
    memory_gb: float = Field(gt=0)
    started: AwareDatetime
    stopped: AwareDatetime | None = None
    stop_code: str = ""
    exit_code: int | None = None

    def seconds(self, now: datetime) -> float:
        """How long it has been, or was, billed for."""
        return max((self.stopped or now) - self.started, SHORTEST_BILLED).total_seconds()


def of_task(task: Mapping[str, Any], job: str, generation: int, container: str) -> Attempt | None:
    """What ECS says of a task; None if it was never given a place to run, which costs nothing.

    Args:
        task: One entry of DescribeTasks.
        job: The name of what it was started for.
        generation: The number of its submission.
        container: Name of the container whose exit code counts.
    """
    started = task.get("pullStartedAt") or task.get("startedAt")
    if started is None:
        return None
    stopped = task["lastStatus"] == "STOPPED"
    codes = [c.get("exitCode") for c in task.get("containers", []) if c.get("name") == container]
    return Attempt(
        job=job,
        generation=generation,
        capacity=task.get("capacityProviderName") or "FARGATE",
        vcpus=int(task["cpu"]) / 1024,
        memory_gb=int(task["memory"]) / 1024,
        started=started,
        stopped=task.get("stoppedAt") if stopped else None,
        stop_code=task.get("stopCode") or "" if stopped else "",
        exit_code=next(iter(codes), None) if stopped else None,
    )


def write(storage: Storage, layout: Layout, slug: str, attempt: Attempt) -> None:
    """Keep what is known of an attempt; written anew whenever more is known."""
    key = layout.attempt(slug, attempt.job, attempt.generation)
    storage.put(key, to_json(attempt.model_dump(mode="json")))


def read_all(storage: Storage, layout: Layout, slug: str) -> tuple[Attempt, ...]:
    """The attempts of a run, those of a job in their order: one listing, and one read for each.

    Raises:
        IntegrityError: what is stored there is no record of an attempt.
    """
    found = [parse(Attempt, storage, storage.get(key)) for key in storage.keys(layout.attempts(slug))]
    return tuple(sorted(found, key=lambda attempt: (attempt.job, attempt.generation)))
