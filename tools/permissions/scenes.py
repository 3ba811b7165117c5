"""What the pipeline and its users do, each in its own role: all of it once, in a one-machine cloud.

Not everything that can go wrong: only what needs a permission that a good night does not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from mnist_tasks.config import Settings, TrainingJob
from mnist_tasks.cost import Prices
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.layout import Layout, run_slug
from mnist_tasks.page import data
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.release import read_champion
from mnist_tasks.signing import TrustedKeys
from mnist_tasks.storage import Storage
from mnist_tasks.work import training
from tools.laptop import ROOT, Laptop
from tools.run import run_dag

TRAINING, ROLLBACK, SWEEP = "mnist_training", "mnist_rollback", "mnist_sweep"
LAYOUT = Layout(MNIST)
_ONE = {"candidates": 1}
_STRIKE_SECONDS = 300.0


@dataclass(frozen=True)
class Stage:
    """A laptop of its own, whose cloud notes every request, and a folder for what Airflow says."""

    laptop: Laptop
    build: Path

    def run(self, dag_id: str, conf: Any = None, *, fails: bool = False, **environment: str) -> str:
        """One DAG run to its end; returns its slug.

        Raises:
            SystemExit: it ended otherwise than foreseen, so that the record would lack what it should have done.
        """
        print(f"{dag_id} {json.dumps(conf or {})}", flush=True)
        status = run_dag(self.laptop, dag_id, json.dumps(conf or {}), self.build, **environment)
        if (status != 0) != fails:
            raise SystemExit(f"error: {dag_id} ended with {status}: see {self.build / 'run.log'}")
        return run_slug(dag_id, json.loads((self.build / "run.json").read_text())["run_id"])

    def storage(self, role: str = "") -> Storage:
        """The bucket, in a role; without one, as the administrator, whose requests count for nothing."""
        return Storage(self.client("s3", role), self.laptop.cloud.environment["MNIST_BUCKET"])

    def client(self, service: str, role: str = "") -> Any:
        """A client in a role, with keys from where the SDK of that role's processes gets them."""
        arguments = dict(self.laptop.cloud.client_arguments)
        if role:
            where = self.laptop.cloud.as_role(role)
            request = urllib.request.Request(where["AWS_CONTAINER_CREDENTIALS_FULL_URI"])  # noqa: S310 - our own
            request.add_header("Authorization", where["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                keys = json.load(answer)
            arguments |= {
                "aws_access_key_id": keys["AccessKeyId"],
                "aws_secret_access_key": keys["SecretAccessKey"],
                "aws_session_token": keys["Token"],
            }
        make: Any = boto3.client  # its type has an overload for each service's name
        return make(service, **arguments)


def play(stage: Stage) -> None:
    """All scenes, in the order in which each needs what the earlier ones have left."""
    first = stage.run(TRAINING, _ONE)
    interrupted(stage)
    rolled_back(stage, _champion(stage))
    stage.run(TRAINING, {"epoch": 3}, fails=True)
    swept(stage, first)
    cleaned_up(stage, first)
    page_read(stage, first)
    key_fetched(stage)
    command_line_used(stage)


def interrupted(stage: Stage) -> None:
    """A second final, from a training that Spot interrupts, so that a second container goes on from its state."""
    with ThreadPoolExecutor(1, thread_name_prefix="striker") as striker:
        struck = striker.submit(_strike, stage)
        stage.run(TRAINING, _ONE)
        struck.result()


def _strike(stage: Stage) -> None:
    ecs, cluster = stage.client("ecs"), stage.laptop.cloud.environment["MNIST_CLUSTER"]
    storage = stage.storage()
    _await(lambda: any("/resume/" in key for key in storage.keys(LAYOUT.runs())), "a resume state")
    for task in ecs.list_tasks(cluster=cluster, family="mnist-trainer", desiredStatus="RUNNING")["taskArns"]:
        url = f"{stage.laptop.cloud.environment['AWS_ENDPOINT_URL']}/_localcloud/spot-interruption"
        body = json.dumps({"task": task}).encode()
        urllib.request.urlopen(url, body, timeout=30).close()  # noqa: S310 - our own


def _await(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _STRIKE_SECONDS
    while not look():
        if time.monotonic() > deadline:
            raise SystemExit(f"error: not within {_STRIKE_SECONDS:.0f} s: {what}")
        time.sleep(0.1)


def rolled_back(stage: Stage, champion: str) -> None:
    """The champion moved to the other final, by hand."""
    names = {key.split("/")[1] for key in stage.storage().keys(LAYOUT.checkpoints) if "_final/" in key}
    other = min(names - {champion})
    stage.run(ROLLBACK, {"to": other, "reason": "to see what it needs"})


def swept(stage: Stage, slug: str) -> None:
    """A task of a run that is over is stopped."""
    ecs, cluster = stage.client("ecs"), stage.laptop.cloud.environment["MNIST_CLUSTER"]
    family = f"left-{uuid.uuid4().hex[:8]}"
    container = {"name": "trainer", "image": "python:3.11-slim", "command": ["sleep", "600"]}
    ecs.register_task_definition(family=family, containerDefinitions=[container], cpu="256", memory="512")
    tags = [{"key": "mnist-run", "value": slug}, {"key": "mnist-job", "value": "left"}]
    ecs.run_task(cluster=cluster, taskDefinition=family, tags=tags)
    stage.run(SWEEP, MNIST_TASK_DEFINITION=family)


def cleaned_up(stage: Stage, slug: str) -> None:
    """A step removes the resume state that its container has left, killed after its commit."""
    administrator = stage.storage()
    job = TrainingJob.checked(administrator.get(LAYOUT.run(slug, "plan.json")).json()["jobs"][0], mend="")
    administrator.put(LAYOUT.resume(job.run, job.candidate), b"left")
    training(stage.storage("worker"), LAYOUT, job).clean_up()


def page_read(stage: Stage, slug: str) -> None:
    """Airflow's API server shows the overview, a run, and what belongs to it."""
    settings = Settings.from_environment(stage.laptop.cloud.environment)
    chain = Chain(
        stage.storage("worker"),
        LAYOUT,
        TrustedKeys.from_file(settings.signing_keys, production=settings.attestation_production),
    )
    place, now = data.Place(chain, Prices.of(settings)), datetime.now(UTC)
    run = data.AirflowRun(TRAINING, slug.removeprefix(f"{TRAINING}-"), "success")
    data.read_overview(place, [run], [], now)
    data.read_run(place, run, now)
    data.read_digits(place, slug)
    data.read_report(place, slug)


def key_fetched(stage: Stage) -> None:
    """A consumer of the model takes the public key from KMS, once, as docs/signing.md says."""
    stage.client("kms", "reader").get_public_key(KeyId=stage.laptop.cloud.environment["MNIST_SIGNING_KEY"])


def command_line_used(stage: Stage) -> None:
    """Each command of `mnist` that needs no Airflow."""
    finals = sorted({key.split("/")[1] for key in stage.storage().keys(LAYOUT.checkpoints) if "_final/" in key})
    report = str(stage.build / "report.html")
    for words in (
        ("runs",),
        ("show", "latest"),
        ("watch", "latest"),
        ("champion",),
        ("history",),
        ("verify", "champion"),
        ("verify", "chain"),
        ("export", finals[0], "--to", str(stage.build / "exported.weights.h5"), "--force"),
        ("compare", finals[0].removesuffix("_final"), finals[1]),
        ("predict", "7"),
        ("report", "latest", "--output", report),
    ):
        print(f"mnist {' '.join(words)}", flush=True)
        environment = stage.laptop.environment(**stage.laptop.cloud.as_role("reader"))
        command = [sys.executable, "-P", "-m", "mnist_tasks.cli", *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"error: mnist {' '.join(words)}:\n{done.stderr}")


def _champion(stage: Stage) -> str:
    champion = read_champion(stage.storage(), LAYOUT)
    if champion is None:
        raise SystemExit("error: no champion after two trainings")
    return champion.name
