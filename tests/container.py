"""The training container as ECS starts it: a process, its environment, and the keys that it leaves in the bucket."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from mnist_tasks import checkpoints
from mnist_tasks.config import TrainingJob
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.encryption import Encryption
from mnist_tasks.history import Epoch, History
from mnist_tasks.layout import Layout
from mnist_tasks.storage import Storage

ROOT = Path(__file__).resolve().parents[1]
LAYOUT = Layout(MNIST)


def job_for(bucket: str, **changes: object) -> TrainingJob:
    values = {
        "bucket": bucket,
        "checkpoints_prefix": "checkpoints",
        "run": "a-run-1",
        "candidate": "mnist_model_20261124_020005",
        "dataset_sha256": "0" * 64,
        "seed": 7,
        "epochs": 1,
        "batch_size": 32,
        "learning_rate": 0.001,
        "validation_images": 6000,
    }
    return TrainingJob.model_validate(values | changes)


def commit_anything(storage: Storage, encryption: Encryption, job: TrainingJob) -> None:
    epoch = Epoch(epoch=1, seconds=1, loss=0.5, accuracy=0.9, validation_loss=0.4, validation_accuracy=0.92)
    history = History(epochs=(epoch,), seconds=1, peak_memory_mb=1)
    checkpoints.commit(
        storage,
        encryption,
        LAYOUT,
        job,
        weights=b"committed before",
        history=history,
        parameters=1,
        now=datetime.now(UTC),
    )


def start(environment: Mapping[str, str], *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *options, "-m", "mnist_tasks.training"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(environment: Mapping[str, str], *options: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    with start(environment, *options) as process:
        out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def keys(storage: Storage, prefix: str = "checkpoints/") -> set[str]:
    listed = storage.client.list_objects_v2(Bucket=storage.bucket, Prefix=prefix)
    return {entry["Key"] for entry in listed.get("Contents", [])}


def wait_for(process: subprocess.Popen[str], *words: str) -> str:
    """The first line of its output that has all these words; an error if the process ends before."""
    assert process.stdout is not None
    for line in process.stdout:
        if all(word in line for word in words):
            return line
    raise AssertionError(f"ended without {words}: {process.communicate()}")
