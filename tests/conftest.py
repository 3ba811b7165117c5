"""What all kinds of tests share."""

from __future__ import annotations

import socket

import pytest
from hypothesis import settings

from benchmarks import data
from mnist_tasks.dataset import Dataset, read_npz
from mnist_tasks.definitions.mnist import MNIST

# By default, an example that takes longer than 0.2 s fails its test: on a busy machine that says nothing.
settings.register_profile("patient", settings(deadline=None))
settings.load_profile("patient")


@pytest.fixture(scope="session")
def mnist_file() -> bytes:
    """The real data set as the pipeline stores it; downloaded once for the checkout, checked each time."""
    return data.mnist_file().read_bytes()


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
