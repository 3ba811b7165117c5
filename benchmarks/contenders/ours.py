"""This project's loop. Timed: drawing shuffle and dropout with NumPy, all steps, loss and accuracy of the epoch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.training.epochs import EpochRunner
from mnist_tasks.training.examples import Examples
from mnist_tasks.training.network import Adam, Network
from mnist_tasks.training.weights import initial_weights


def run(images: Any, labels: Any, epoch_done: Callable[[float], None]) -> None:
    """What `mnist_tasks.training.loop.train` does, without validation and what is kept of an epoch."""
    examples = Examples(images.reshape(len(images), -1), labels)
    network = Network(initial_weights(MNIST, 0), Adam(0.001), np.flatnonzero(examples.pixels.any(axis=0)))
    run_epoch = EpochRunner(network, examples, batch_size=32)
    for epoch in count(1):
        loss, _accuracy = run_epoch(seed=0, epoch=epoch)
        epoch_done(loss)
