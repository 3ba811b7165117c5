"""The calendar, and one night: every step of `mnist_training` in its order, from download to mail."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3

import localcloud
from localcloud.home import Home
from localcloud.images import PROMOTER_IMAGE, TRAINER_IMAGE, Image
from tests.soak.usage import Holding, holding
from tests.sweep import container, pipeline, tries
from tests.sweep.faults import Call
from tests.sweep.pipeline import Ending, Run, Step

DAG = "mnist_training"
START = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)

# Passes the gates nearly every night, in a third of the time that the defaults would take.
_ENOUGH = {"candidates": 1, "epochs": 10, "batch_size": 100, "learning_rate": 0.002}
# Learns nothing: the night ends with a rejection and the mail of a failure. As many epochs, so as many calls to train.
_TOO_LITTLE = {**_ENOUGH, "learning_rate": 0.000001}
_WEEK = 7


def conf_of(number: int) -> dict[str, Any]:
    """What night `number` (from 1) is triggered with: once a week a release is likely, once a week a rejection sure."""
    if number % _WEEK == 4:
        return _TOO_LITTLE
    return _ENOUGH | ({"release_rule": "not_worse"} if number % _WEEK == 0 else {})


@dataclass(frozen=True)
class Taken:
    """What a step took. `calls` counts those whose number the clock does not decide, `clocked` the others."""

    seconds: float
    cpu_seconds: float
    calls: Mapping[str, int]
    clocked: Mapping[str, int]


@dataclass(frozen=True)
class Night:
    """What a night came to and took. `interrupted`: it had begun before, when the soak was stopped."""

    number: int
    outcome: str
    interrupted: bool
    steps: Mapping[str, Taken]
    processes: Mapping[str, Holding]
    objects: int
    megabytes: float


@dataclass(frozen=True)
class Place:
    """Where the nights happen: one account, one Airflow home, and this process, which forks every step."""

    folder: Path
    cloud: localcloud.Cloud

    def enter(self, dataset: Path) -> None:
        """Make this process's environment that of Airflow's workers, and import what they import."""
        os.environ.update(pipeline.environment(self.cloud, self.folder / "airflow", dataset))
        os.environ["MNIST_BUCKET"] = self.cloud.environment["MNIST_BUCKET"]
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
        pipeline.dags()

    def night(self, number: int, *, interrupted: bool = False) -> Night:
        """Run one night to its end and take down what it took.

        Raises:
            AssertionError: a step ended otherwise than by success, except for the rejection that was asked for.
        """
        moment = START + timedelta(days=number - 1)
        steps = Steps(self, Run(DAG, f"scheduled__{moment.isoformat()}", conf_of(number), moment), moment)
        outcome = steps.run_all()
        objects, size = self._bucket()
        return Night(number, outcome, interrupted, steps.taken, self._holdings(), objects, size / 1e6)

    def _holdings(self) -> dict[str, Holding]:
        state = Home(self.cloud.home).read_state()
        assert state is not None
        pids = {"runner": os.getpid(), "supervisor": state.supervisor.pid, "emulator": state.emulator.pid}
        return {name: holding(pid) for name, pid in pids.items()}

    def _bucket(self) -> tuple[int, int]:
        client = boto3.client("s3", **self.cloud.client_arguments)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.cloud.environment["MNIST_BUCKET"])
        sizes = [entry["Size"] for page in pages for entry in page.get("Contents", [])]
        return len(sizes), sum(sizes)

    @property
    def containers(self) -> Path:
        """Where containers leave their journals."""
        return containers_of(self.folder)


def containers_of(folder: Path) -> Path:
    """The folder that the containers' image names."""
    return folder / "containers"


def images(folder: Path, weights: Path | None) -> dict[str, Image]:
    """Both containers, their calls counted; with `weights`, those instead of a training from the second night on."""
    known = localcloud.default_images()
    environment = {**known[TRAINER_IMAGE].environment, "SWEEP_FOLDER": str(containers_of(folder))}
    promoter = Image(entrypoint=("python", "-m", "tests.sweep.container", "promotion"), environment=environment)
    training = {**environment, **({"SOAK_WEIGHTS": str(weights)} if weights else {})}
    trainer = Image(entrypoint=("python", "-m", "tests.soak.container"), environment=training)
    return known | {TRAINER_IMAGE: trainer, PROMOTER_IMAGE: promoter}


class Steps:
    """The steps of one night."""

    def __init__(self, place: Place, run: Run, moment: datetime) -> None:
        self._place, self._run, self._moment = place, run, moment
        self.taken: dict[str, Taken] = {}

    def run_all(self) -> str:
        """From download to mail; returns what the night came to."""
        sha256 = self._succeed("download")
        self._succeed("validate", sha256)
        for number, request in enumerate(self._succeed("plan", sha256)):
            self._succeed("train", mapped=request, name=f"train {number}")
        self._succeed("pick_best")
        promoted = self._try("promote")
        if promoted.state == "failed":
            assert "GateFailed" in promoted.error, promoted
            failed = {"task_id": "promote", "map_index": -1, "state": "failed", "failure": promoted.cause}
            self._succeed("email_failure", ended=(failed,))
            return "rejected"
        assert promoted.state == "success", promoted
        self._succeed("report")
        self._succeed("email_report")
        return str(promoted.value["outcome"])

    def _succeed(self, task_id: str, *arguments: Any, **more: Any) -> Any:
        ending = self._try(task_id, *arguments, **more)
        assert ending.state == "success", (task_id, ending)
        return ending.value

    def _try(
        self,
        task_id: str,
        *arguments: Any,
        mapped: Mapping[str, Any] | None = None,
        ended: tuple[Mapping[str, Any], ...] = (),
        name: str = "",
    ) -> Ending:
        """The step until Airflow would not try again, with what it and its container took."""
        container.leave(self._place.containers, None)
        step = Step(self._run, task_id, arguments, mapped, ended)
        with tempfile.TemporaryDirectory(dir=self._place.folder) as folder:
            started, before = time.monotonic(), _children_cpu()
            result = tries.run(step, self._moment, Path(folder), containers=self._place.containers)
            seconds, cpu = time.monotonic() - started, _children_cpu() - before
        calls = [*result.calls, *(call for j in container.journals(self._place.containers) for call in j.calls())]
        assert result.tries == 1, (task_id, result)
        self.taken[name or task_id] = Taken(seconds, cpu, *_counted(calls))
        return result.ending


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _counted(calls: Iterable[Call]) -> tuple[dict[str, int], dict[str, int]]:
    """S3 calls by operation: those that depend on the work alone, and those that are made as long as it lasts."""
    constant: Counter[str] = Counter()
    clocked: Counter[str] = Counter()
    for call in calls:
        if call.operation.startswith("s3."):
            # Written about once a second while a candidate trains, and read at every look at its task.
            (clocked if "/progress/" in call.about else constant)[call.operation] += 1
    return dict(constant), dict(clocked)
