"""Weights before and after training: Keras's own bits, without Keras."""

from __future__ import annotations

import io
from dataclasses import astuple
from pathlib import Path

import h5py
import numpy as np
import pytest

from mnist_tasks import inference
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.inference import Weights
from mnist_tasks.training.model import build_model
from mnist_tasks.training.weights import initial_weights, weights_file
from tests.keras_reference import keras


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Four arrays without a zero in them."""
    random = np.random.RandomState(0)
    return Weights(
        *(random.normal(size=array.shape).astype(np.float32) for array in astuple(initial_weights(MNIST, 0)))
    )


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1])
def test_training_starts_from_the_bits_that_keras_would_start_from(seed: int) -> None:
    ours, keras_own = astuple(initial_weights(MNIST, seed)), build_model(seed).get_weights()
    assert all(
        one.dtype == np.float32 and np.array_equal(one, other) for one, other in zip(ours, keras_own, strict=True)
    )


def test_the_parameters_are_those_that_keras_counts(weights: Weights) -> None:
    assert (
        initial_weights(MNIST, 0).parameters
        == build_model(0).count_params()
        == sum(array.size for array in astuple(weights))
        == 101_770
    )


def test_plain_keras_loads_the_weights_file(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "any.weights.h5"
    path.write_bytes(weights_file(weights))
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
    assert all(np.array_equal(a, b) for a, b in zip(plain.get_weights(), astuple(weights), strict=True))


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_our_own_model_loads_the_weights_file_after_training_of_its_own(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "any.weights.h5"
    path.write_bytes(weights_file(weights))
    trained = build_model(seed=1)
    trained.fit(np.zeros((2, 28, 28), np.float32), np.zeros(2), verbose=0)
    trained.load_weights(path)
    assert all(np.array_equal(a, b) for a, b in zip(trained.get_weights(), astuple(weights), strict=True))


def test_the_file_has_the_arrays_where_keras_puts_them_and_nothing_else(weights: Weights, tmp_path: Path) -> None:
    build_model(0).save_weights(tmp_path / "kerass.weights.h5")
    with h5py.File(tmp_path / "kerass.weights.h5") as file:
        # With an optimizer's two variables: its step's number and its learning rate.
        expected = [name for name in arrays_in(file) if not name.startswith("optimizer/")]
    with h5py.File(io.BytesIO(weights_file(weights))) as file:
        assert arrays_in(file) == expected
        assert expected == [f"layers/{layer}/vars/{number}" for layer in ("dense", "dense_1") for number in (0, 1)]


def arrays_in(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def test_the_forward_pass_in_numpy_reads_the_weights_file_and_agrees_with_keras(weights: Weights) -> None:
    images = np.random.RandomState(0).randint(0, 256, (20, 28, 28)).astype(np.uint8)
    start = initial_weights(MNIST, 7)
    ours = inference.predict(inference.read_weights(weights_file(start), MNIST), images)
    assert ours == pytest.approx(build_model(7).predict(images / np.float32(255), verbose=0), abs=1e-6)
    back = inference.read_weights(weights_file(weights), MNIST)
    assert all(np.array_equal(a, b) for a, b in zip(astuple(back), astuple(weights), strict=True))


def test_the_same_weights_give_the_same_bytes(weights: Weights) -> None:
    assert weights_file(weights) == weights_file(Weights(*(array.copy() for array in astuple(weights))))
