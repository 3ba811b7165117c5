"""What training is measured by: the same step in plain Keras, and digits that are quick to learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_tasks.training.examples import Examples
from mnist_tasks.training.runtime import start_tensorflow

start_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

Floats = NDArray[np.float32]


def digits(count: int, *, seed: int = 0) -> Examples:
    """Ten blurry patterns under noise, with borders that never light up: learnable, but not perfectly."""
    patterns = np.random.RandomState(42).randint(0, 256, (10, 28, 28))
    patterns[:, :3] = patterns[:, -2:] = patterns[:, :, :2] = 0
    random = np.random.RandomState(seed)
    labels = random.randint(0, 10, count)
    weight = random.uniform(0.1, 0.5, (count, 1, 1))
    noise = random.randint(0, 256, (count, 28, 28)) * (patterns.max(axis=0) > 0)
    images = weight * patterns[labels] + (1 - weight) * noise
    return Examples(images.astype(np.uint8).reshape(count, -1), labels.astype(np.uint8))


def as_keras_wants(examples: Examples) -> Floats:
    """Floats in 0..1, (n, 28, 28)."""
    return (examples.pixels / np.float32(255)).reshape(-1, 28, 28)


class KerasSteps:
    """The reference: a step in plain Keras, with its own layers, loss and optimizer. Only the dropout mask is given."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.model.optimizer.build(model.trainable_variables)
        self.step = tf.function(self._step)

    def _step(self, images: Any, labels: Any, kept: Any) -> Any:
        rate = self.model.get_layer("dropout").rate
        with tf.GradientTape() as tape:
            hidden = self.model.get_layer("hidden")(self.model.get_layer("flatten")(images))
            dropped = tf.where(kept, hidden / (1 - rate), 0.0)
            probabilities = self.model.get_layer("output")(dropped)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, probabilities))
        gradients = tape.gradient(loss, self.model.trainable_variables)
        self.model.optimizer.apply(gradients, self.model.trainable_variables)
        return loss, probabilities

    def state(self) -> list[list[Floats]]:
        """Weights, first and second moments: four arrays each."""
        optimizer = self.model.optimizer
        groups = (self.model.trainable_variables, optimizer._momentums, optimizer._velocities)
        return [[variable.numpy() for variable in group] for group in groups]
