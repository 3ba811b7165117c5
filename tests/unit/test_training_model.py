"""The model that the specification fixes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mnist_tasks import inference
from mnist_tasks.training.model import build_model, weights_file
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


def test_plain_keras_loads_the_weights_file(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "any.weights.h5"
    path.write_bytes(weights_file(model))
    plain = keras.Sequential(
        [
            keras.Input((28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    plain.load_weights(path)
    assert all(np.array_equal(a, b) for a, b in zip(plain.get_weights(), model.get_weights(), strict=True))


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_our_own_model_loads_the_weights_file_after_training_of_its_own(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "any.weights.h5"
    path.write_bytes(weights_file(model))
    trained = build_model(seed=1)
    trained.fit(np.zeros((2, 28, 28), np.float32), np.zeros(2), verbose=0)
    trained.load_weights(path)
    assert all(np.array_equal(a, b) for a, b in zip(trained.get_weights(), model.get_weights(), strict=True))


def test_the_forward_pass_in_numpy_reads_the_weights_file_and_agrees_with_keras(model: Any) -> None:
    images = np.random.RandomState(0).randint(0, 256, (20, 28, 28)).astype(np.uint8)
    ours = inference.predict(inference.read_weights(weights_file(model)), images)
    assert ours == pytest.approx(model.predict(images / np.float32(255), verbose=0), abs=1e-6)


def test_the_same_weights_give_the_same_bytes_whatever_else_the_process_built(model: Any) -> None:
    before = weights_file(model)
    build_model(seed=1)
    assert weights_file(build_model(seed=7)) == before


def test_the_weights_file_holds_the_four_arrays_and_no_optimizer(model: Any) -> None:
    trained = build_model(seed=1)
    trained.fit(np.zeros((2, 28, 28), np.float32), np.zeros(2), verbose=0)
    arrays: list[str] = []
    with h5py.File(io.BytesIO(weights_file(trained))) as file:
        file.visititems(lambda name, item: arrays.append(name) if isinstance(item, h5py.Dataset) else None)
    assert arrays == [f"layers/{layer}/vars/{number}" for layer in ("dense", "dense_1") for number in (0, 1)]
