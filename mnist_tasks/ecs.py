"""What travels to an ECS task, and what its end means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mnist_tasks.config import TrainingJob
from mnist_tasks.errors import ConfigurationError, ContainerFailed, MnistError, TemporaryError

# What a trainer's exit code says (the list stands in `mnist_tasks.training.__main__`), for those that name their cause.
_MEANING = {
    2: "its configuration was refused",
    3: "bucket or data set is missing, or not what it has to be",
    4: "S3 could not be used",
    137: "it was killed: out of memory, or stopped without mercy",
    143: "it was asked to stop before it was done (Spot interruption, scale-in, or a person)",
}
_MAY_PASS = {4, 137, 143}

# A task that was stopped from outside may still have exited with 0: its exit code says nothing then.
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
_STOPPED_BY = {
    "SpotInterruption": "because Fargate Spot took its capacity back",
    "TerminationNotice": "because its host was terminated",
    "UserInitiated": "by a person or another program",
}


def training_request(job: TrainingJob, container: str) -> dict[str, Any]:
    """The arguments of RunTask that differ between candidates: overrides and tags.

    Built from a validated job only: overrides may also carry roles and commands, so nothing that a person typed gets
    into them unchecked.
    """
    environment = [{"name": name, "value": value} for name, value in job.to_environment().items()]
    return {
        "overrides": {"containerOverrides": [{"name": container, "environment": environment}]},
        "tags": {"mnist-run": job.run, "mnist-candidate": job.candidate},
    }


def failure_of(task: Mapping[str, Any], container: str) -> MnistError | None:
    """Why a stopped task did not succeed; None if its container exited with 0 of its own accord.

    Args:
        task: One entry of DescribeTasks, with `lastStatus` STOPPED.
        container: Name of the container whose exit code counts.
    """
    state: Mapping[str, Any] = next((c for c in task.get("containers", []) if c.get("name") == container), {})
    reason = state.get("reason") or task.get("stoppedReason") or "ECS gave no reason"
    code = state.get("exitCode")
    if task.get("stopCode") == "TaskFailedToStart" or code is None:
        return _failed_to_start(reason)
    if task.get("stopCode") in _STOPPED_BY:
        return TemporaryError(
            f"the task was stopped before it was done, {_STOPPED_BY[task['stopCode']]} ({reason})",
            mend="Airflow tries again; if a person has stopped it, mark the run as failed",
        )
    if code == 0:
        return None
    meaning = _MEANING.get(code, "the log says why")
    message = f"container {container} exited with {code}: {meaning} ({reason})"
    if code in _MAY_PASS:
        return TemporaryError(message, mend="Airflow tries again; if it lasts, look at the container's log above")
    return ContainerFailed(message, mend="read the container's log above, correct the cause, then clear this task")


def _failed_to_start(reason: str) -> MnistError:
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-errors.html
    if "CannotPull" in reason or "No such image" in reason or "not found" in reason.lower():
        return ConfigurationError(
            f"the container's image could not be had: {reason}",
            mend="push that image, or register a task definition that names one which exists",
        )
    return TemporaryError(
        f"the task did not start: {reason}", mend="Airflow tries again; if it lasts, see the ECS console"
    )
