"""The model that the specification fixes, as plain Keras: what training starts from and ends in."""

from __future__ import annotations

import io
from typing import Any

import h5py
import keras

from mnist_tasks.config import RunConfig, derived_seed
from mnist_tasks.dataset.arrays import IMAGE_SHAPE

HIDDEN_UNITS = 128
CLASSES = 10
DROPOUT = 0.2
PARAMETERS = 101_770  # (784 + 1) * 128 + (128 + 1) * 10

_LEARNING_RATE: float = RunConfig.model_fields["learning_rate"].default


def build_model(seed: int, *, learning_rate: float = _LEARNING_RATE) -> Any:
    """A compiled, untrained Keras model: (n, 28, 28) pixels in 0..1 give (n, 10) probabilities.

    Kernels are Glorot-uniform and follow from `seed` alone; biases are zero. Names are explicit, so that they, and
    with them the bytes of the weights' file, do not depend on how many models the process built before.
    """
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(IMAGE_SHAPE),
            layers.Flatten(name="flatten"),
            layers.Dense(HIDDEN_UNITS, activation="relu", kernel_initializer=_glorot(seed, "hidden"), name="hidden"),
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
    # A seed for each layer: with one for both, the second kernel would repeat the numbers of the first.
    return keras.initializers.GlorotUniform(seed=derived_seed(seed, layer))


def weights_file(model: Any) -> bytes:
    """The bytes of a `.weights.h5` file with the model's four arrays and nothing else: same weights, same bytes.

    `build_model(0).load_weights(path)` reads it, and so does any Keras model of the same layers.
    """
    content = io.BytesIO()  # Keras itself saves to a disk, which may be full at the end of a training
    dense = [layer for layer in model.layers if layer.weights]
    with h5py.File(content, "w") as file:
        for name, layer in zip(("dense", "dense_1"), dense, strict=True):
            for number, array in enumerate(layer.get_weights()):
                file[f"layers/{name}/vars/{number}"] = array
    return content.getvalue()
