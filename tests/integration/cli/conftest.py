"""Deployments for the command line: one in which nothing has happened, one after a few nights."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

import localcloud
from mnist_tasks.dataset import Dataset
from mnist_tasks.encryption import Encryption
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.storage import Storage
from tests.deployment import Deployment, decide_nights


@pytest.fixture(scope="session")
def empty(cloud: localcloud.Cloud, encryption: Encryption, aws: Callable[[str], Any]) -> Deployment:
    """Nothing has happened yet."""
    storage = _bucket(aws)
    names = ("AWS_", "MNIST_CHECKPOINT_KEY", "MNIST_FINAL_KEY", "MNIST_SIGNING_KEYS")
    keys = {name: value for name, value in cloud.environment.items() if name.startswith(names)}
    return Deployment(storage, encryption, keys | {"MNIST_BUCKET": storage.bucket})


@pytest.fixture(scope="session")
def nights(
    empty: Deployment,
    aws: Callable[[str], Any],
    chain_of: Callable[[Storage], Chain],
    mnist: Dataset,
    mnist_file: bytes,
) -> Deployment:
    """Released, kept, rejected, released, rolled back; and a run in the middle of its training."""
    storage = _bucket(aws)
    decide_nights(chain_of(storage), empty.encryption, mnist, mnist_file)
    return Deployment(storage, empty.encryption, {**empty.environment, "MNIST_BUCKET": storage.bucket})


def _bucket(aws: Callable[[str], Any]) -> Storage:
    storage = Storage(aws("s3"), f"test-{uuid.uuid4().hex}")
    storage.client.create_bucket(Bucket=storage.bucket)
    return storage
