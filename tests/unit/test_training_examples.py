"""Images as training holds them: only what lights up, once in memory."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.training.draws import kept_units
from mnist_tasks.training.examples import FULL_INK, Examples, aligned, lit_columns
from mnist_tasks.training.kernels import shared
from mnist_tasks.training.network import Adam, Network
from mnist_tasks.training.weights import initial_weights
from tests.keras_reference import digits
from tests.small_dataset import small_dataset


def test_packed_examples_are_the_lit_pixels_of_the_chosen_training_images_and_a_column_of_ink() -> None:
    dataset, positions = small_dataset(), np.array([3, 5, 199])
    images = dataset.x_train.reshape(-1, 784)
    examples = Examples.of(dataset, positions)
    assert examples.columns is not None
    assert np.array_equal(examples.columns, np.flatnonzero(images.any(axis=0)))
    assert np.array_equal(examples.pixels[:, :-1], images[positions][:, examples.columns])
    assert (examples.pixels[:, -1] == FULL_INK).all()
    assert np.array_equal(examples.labels, dataset.y_train[positions])


def test_columns_in_any_pattern_are_packed_from_any_number_of_images() -> None:
    """More images than are packed in one go; single columns, neighbours, both edges, and none at all."""
    pixels = np.random.RandomState(0).randint(0, 256, (2500, 784)).astype(np.uint8)
    for lit in ([0, 1, 2, 9, 400, 401, 783], [5], []):
        columns = np.array(lit, np.intp)
        packed = Examples(pixels, np.zeros(2500, np.uint8)).packed(columns).pixels
        assert np.array_equal(packed[:, :-1], pixels[:, columns])
        assert (packed[:, -1] == FULL_INK).all()


def test_all_parts_of_a_data_set_have_the_same_columns() -> None:
    one, other = (Examples.of(small_dataset(), np.array(positions)) for positions in ([0], [1, 2]))
    assert np.array_equal(one.columns, other.columns)


def test_a_column_counts_as_lit_if_any_of_the_images_lights_it() -> None:
    first, second = np.zeros((2, 784), np.uint8), np.zeros((1, 784), np.uint8)
    first[1, 700] = second[0, 3] = 1
    assert lit_columns(first, second).tolist() == [3, 700]


def test_the_network_sees_the_same_pixels_packed_or_not() -> None:
    examples = digits(20)
    columns = lit_columns(examples.pixels)
    network = Network(initial_weights(MNIST, 3), Adam(0.001), columns)
    assert np.array_equal(network.pixels(examples).numpy(), network.pixels(examples.packed(columns)).numpy())


@pytest.mark.parametrize("size", [1, 63, 64, 100_001])
def test_a_shared_tensor_is_the_array_itself_and_outlives_its_name(size: int) -> None:
    array = aligned((size,), np.uint8)
    array[:] = 1
    tensor = shared(array)
    array[0] = 7
    assert array.ctypes.data % 64 == 0
    assert int(tensor[0]) == 7
    del array
    gc.collect()
    assert int(tensor[0]) == 7


def test_a_mask_drawn_into_a_block_is_the_same_mask() -> None:
    """Larger than what is drawn in one go."""
    block = aligned((5000, 128), np.bool_)
    assert np.array_equal(
        kept_units(5000, 128, 0.2, seed=1, epoch=2, out=block), kept_units(5000, 128, 0.2, seed=1, epoch=2)
    )
    assert block.mean() == pytest.approx(0.8, abs=0.005)
