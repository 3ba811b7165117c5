"""The pipeline as its users meet it: the real DAG, the real operator, the one-machine cloud, a real mail server."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3
import pytest

import localcloud
from mnist_tasks.definitions.mnist import MNIST, REBUILT_FILE
from mnist_tasks.layout import Layout, run_slug
from mnist_tasks.storage import Storage
from tests.signatures import decision_in
from tools import services
from tools.laptop import Laptop
from tools.run import run_dag

DAG = "mnist_training"
LAYOUT = Layout(MNIST)


@dataclass(frozen=True)
class Outcome:
    """What one `airflow dags test` left behind."""

    status: int
    dag_id: str
    run_id: str
    state: str
    steps: dict[str, list[str]] = field(default_factory=dict)
    log: str = ""

    @property
    def slug(self) -> str:
        return run_slug(self.dag_id, self.run_id)


@dataclass(frozen=True)
class Pipeline:
    """A home of its own with everything in it."""

    home: Path
    laptop: Laptop

    def run(self, conf: dict[str, Any] | None = None, dag_id: str = DAG, **environment: str) -> Outcome:
        """`airflow dags test`, with the environment changed as given."""
        build = self.home / "build"
        status = run_dag(self.laptop, dag_id, json.dumps(conf or {}), build, **environment)
        outcome = json.loads((build / "run.json").read_text())
        steps: dict[str, list[str]] = {}
        for step in outcome["steps"]:
            steps.setdefault(step["task"], []).append(step["state"])
        log = (build / "run.log").read_text()
        return Outcome(status, dag_id, outcome.get("run_id", ""), outcome["state"], steps, log)

    @property
    def storage(self) -> Storage:
        return Storage(self.client("s3"), self.laptop.cloud.environment["MNIST_BUCKET"])

    def client(self, service: str) -> Any:
        return boto3.client(service, **self.laptop.cloud.client_arguments)

    def all_keys(self) -> set[str]:
        """Every key in the bucket."""
        pages = self.storage.client.get_paginator("list_objects_v2").paginate(Bucket=self.storage.bucket)
        return {entry["Key"] for page in pages for entry in page.get("Contents", [])}

    def mails(self, about: str = "") -> list[EmailMessage]:
        """The mails so far whose Message-ID names this run."""
        parsed = [
            message_from_bytes(path.read_bytes(), policy=policy.default)
            for path in sorted(self.laptop.cloud.maildir.glob("new/*"), key=lambda path: path.stat().st_mtime_ns)
        ]
        return [mail for mail in parsed if isinstance(mail, EmailMessage) and about in str(mail["Message-ID"])]

    def decisions(self) -> list[dict[str, Any]]:
        """The chain of decisions, oldest first."""
        records = sorted(key for key in self.all_keys() if key.startswith("decisions/0"))
        return [decision_in(self.storage.get(key).body) for key in records]


@pytest.fixture(scope="session", autouse=True)
def any_port() -> Iterator[None]:
    """Each Airflow takes a port that is free, none the usual one: its API server binds it only seconds later, and two
    workers of pytest would both find it free.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "PREFERRED_PORT", 0)
        yield


@pytest.fixture(scope="session")
def start_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], AbstractContextManager[Pipeline]]:
    """Makes a fresh home: no object in the bucket, no metadata, no champion."""

    @contextmanager
    def started() -> Iterator[Pipeline]:
        home = tmp_path_factory.mktemp("laptop")
        try:
            laptop = Laptop(home / ".airflow" / "run", localcloud.up(home / ".localcloud"))
            laptop.migrate()
            yield Pipeline(home, laptop)
        finally:
            localcloud.down(home / ".localcloud")

    return started


@pytest.fixture(scope="session")
def pipeline(start_pipeline: Callable[[], AbstractContextManager[Pipeline]]) -> Iterator[Pipeline]:
    """The home that the session's tests share."""
    with start_pipeline() as pipeline:
        yield pipeline


@pytest.fixture(scope="module")
def supplied(start_pipeline: Callable[[], AbstractContextManager[Pipeline]], mnist_file: bytes) -> Iterator[Pipeline]:
    """A home of the module's own, whose bucket has the data set already."""
    with start_pipeline() as pipeline:
        pipeline.storage.put(LAYOUT.dataset(REBUILT_FILE.sha256), mnist_file)
        yield pipeline


@pytest.fixture
def task_definition(pipeline: Pipeline) -> Callable[[str, list[str]], str]:
    """Registers a task definition whose container, named as the trainer's, does something else."""

    def register(image: str, command: list[str]) -> str:
        name = f"test-{uuid.uuid4().hex[:8]}"
        pipeline.client("ecs").register_task_definition(
            family=name,
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[
                {
                    "name": "trainer",
                    "image": image,
                    "command": command,
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": "/mnist/containers",
                            "awslogs-region": "us-east-1",
                            "awslogs-stream-prefix": "trainer",
                        },
                    },
                }
            ],
        )
        return name

    return register
