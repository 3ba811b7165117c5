"""A classifier's model as plain Keras, MNIST's as the specification fixes it: what our own training is compared with.

Training itself does without Keras. It starts from the same bits (`mnist_tasks.training.weights.initial_weights`), and
this model, or any other of the same layers, loads what it ends in.
"""

from __future__ import annotations

import os
from typing import Any

# Not what the user may have chosen for work of their own.
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras

from mnist_tasks.classifier import Classifier
from mnist_tasks.config import derived_seed
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.training.network import DROPOUT
from mnist_tasks.training.weights import layer_seed


def build_model(
    seed: int, *, learning_rate: float = MNIST.training.learning_rate, classifier: Classifier = MNIST
) -> Any:
    """A compiled, untrained Keras model: (n, height, width) pixels in 0..1 give (n, classes) probabilities.

    Kernels are Glorot-uniform and follow from `seed` alone; biases are zero.
    """
    layers, hidden, classes = keras.layers, classifier.hidden_units, len(classifier.classes)
    model = keras.Sequential(
        [
            keras.Input(classifier.image_shape),
            layers.Flatten(name="flatten"),
            layers.Dense(hidden, activation="relu", kernel_initializer=_glorot(seed, "hidden"), name="hidden"),
            layers.Dropout(DROPOUT, seed=derived_seed(seed, "dropout"), name="dropout"),
            layers.Dense(classes, activation="softmax", kernel_initializer=_glorot(seed, "output"), name="output"),
        ],
        name=classifier.name,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def _glorot(seed: int, layer: str) -> Any:
    return keras.initializers.GlorotUniform(seed=layer_seed(seed, layer))
