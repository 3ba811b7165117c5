"""What it costs to tell how training goes and to save where it stands: the same training with both and with neither.

In one process, in turn, so that nothing else differs: once as the container trains, with progress on stdout and in S3
and the resume state in S3 after each epoch, and once with nobody told. Other than in the container, what both need to
start is not counted; it would hide the cost.

    python -m benchmarks.progress ROUNDS    one line of JSON a round; the job is in the environment
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from benchmarks.container import container_environment, local_cloud, plan_jobs
from benchmarks.measure import Usage, environment, pinned

TOLD, QUIET = "told_and_saved", "neither"


def measure(*, rounds: int, epochs: int, logs: Path) -> list[Mapping[str, Usage]]:
    """Usage of both trainings, for each of the rounds."""
    with local_cloud() as cloud, (logs / "progress.log").open("w") as log, pinned():
        _, _, (job,) = plan_jobs(cloud, 1, epochs)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.progress", str(rounds)],
            env=environment(**container_environment(cloud), **job.to_environment()),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=True,
        )
    lines = map(json.loads, done.stdout.splitlines())
    return [{name: Usage(**usage) for name, usage in line.items()} for line in lines]


def main(rounds: int) -> None:
    """Measure in this process; what a container would tell goes to stderr, since figures go to stdout."""
    from mnist_tasks import events

    with redirect_stdout(sys.stderr):
        events.start()
    trainings = _trainings()
    for train in trainings.values():
        train()  # so that neither is the one that warms the process up
    for number in range(rounds):
        order = (TOLD, QUIET) if number % 2 else (QUIET, TOLD)
        print(json.dumps({name: _usage(trainings[name]) for name in order}), flush=True)


def _usage(train: Callable[[], Any]) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    train()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def _trainings() -> Mapping[str, Callable[[], Any]]:
    import boto3

    from mnist_tasks import dataset
    from mnist_tasks.config import TrainingJob
    from mnist_tasks.definitions.mnist import MNIST
    from mnist_tasks.encryption import Encryption
    from mnist_tasks.history import History
    from mnist_tasks.layout import Layout
    from mnist_tasks.storage import Storage
    from mnist_tasks.training.examples import Examples
    from mnist_tasks.training.loop import train
    from mnist_tasks.training.resume import Resume
    from mnist_tasks.training.state import State
    from mnist_tasks.training.telling import Telling
    from mnist_tasks.training.weights import initial_weights

    job = TrainingJob.from_environment(os.environ)
    storage, layout = Storage(boto3.client("s3"), job.bucket), Layout(MNIST, job.checkpoints_prefix)
    encryption = Encryption(boto3.client("kms"), checkpoint_key=os.environ["MNIST_CHECKPOINT_KEY"])
    loaded = dataset.load(storage, layout, job.dataset_sha256)
    split = dataset.split(loaded, job.validation_images)
    training, validation = Examples.of(loaded, split.training), Examples.of(loaded, split.validation)

    def run(**told: Any) -> History:
        _, history = train(
            initial_weights(MNIST, job.seed),
            training,
            validation,
            epochs=job.epochs,
            batch_size=job.batch_size,
            learning_rate=job.learning_rate,
            seed=job.seed,
            **told,
        )
        return history

    def told() -> None:
        resume = Resume(storage, encryption, layout, job)
        telling = Telling(storage, layout, job, images=len(training.labels))

        def on_epoch(state: State) -> None:
            resume.save(state)
            telling.epoch(state.history)

        telling.end(run(on_running=telling.running, on_epoch=on_epoch))

    return {TOLD: told, QUIET: run}


if __name__ == "__main__":
    main(int(sys.argv[1]))
