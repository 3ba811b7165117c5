"""The model's weights before and after training, to the bit as Keras makes and stores them, but without Keras.

Keras needs all of TensorFlow (`mnist_tasks.training.kernels`) and 0.2 s to build a model of four layers. The tests hold
both functions to the Keras model of `mnist_tasks.training.model`.
"""

from __future__ import annotations

import io
import math

import h5py
import numpy as np
from numpy.typing import NDArray

from mnist_tasks.classifier import Classifier
from mnist_tasks.config import derived_seed
from mnist_tasks.inference import Weights
from mnist_tasks.training.kernels import stateless_random_uniform

# What Keras makes of a seed before it hands it to TensorFlow, whose kernel takes int32 (keras.src.backend.tensorflow).
_SEEDS = 2**31 - 2


def layer_seed(seed: int, layer: str) -> int:
    """The seed of a layer's kernel. With one for both, the second kernel would repeat the numbers of the first."""
    return derived_seed(seed, layer)


def initial_weights(classifier: Classifier, seed: int) -> Weights:
    """The model before training: Glorot-uniform kernels that follow from `seed` alone, and biases of zero."""
    shapes = classifier.weight_shapes
    return Weights(
        hidden_kernel=_glorot_uniform(shapes["hidden_kernel"], layer_seed(seed, "hidden")),
        hidden_bias=np.zeros(shapes["hidden_bias"], np.float32),
        output_kernel=_glorot_uniform(shapes["output_kernel"], layer_seed(seed, "output")),
        output_bias=np.zeros(shapes["output_bias"], np.float32),
    )


def _glorot_uniform(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Uniform in +-sqrt(6 / (fan in + fan out)): Glorot and Bengio, 2010, equation 16."""
    limit = np.float32(math.sqrt(6 / sum(shape)))
    shares: NDArray[np.float32] = stateless_random_uniform(shape, (seed % _SEEDS, 0)).numpy()
    return shares * (limit + limit) - limit


def weights_file(weights: Weights) -> bytes:
    """The bytes of a `.weights.h5` file: same weights, same bytes.

    `build_model(0).load_weights(path)` reads it, and so does any Keras model of the same layers.
    """
    layers = {
        "dense": (weights.hidden_kernel, weights.hidden_bias),
        "dense_1": (weights.output_kernel, weights.output_bias),
    }
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for layer, arrays in layers.items():
            for number, array in enumerate(arrays):
                file[f"layers/{layer}/vars/{number}"] = array
    return content.getvalue()
