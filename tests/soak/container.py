"""The training container with its calls counted: `python -m tests.soak.container`.

`SWEEP_FOLDER` is where it leaves its journal. With `SOAK_WEIGHTS`, a file's name, only the first container trains: its
weights are kept there, and those that follow commit them, a little changed. For trying out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import boto3
import numpy as np

from mnist_tasks import checkpoints
from mnist_tasks.config import TrainingJob
from mnist_tasks.dataset import load, split
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.encryption import Encryption
from mnist_tasks.inference import Weights, predict, read_weights
from mnist_tasks.layout import Layout
from mnist_tasks.metrics import evaluate
from mnist_tasks.storage import Storage
from tests.candidates import PARAMETERS, history, to_h5
from tests.sweep.faults import Journal, Wire

_TEACHES = 1e-4  # a learning rate above it


def main(environment: Mapping[str, str]) -> int:
    """Count, and train."""
    folder = Path(environment["SWEEP_FOLDER"])
    Wire(Journal(folder / f"calls-{os.getpid()}.jsonl"), None).install()
    weights = Path(environment["SOAK_WEIGHTS"]) if "SOAK_WEIGHTS" in environment else None
    if weights and weights.exists():
        _commit_changed(weights, environment)
        return 0
    from mnist_tasks.training import __main__ as training

    code = training.main(environment)
    if weights and code == 0:
        storage, encryption, layout, job = _job(environment)
        manifest = checkpoints.read(storage, layout, job.candidate)
        weights.write_bytes(checkpoints.load_weights(storage, encryption, manifest))
    return code


def _job(environment: Mapping[str, str]) -> tuple[Storage, Encryption, Layout, TrainingJob]:
    job = TrainingJob.from_environment(environment)
    encryption = Encryption(boto3.client("kms"), checkpoint_key=environment["MNIST_CHECKPOINT_KEY"])
    return Storage(boto3.client("s3"), job.bucket), encryption, Layout(MNIST, job.checkpoints_prefix), job


def _commit_changed(weights: Path, environment: Mapping[str, str]) -> None:
    """Commit a checkpoint with true figures: these weights with a noise that the job's seed draws."""
    storage, encryption, layout, job = _job(environment)
    base, random = read_weights(weights.read_bytes(), MNIST), np.random.default_rng(job.seed)
    arrays = (base.hidden_kernel, base.hidden_bias, base.output_kernel, base.output_bias)
    # A night that is to be rejected asks for a learning rate that teaches nothing: see `nights.conf_of`.
    noise = 0.003 if job.learning_rate > _TEACHES else 0.3
    changed = Weights(*(array + random.normal(0, noise, array.shape).astype(np.float32) for array in arrays))
    dataset = load(storage, layout, job.dataset_sha256)
    chosen = split(dataset, job.validation_images).validation
    figures = evaluate(predict(changed, dataset.x_train[chosen]), dataset.y_train[chosen])
    checkpoints.commit(
        storage,
        encryption,
        layout,
        job,
        weights=to_h5(changed),
        history=history(figures.accuracy, figures.loss),
        parameters=PARAMETERS,
        now=datetime.now(UTC),
    )


if __name__ == "__main__":
    sys.exit(main(os.environ))
