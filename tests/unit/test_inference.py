"""Reading weights without believing the file, and the forward pass against Keras' own."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import DataError, IntegrityError
from mnist_tasks.inference import Weights, predict, read_weights
from tests.candidates import random_weights, to_h5

IMAGES = np.random.default_rng(0).integers(0, 256, (2500, 28, 28), dtype=np.uint8)
HIDDEN = "layers/dense/vars/0"


def edited(edit: Callable[[Any], None]) -> bytes:
    """A good file after `edit` was at it."""
    buffer = io.BytesIO(to_h5(random_weights(1)))
    with h5py.File(buffer, "r+") as file:
        edit(file)
    return buffer.getvalue()


def replaced(value: Any, path: str = HIDDEN, **options: Any) -> bytes:
    def edit(file: Any) -> None:
        del file[path]
        file.create_dataset(path, data=value, **options)

    return edited(edit)


def test_the_forward_pass_equals_keras_with_the_file_that_keras_writes(tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(7)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.layers[1].bias.assign(np.random.default_rng(1).normal(0, 0.1, 128))
    model.save_weights(tmp_path / "model.weights.h5")
    expected = model.predict(IMAGES / np.float32(255), batch_size=500, verbose=0)

    found = predict(read_weights((tmp_path / "model.weights.h5").read_bytes(), MNIST), IMAGES)

    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-6


def test_what_was_written_is_read_back() -> None:
    written = random_weights(1)
    read = read_weights(to_h5(written), MNIST)
    assert all(np.array_equal(getattr(read, name), array) for name, array in vars(written).items())


def test_each_row_is_a_distribution_and_does_not_depend_on_the_batch() -> None:
    weights = random_weights(1)
    found = predict(weights, IMAGES)
    assert found.shape == (2500, 10)
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert predict(weights, IMAGES[1998:2003]) == pytest.approx(found[1998:2003], abs=1e-6)


def test_no_images_give_no_rows() -> None:
    assert predict(random_weights(1), IMAGES[:0]).shape == (0, 10)


@pytest.mark.parametrize("images", [IMAGES.astype(np.float32), IMAGES[0], IMAGES[:, :27]])
def test_other_images_are_refused(images: Any) -> None:
    with pytest.raises(DataError, match=r"expected uint8 \(n, height, width\) of 784 pixels"):
        predict(random_weights(1), images)


def test_weights_that_overflow_are_refused() -> None:
    huge = Weights(*(np.full_like(array, 3e38) for array in vars(random_weights(1)).values()))
    with pytest.raises(IntegrityError, match="overflow"):
        predict(huge, IMAGES[:1])


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x80\x04\x95pickle", b"x" * 100_000])
def test_what_is_no_hdf5_file_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="no readable HDF5 file"):
        read_weights(data, MNIST)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_refused(share: float) -> None:
    data = to_h5(random_weights(1))
    with pytest.raises(IntegrityError):
        read_weights(data[: int(share * len(data))], MNIST)


def test_a_missing_array_is_named() -> None:
    def edit(file: Any) -> None:
        del file["layers/dense_1"]

    with pytest.raises(IntegrityError, match="no array layers/dense_1/vars/0"):
        read_weights(edited(edit), MNIST)


def test_a_group_in_place_of_an_array_is_refused() -> None:
    def edit(file: Any) -> None:
        del file[HIDDEN]
        file.create_group(HIDDEN)

    with pytest.raises(IntegrityError, match="is no array"):
        read_weights(edited(edit), MNIST)


def test_an_array_in_place_of_a_group_is_refused() -> None:
    def edit(file: Any) -> None:
        del file["layers/dense"]
        file["layers/dense"] = np.zeros(3)

    with pytest.raises(IntegrityError, match="no array"):
        read_weights(edited(edit), MNIST)


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((784, 127), np.float32),
        np.zeros((128, 784), np.float32),
        np.zeros((784, 128), np.float64),
        np.zeros((784, 128), np.int32),
        np.zeros((784, 128), ">f4"),
        np.float32(1),
        "text",
    ],
)
def test_another_shape_or_type_is_refused(value: Any) -> None:
    with pytest.raises(IntegrityError, match=r"expected float32\(784, 128\)"):
        read_weights(replaced(value), MNIST)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    kernel = np.zeros((784, 128), np.float32)
    kernel[5, 5] = value
    with pytest.raises(IntegrityError, match="NaN or infinity"):
        read_weights(replaced(kernel), MNIST)


@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"chunks": (28, 128)}])
def test_a_compressed_array_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="compressed"):
        read_weights(replaced(np.zeros((784, 128), np.float32), **options), MNIST)


def test_a_link_to_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.h5").write_bytes(to_h5(random_weights(2)))

    def edit(file: Any) -> None:
        del file[HIDDEN]
        file[HIDDEN] = h5py.ExternalLink(str(tmp_path / "other.h5"), HIDDEN)

    with pytest.raises(IntegrityError, match="link to elsewhere"):
        read_weights(edited(edit), MNIST)


def test_a_link_on_the_way_to_an_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.h5").write_bytes(to_h5(random_weights(2)))

    def edit(file: Any) -> None:
        del file["layers"]
        file["layers"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "layers")

    with pytest.raises(IntegrityError, match="link to elsewhere"):
        read_weights(edited(edit), MNIST)


def test_an_array_whose_bytes_lie_in_another_file_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_bytes(bytes(784 * 128 * 4))

    def edit(file: Any) -> None:
        del file[HIDDEN]
        file.create_dataset(HIDDEN, (784, 128), np.float32, external=[(str(outside), 0, 784 * 128 * 4)])

    with pytest.raises(IntegrityError, match="outside of the file"):
        read_weights(edited(edit), MNIST)


def test_a_virtual_array_is_refused(tmp_path: Path) -> None:
    def edit(file: Any) -> None:
        del file[HIDDEN]
        pieces = h5py.VirtualLayout((784, 128), np.float32)
        pieces[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), HIDDEN, (784, 128))
        file.create_virtual_dataset(HIDDEN, pieces)

    with pytest.raises(IntegrityError, match="outside of the file"):
        read_weights(edited(edit), MNIST)
