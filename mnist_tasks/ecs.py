"""What travels to an ECS task, what its end means, and which of ECS's errors may pass."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import Field

from mnist_tasks import events
from mnist_tasks.config import Frozen, PromotionJob, TrainingJob
from mnist_tasks.errors import ConfigurationError, ContainerFailed, MnistError, TemporaryError
from mnist_tasks.layout import Layout

Capacity = Literal["FARGATE", "FARGATE_SPOT"]
Job = TrainingJob | PromotionJob

RUN_TAG, JOB_TAG = "mnist-run", "mnist-job"

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
_NO_SUCH_PLACE = {"ClusterNotFoundException", "InvalidParameterException"}
_DENIED = {"AccessDenied", "AccessDeniedException"}

# What an exit code of our containers says (`mnist_tasks.training.__main__` has the list) when their log says nothing.
_MEANING = {
    2: "its configuration was refused",
    3: "what it needs in S3 is missing, or not what it has to be",
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

# Codes of ECS and of AWS in general. https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html
_PASSING = {"ServerException", "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"}

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-errors.html: CannotPullContainerError stands
# before these and before registries that were too slow, or asked too often, which pass; ResourceInitializationError
# before what the execution role may not have, and before networks that were too slow.
_WILL_NOT_PASS = (
    "no such image",
    "not found",
    "does not exist",
    "manifest unknown",
    "access denied",
    "accessdenied",
    "not authorized",
)
# ECS's word, and that of a Docker engine.
_ABOUT_THE_IMAGE = ("CannotPull", "No such image")


@dataclass(frozen=True)
class Work:
    """What a container is to do, and how whoever waits for it sees what became of it: by what is in S3, never by words.

    Args:
        job: What is sent.
        layout: The keys of its classifier.
        missing: What is not there after a container that did nothing, in words: "its checkpoint is not committed".
        result: Returns what the container had to bring about (plain JSON), None while that is not there. Raises the
            `MnistError` that the work came to, if that is its outcome.
        progress: How far it is, for people.
        clean_up: Removes what a container leaves that was killed after its work.
    """

    job: Job
    layout: Layout
    missing: str
    result: Callable[[], Mapping[str, Any] | None]
    progress: Callable[[], str | None]
    clean_up: Callable[[], None]


class Submission(Frozen):
    """One RunTask request for a job.

    `generation` counts them: a job gets its next one only after the task of the one before has ended, or was refused.
    """

    generation: int = Field(ge=1)
    capacity: Capacity

    def client_token(self, job: Job) -> str:
        """ECS starts one task for a token, however often it is sent; 64 hexadecimal digits are the longest it takes.

        The bucket tells apart two deployments that share a cluster. The capacity is part of it because ECS refuses a
        token that comes back with other parameters.
        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
        """
        parts = [job.bucket, job.run, job.name, self.generation, self.capacity]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def placement(self) -> list[dict[str, Any]]:
        """RunTask's `capacityProviderStrategy`."""
        return [{"capacityProvider": self.capacity, "weight": 1}]


def request(job: Job, container: str) -> dict[str, Any]:
    """The arguments of RunTask that differ between jobs: overrides and tags.

    Built from a validated job only: overrides may also carry roles and other commands, so nothing that a person typed,
    or an XCom holds, gets into them unchecked.
    """
    override: dict[str, Any] = {
        "name": container,
        "environment": [{"name": name, "value": value} for name, value in job.to_environment().items()],
    }
    if job.arguments:
        override["command"] = list(job.arguments)
    return {"overrides": {"containerOverrides": [override]}, "tags": {RUN_TAG: job.run, JOB_TAG: job.name}}


def failure_of(task: Mapping[str, Any], container: str, *, missing: str, log: Sequence[str] = ()) -> MnistError:
    """Why a stopped task did not bring about what it had to.

    Args:
        task: One entry of DescribeTasks, with `lastStatus` STOPPED.
        container: Name of the container whose exit code counts.
        missing: What is not there, in words.
        log: The last lines that the container wrote; they tell the cause to people, and decide nothing. The error
            carries them as sentences.
    """
    error = _failure_of(task, container, missing, log)
    error.log = tuple(line for told in log for line in events.sentence(told).splitlines())
    return error


def _failure_of(task: Mapping[str, Any], container: str, missing: str, log: Sequence[str]) -> MnistError:
    state: Mapping[str, Any] = next((c for c in task.get("containers", []) if c.get("name") == container), {})
    reason = state.get("reason") or task.get("stoppedReason") or "ECS gave no reason"
    code = state.get("exitCode")
    if task.get("stopCode") in _STOPPED_BY:
        return TemporaryError(
            f"the task was stopped before it was done, {_STOPPED_BY[task['stopCode']]} ({reason})",
            mend="Airflow tries again; if a person has stopped it, mark the run as failed",
        )
    if task.get("stopCode") == "TaskFailedToStart" or code is None:
        return _failed_to_start(reason)
    if code == 0:
        return ContainerFailed(
            f"container {container} exited with 0, but {missing}",
            mend="check that the task definition runs the image it is meant for (outputs of infra/mnist.yaml)",
        )
    problem, mend = _last_error(log)
    cause = problem or f"{_MEANING.get(code, 'the log says why')} ({reason})"
    message = f"container {container} exited with {code}: {cause}"
    if code in _MAY_PASS:
        return TemporaryError(
            message, mend=mend or "Airflow tries again; if it lasts, look at the container's log above"
        )
    return ContainerFailed(
        message, mend=mend or "read the container's log above, correct the cause, then clear the run"
    )


def _last_error(log: Sequence[str]) -> tuple[str, str]:
    """Problem and mend of the last error that a container told; empty where it told none."""
    errors = [event for line in log if (event := events.read(line)) and event.get("level") == "error"]
    return (errors[-1]["message"], str(errors[-1].get("mend", ""))) if errors else ("", "")


def _failed_to_start(reason: str) -> MnistError:
    if any(words in reason.lower() for words in _WILL_NOT_PASS):
        if any(words in reason for words in _ABOUT_THE_IMAGE):
            return ConfigurationError(
                f"the container's image could not be had: {reason}",
                mend="push that image, or register a task definition that names one which exists",
            )
        return ConfigurationError(
            f"the task could not be started: {reason}",
            mend="give the task definition what it names, or its execution role the permission; then clear the run",
        )
    return TemporaryError(
        f"the task did not start: {reason}", mend="Airflow tries again; if it lasts, see the ECS console"
    )


def refusal_of(failures: Sequence[Mapping[str, Any]]) -> MnistError:
    """What the `failures` in RunTask's answer mean: it had no place for the task.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
    """
    reasons = ", ".join(sorted({f"{f.get('reason', 'no reason')} {f.get('detail', '')}".strip() for f in failures}))
    return TemporaryError(
        f"ECS had no capacity for the task: {reasons}",
        mend="Airflow tries again, the last time on demand instead of on Spot; if it lasts, look at the quotas",
    )


def explained(error: ClientError | BotoCoreError) -> MnistError:
    """The error of an ECS call as one that says whether another try may help."""
    if isinstance(error, BotoCoreError):
        return TemporaryError(f"ECS did not answer: {error}", mend="check AWS_ENDPOINT_URL and aws_default, or wait")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = error.response.get("Error", {}).get("Code")
    # What throttles ECS itself, when it looks a network up in EC2, comes as an InvalidParameterException.
    if status >= 500 or status == 429 or code in _PASSING or "RequestLimitExceeded" in str(error):
        return TemporaryError(f"ECS could not serve the request now: {error}", mend="Airflow tries again")
    return ConfigurationError(
        f"ECS refused the request: {error}",
        mend="check MNIST_CLUSTER, MNIST_..._TASK_DEFINITION and the role of aws_default (infra/mnist.yaml)",
    )


def cluster_of(arn: str) -> str:
    """The name of a task's cluster.

    >>> cluster_of("arn:aws:ecs:us-east-1:111122223333:task/mnist/0123456789abcdef0123456789abcdef")
    'mnist'
    """
    return arn.split("/")[1]


def is_out_of_reach(error: Exception, arn: str, cluster: str) -> bool:
    """Whether DescribeTasks says that a task is none of this deployment's: a run may outlive a change of that.

    Its cluster is gone, it is another account's or region's (all that is said to DescribeTasks is cluster and ARN, so
    an invalid parameter can be nothing else), or it is in another cluster, which the worker's role may not look into.
    """
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    is_elsewhere = cluster_of(arn) != cluster.rpartition("/")[2]
    return code in _NO_SUCH_PLACE or (code in _DENIED and is_elsewhere)


def conflicting_task(error: Exception) -> str | None:
    """The ARN of the task that has a client token already, if `error` is ECS's refusal to use it for another request.

    That happens when a deployment has changed the task definition or the network between two tries.
    """
    if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") == "ConflictException":
        answer: Mapping[str, Any] = error.response
        return next(iter(answer.get("resourceIds") or ()), None)
    return None
