"""The floor under `ours`: the three kernels that no arrangement can avoid, in its shapes, and nothing else.

They are the product of images and hidden weights, the product of images and slopes that is those weights' gradient,
and Adam on them: 99% of the arithmetic. No shuffle, no dropout, no second layer, no loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mnist_tasks.training.runtime import start_tensorflow

start_tensorflow()

import tensorflow as tf  # noqa: E402


def run(images: Any, labels: Any, epoch_done: Callable[[None], None]) -> None:
    """One function for all steps, as in `ours`; pixels that are 0 in all images are left out, as there."""
    pixels = images.reshape(len(images), -1)
    columns = np.flatnonzero(pixels.any(axis=0))
    # The same batch at each step: reading others is not among the three.
    batch = tf.constant(pixels[:32, columns] / np.float32(255))
    start = np.random.default_rng(0).uniform(-0.08, 0.08, (len(columns), 128)).astype(np.float32)
    weights, first, second = (tf.Variable(array) for array in (start, 0 * start, 0 * start))

    def step(number: Any) -> Any:
        hidden = tf.matmul(batch, weights.read_value())
        # The slopes have the shape of the hidden layer, which stands in for them: it has to be used for something.
        gradient = tf.matmul(batch, hidden, transpose_a=True)
        tf.raw_ops.ResourceApplyAdam(
            var=weights.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=0.9,
            beta2_power=0.999,
            lr=0.001,
            beta1=0.9,
            beta2=0.999,
            epsilon=1e-7,
            grad=gradient,
        )
        return number + 1

    steps = len(labels) // 32
    epoch = tf.function(
        lambda: tf.while_loop(lambda number: number < steps, step, (0,), parallel_iterations=1), autograph=False
    )
    while True:
        epoch()
        epoch_done(None)
