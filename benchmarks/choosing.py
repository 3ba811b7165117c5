"""How many S3 calls it takes to choose the best candidate of a run, with few and with many checkpoints in the bucket.

Calls, not seconds: they are what S3 bills, and they are the same on every machine. The other checkpoints' manifests are
whole ones under other names. They are written into the folder that the emulator reads when it starts: 100,000 requests
would take minutes. That it has them is checked by reading the first and the last of them through S3.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3

import localcloud
from localcloud.home import Home
from mnist_tasks import checkpoints
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.config import RunConfig, Settings
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.encryption import Encryption
from mnist_tasks.history import Epoch, History
from mnist_tasks.layout import Layout, candidate_name
from mnist_tasks.plan import make_plan, pick_best
from mnist_tasks.storage import Storage, to_json

CANDIDATES = 2
_NIGHT = datetime(2026, 11, 24, 2, tzinfo=UTC)


def measure(sizes: Sequence[int]) -> dict[str, int]:
    """The calls of `pick_best`, by how many checkpoints the bucket holds; `sizes` ascend."""
    calls: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with _storage(home) as (storage, encryption, layout):
            own = _run(storage, encryption, layout)
        held = len(own)
        for size in sizes:
            others = [_like(own[0], number) for number in range(held, size)]
            _write(home, storage.bucket, layout, others)
            held = size
            with _storage(home) as (storage, encryption, layout):
                for other in (others[0], others[-1]):
                    checkpoints.read(storage, layout, other.name)
                calls[str(size)] = count_calls(storage.client, lambda: pick_best(storage, layout, own[0].run))
            print(f"  choosing among {size:,} checkpoints: {calls[str(size)]} calls", flush=True)
    return calls


def count_calls(client: Any, work: Callable[[], object]) -> int:
    """How many requests `client` sends during `work`, retries included."""
    calls: list[str] = []
    client.meta.events.register("before-send.s3", lambda event_name, **_: calls.append(event_name), "count")
    try:
        work()
    finally:
        client.meta.events.unregister("before-send.s3", unique_id="count")
    return len(calls)


@contextmanager
def _storage(home: Path) -> Iterator[tuple[Storage, Encryption, Layout]]:
    try:
        cloud = localcloud.up(home)
        settings = Settings.from_environment(cloud.environment)
        storage = Storage(boto3.client("s3", **cloud.client_arguments), settings.bucket)
        encryption = Encryption(boto3.client("kms", **cloud.client_arguments), settings.checkpoint_key)
        yield storage, encryption, Layout(MNIST, settings.checkpoints_prefix)
    finally:
        localcloud.down(home)


def _run(storage: Storage, encryption: Encryption, layout: Layout) -> list[Manifest]:
    """A run whose candidates are committed."""
    config = RunConfig.model_validate({"candidates": CANDIDATES})
    plan = make_plan(
        storage, layout, dag_id="benchmark", run_id="choosing", config=config, dataset_sha256="0" * 64, now=_NIGHT
    )
    epoch = Epoch(epoch=1, seconds=1, loss=0.3, accuracy=0.9, validation_loss=0.1, validation_accuracy=0.97)
    history = History.model_validate({"epochs": (epoch,), "seconds": 1, "peak_memory_mb": 600})
    return [
        checkpoints.commit(storage, encryption, layout, job, weights=b"", history=history, parameters=1, now=_NIGHT)
        for job in plan.jobs
    ]


def _like(manifest: Manifest, number: int) -> Manifest:
    """The manifest of another checkpoint: of an earlier night, one a minute."""
    name, layout = candidate_name(_NIGHT - timedelta(minutes=number)), Layout(MNIST)
    job = manifest.job.model_copy(update={"candidate": name, "run": "another-night"})
    weights, metrics = (
        stored.model_copy(update={"key": key})
        for stored, key in ((manifest.weights, layout.weights(name)), (manifest.metrics, layout.metrics(name)))
    )
    return manifest.model_copy(
        update={"name": name, "run": job.run, "job": job, "weights": weights, "metrics": metrics}
    )


def _write(home: Path, bucket: str, layout: Layout, manifests: Iterable[Manifest]) -> None:
    """As the emulator keeps objects: a file named by the key, below the account and the bucket."""
    (folder,) = Home(home).emulator.glob(f"s3/*/{bucket}")
    for manifest in manifests:
        path = folder / layout.manifest(manifest.name)
        path.parent.mkdir(parents=True)
        path.write_bytes(to_json(manifest.model_dump(mode="json")))
