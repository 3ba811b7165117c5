"""The model that the specification fixes, as plain Keras: what our own training is compared with.

Training itself does without Keras. It starts from the same bits (`mnist_tasks.training.weights.initial_weights`), and
this model, or any other of the same layers, loads what it ends in.
"""

from __future__ import annotations

import os
from typing import Any

# Not what the user may have chosen for work of their own.
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras

from mnist_tasks.config import RunConfig, derived_seed
from mnist_tasks.dataset.arrays import IMAGE_SHAPE
from mnist_tasks.inference import CLASSES, HIDDEN
from mnist_tasks.training.network import DROPOUT
from mnist_tasks.training.weights import layer_seed

_LEARNING_RATE: float = RunConfig.model_fields["learning_rate"].default


def build_model(seed: int, *, learning_rate: float = _LEARNING_RATE) -> Any:
    """A compiled, untrained Keras model: (n, 28, 28) pixels in 0..1 give (n, 10) probabilities.

    Kernels are Glorot-uniform and follow from `seed` alone; biases are zero.
    """
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(IMAGE_SHAPE),
            layers.Flatten(name="flatten"),
            layers.Dense(HIDDEN, activation="relu", kernel_initializer=_glorot(seed, "hidden"), name="hidden"),
            layers.Dropout(DROPOUT, seed=derived_seed(seed, "dropout"), name="dropout"),
            layers.Dense(CLASSES, activation="softmax", kernel_initializer=_glorot(seed, "output"), name="output"),
        ],
        name="mnist",
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def _glorot(seed: int, layer: str) -> Any:
    return keras.initializers.GlorotUniform(seed=layer_seed(seed, layer))
