"""The model that the specification fixes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mnist_tasks.training.model import build_model
from tests.keras_reference import keras


@pytest.fixture(scope="module")
def model() -> Any:
    return build_model(seed=7)


def test_it_has_101770_parameters_all_of_them_trained(model: Any) -> None:
    assert model.count_params() == 101_770
    assert sum(int(np.prod(weights.shape)) for weights in model.trainable_weights) == 101_770


def test_its_layers_are_the_specified_ones(model: Any) -> None:
    assert model.input_shape == (None, 28, 28)
    assert model.output_shape == (None, 10)
    assert [type(layer).__name__ for layer in model.layers] == ["Flatten", "Dense", "Dropout", "Dense"]
    _, hidden, dropout, output = model.layers
    assert (hidden.units, hidden.activation.__name__) == (128, "relu")
    assert dropout.rate == 0.2
    assert (output.units, output.activation.__name__) == (10, "softmax")


def test_it_is_compiled_with_adam_cross_entropy_and_accuracy() -> None:
    model = build_model(seed=7, learning_rate=0.003)
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.003)
    assert model.loss == "sparse_categorical_crossentropy"
    figures = model.evaluate(np.zeros((2, 28, 28), np.float32), np.zeros(2), verbose=0, return_dict=True)
    assert set(figures) == {"loss", "accuracy"}


@pytest.mark.parametrize(("layer", "fan_in", "fan_out"), [("hidden", 784, 128), ("output", 128, 10)])
def test_its_kernels_are_glorot_uniform(model: Any, layer: str, fan_in: int, fan_out: int) -> None:
    """Uniform in +-sqrt(6 / (fan in + fan out)): Glorot and Bengio, 2010, equation 16."""
    kernel, _ = model.get_layer(layer).get_weights()
    limit = np.sqrt(6 / (fan_in + fan_out))
    assert kernel.shape == (fan_in, fan_out)
    assert 0.99 * limit < np.abs(kernel).max() <= np.float32(limit)
    assert kernel.mean() == pytest.approx(0, abs=0.05 * limit)
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)


def test_its_biases_are_zero(model: Any) -> None:
    assert not model.get_layer("hidden").get_weights()[1].any()
    assert not model.get_layer("output").get_weights()[1].any()


def test_the_seed_alone_decides_the_kernels() -> None:
    first, again, other = build_model(7).get_weights(), build_model(7).get_weights(), build_model(8).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[2], other[2])


def test_the_two_kernels_do_not_repeat_each_other(model: Any) -> None:
    hidden, _, output, _ = model.get_weights()
    # On a common scale: the same stream would give the same numbers.
    start = hidden.ravel()[: output.size] / np.abs(hidden).max()
    assert abs(np.corrcoef(start, output.ravel())[0, 1]) < 0.1
