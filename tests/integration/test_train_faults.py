"""The real trainer under the real operator, with what befalls it on Fargate: no disk, no capacity, a Spot interruption,
a worker that freezes.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import localcloud
from mnist_tasks import checkpoints
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.config import TrainingJob
from mnist_tasks.storage import Storage, sha256_of
from tests.container import LAYOUT, ROOT, job_for
from tests.ecs_tasks import control, follows, poll, process_state
from tests.tries import Try

# Not a byte can be written to any file; what would have to be is lost with an error, as on a full disk.
NO_DISK = """
import resource, runpy, signal
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
runpy.run_module("mnist_tasks.training", run_name="__main__")
"""


@dataclass(frozen=True)
class Training:
    """The step `train` of one candidate."""

    job: TrainingJob
    storage: Storage
    ecs: Any
    cloud: localcloud.Cloud
    folder: Path

    def attempt(self, number: int = 1, *, definition: str = "") -> Try:
        environment = self.cloud.environment
        request = {
            "cluster": environment["MNIST_CLUSTER"],
            "task_definition": definition or environment["MNIST_TASK_DEFINITION"],
            "container_name": "trainer",
            "awslogs_group": environment["MNIST_LOG_GROUP"],
            "awslogs_stream_prefix": "trainer",
            "job": self.job.model_dump(mode="json"),
        }
        return Try("ours", request, self.folder, number=number)

    def tasks(self) -> list[dict[str, Any]]:
        """Every ECS task of this step, oldest first."""
        cluster = self.cloud.environment["MNIST_CLUSTER"]
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in self.ecs.list_tasks(cluster=cluster, startedBy=self.job.run, desiredStatus=status)["taskArns"]
        ]
        found = self.ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
        return sorted(found, key=lambda task: task["createdAt"])

    def await_epoch(self) -> None:
        """Return when there is an epoch to go on from."""
        poll(lambda: self.storage.exists(LAYOUT.resume(self.job.run, self.job.candidate)), seconds=180)

    @property
    def manifest(self) -> Manifest:
        return checkpoints.read(self.storage, LAYOUT, self.job.candidate)


@pytest.fixture
def new_training(
    workers: None, cloud: localcloud.Cloud, aws: Callable[[str], Any], mnist_file: bytes, tmp_path: Path
) -> Iterator[Callable[..., Training]]:
    """Makes steps that train the same job, but for the candidate's name."""
    storage = Storage(aws("s3"), cloud.environment["MNIST_BUCKET"])
    sha256 = sha256_of(mnist_file)
    storage.put(LAYOUT.dataset(sha256), mnist_file)
    made: list[Training] = []

    def make(epochs: int = 10) -> Training:
        number = uuid.uuid4().int % 10**6
        names = {"run": f"run-{uuid.uuid4().hex[:8]}", "candidate": f"mnist_model_20260102_{number:06}"}
        job = job_for(storage.bucket, dataset_sha256=sha256, epochs=epochs, **names)
        (folder := tmp_path / names["run"]).mkdir()
        made.append(Training(job, storage, aws("ecs"), cloud, folder))
        return made[-1]

    yield make
    for training in made:
        assert {task["lastStatus"] for task in training.tasks()} == {"STOPPED"}


def test_training_needs_no_disk(new_training: Callable[..., Training]) -> None:
    training = new_training()
    known = training.ecs.describe_task_definition(taskDefinition=training.cloud.environment["MNIST_TASK_DEFINITION"])
    (container,) = known["taskDefinition"]["containerDefinitions"]
    variables = {"PYTHONPATH": str(ROOT), "HOME": "/nowhere", "TMPDIR": "/nowhere"}
    changes = {
        "image": "python:3.11-slim",
        "command": ["python", "-c", NO_DISK],
        "environment": container["environment"] + [{"name": name, "value": v} for name, v in variables.items()],
    }
    training.ecs.register_task_definition(
        family="no-disk",
        networkMode="awsvpc",
        taskRoleArn=known["taskDefinition"]["taskRoleArn"],
        containerDefinitions=[container | changes],
    )

    assert training.attempt(definition="no-disk").run() == {"error": None, "message": ""}
    assert len(training.tasks()) == 1


def test_spot_interrupts_then_has_no_capacity_and_the_last_try_ends_in_the_same_bits_on_demand(
    new_training: Callable[..., Training], cloud: localcloud.Cloud
) -> None:
    # Enough epochs for the interruption to come before the last one.
    undisturbed, training = new_training(epochs=20), new_training(epochs=20)
    assert undisturbed.attempt().run()["error"] is None

    process = training.attempt().start()
    training.await_epoch()
    control(cloud, "spot-interruption", task=training.tasks()[0]["taskArn"])
    process.join(300)
    first = training.attempt().outcome()
    assert first["error"] == "TemporaryError"
    assert "Fargate Spot took its capacity back" in first["message"]

    control(cloud, "capacity", failures=1)
    second = training.attempt(2).run()
    assert second["error"] == "TemporaryError"
    assert "Capacity is unavailable" in second["message"]

    assert training.attempt(3).run()["error"] is None
    assert [(task["capacityProviderName"], task["stopCode"]) for task in training.tasks()] == [
        ("FARGATE_SPOT", "SpotInterruption"),
        ("FARGATE", "EssentialContainerExited"),
    ]
    assert training.tasks()[0]["containers"][0]["exitCode"] == 143
    assert training.manifest.weights.plaintext_sha256 == undisturbed.manifest.weights.plaintext_sha256
    assert len(training.manifest.resumed_after) == 1
    assert undisturbed.manifest.resumed_after == ()


def test_a_worker_that_froze_and_comes_back_costs_its_successor_a_try_and_the_training_nothing(
    new_training: Callable[..., Training],
) -> None:
    """Airflow ends the old worker as it would if a person had killed the step, so it stops the task."""
    training = new_training(epochs=25)  # enough for the successor to start
    old = training.attempt(1)
    process = old.start()
    training.await_epoch()
    os.kill(process.pid or 0, signal.SIGSTOP)
    poll(lambda: process_state(process.pid or 0) == "T")  # from now on it tells nothing
    old.state.delete("progress")
    successor = training.attempt(2).start()
    poll(lambda: old.state.get("progress"))  # the successor has found the task: it tells how far it is

    process.terminate()
    os.kill(process.pid or 0, signal.SIGCONT)
    process.join(300)
    successor.join(300)

    assert training.attempt(2).outcome()["error"] == "TemporaryError"
    assert training.attempt(3).run()["error"] is None
    first, *others = training.tasks()
    assert len(others) == 1
    assert follows(others[0], first)
    assert training.manifest.resumed_after != ()
