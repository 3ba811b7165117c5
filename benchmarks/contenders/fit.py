"""Keras `fit` with its defaults. Timed: an epoch inside one call of `fit`, with the loss and accuracy that it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mnist_tasks.training.runtime import start_tensorflow

start_tensorflow()

import keras  # noqa: E402

from mnist_tasks.training.model import build_model  # noqa: E402


def run(images: Any, labels: Any, epoch_done: Callable[[float], None], *, steps_per_execution: int = 1) -> None:
    """The project's Keras model, on pixels that are floats already."""
    model = build_model(0)
    model.compile(model.optimizer, model.loss, metrics=["accuracy"], steps_per_execution=steps_per_execution)
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, logs: epoch_done(logs["loss"]))
    model.fit(images / np.float32(255), labels, batch_size=32, epochs=10**6, verbose=0, callbacks=[clock])
