"""The whole training container against TensorFlow's tutorial, each from its start to its end.

Ours is what ECS starts, `python -m mnist_tasks.training`, with the environment that it has there, against the
one-machine cloud: it loads the data set from S3, trains 10 epochs on 54,000 images, validates each of them on 6,000 and
commits its checkpoint. The tutorial (`tutorial.py`) loads a local file, trains 10 epochs on 60,000 images, evaluates
once on 10,000 and saves its weights to a local file; made to do as ours does (a tenth of the images validates, the best
weights are kept) it takes about as long. The CPU time of S3 itself is on neither side.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import boto3

import localcloud
from benchmarks.data import mnist_file
from benchmarks.measure import Usage, run_to_end
from localcloud.images import TRAINER_IMAGE
from mnist_tasks import checkpoints
from mnist_tasks.config import RunConfig, Settings, TrainingJob
from mnist_tasks.definitions.mnist import MNIST, REBUILT_FILE
from mnist_tasks.layout import Layout
from mnist_tasks.plan import make_plan
from mnist_tasks.storage import Storage

CONTAINER, TUTORIAL, TUTORIAL_ALL_CPUS = "container", "tutorial", "tutorial_all_cpus"
LABELS: Mapping[str, str] = {
    CONTAINER: "this project's container",
    TUTORIAL: "TensorFlow's tutorial, one CPU",
    TUTORIAL_ALL_CPUS: "TensorFlow's tutorial, all CPUs",
}


def measure(*, rounds: int, epochs: int, logs: Path) -> list[Mapping[str, Usage]]:
    """Usage of container and tutorial for each round; in the first one also of the tutorial with all of its threads."""
    data = mnist_file()
    with local_cloud() as cloud:
        storage, layout, jobs = plan_jobs(cloud, rounds, epochs)
        return [
            _round(number, rounds, cloud=cloud, storage=storage, layout=layout, job=job, data=data, logs=logs)
            for number, job in enumerate(jobs, start=1)
        ]


def _round(
    number: int,
    rounds: int,
    *,
    cloud: localcloud.Cloud,
    storage: Storage,
    layout: Layout,
    job: TrainingJob,
    data: Path,
    logs: Path,
) -> Mapping[str, Usage]:
    usage = {
        CONTAINER: run_to_end(
            [sys.executable, "-m", "mnist_tasks.training"],
            logs / "container.log",
            one_cpu=True,
            **container_environment(cloud),
            **job.to_environment(),
        ),
        TUTORIAL: tutorial(data, logs, one_cpu=True),
    }
    checkpoints.read(storage, layout, job.candidate)  # raises if it was not committed
    if number == 1:
        usage[TUTORIAL_ALL_CPUS] = tutorial(data, logs, one_cpu=False)
    figures = ", ".join(f"{name} {used.cpu:.1f} ({used.wall:.1f})" for name, used in usage.items())
    print(f"  containers, round {number}/{rounds}: {figures}", flush=True)
    return usage


def tutorial(data: Path, logs: Path, *, one_cpu: bool) -> Usage:
    """TensorFlow's tutorial, from its start to its end."""
    script = Path(__file__).with_name("tutorial.py")
    command = [sys.executable, str(script), str(data), str(logs / "tutorial.weights.h5")]
    return run_to_end(command, logs / "tutorial.log", one_cpu=one_cpu)


@contextmanager
def local_cloud() -> Iterator[localcloud.Cloud]:
    """A cloud of its own, gone afterwards."""
    with tempfile.TemporaryDirectory() as home:
        try:
            yield localcloud.up(home)
        finally:
            localcloud.down(home)


def container_environment(cloud: localcloud.Cloud) -> Mapping[str, str]:
    """What a container has there, without its job."""
    names = ("AWS_", "MNIST_CHECKPOINT_KEY")
    known = {name: value for name, value in cloud.environment.items() if name.startswith(names)}
    return {**localcloud.default_images()[TRAINER_IMAGE].environment, **known}


def plan_jobs(cloud: localcloud.Cloud, rounds: int, epochs: int) -> tuple[Storage, Layout, tuple[TrainingJob, ...]]:
    """A candidate for each round, as a run of the pipeline plans them; the data set is in the bucket."""
    settings = Settings.from_environment(cloud.environment)
    client = boto3.client("s3", **cloud.client_arguments)
    storage, layout = Storage(client, settings.bucket), Layout(MNIST, settings.checkpoints_prefix)
    storage.put(layout.dataset(REBUILT_FILE.sha256), mnist_file().read_bytes())
    plan = make_plan(
        storage,
        layout,
        dag_id="benchmark",
        run_id="benchmark",
        config=RunConfig.model_validate({"candidates": rounds, "epochs": epochs, "seed": 0}),
        dataset_sha256=REBUILT_FILE.sha256,
        now=datetime.now(UTC),
    )
    return storage, layout, plan.jobs
