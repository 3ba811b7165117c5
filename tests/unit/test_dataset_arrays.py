"""The data set in memory, its pinned content, and the split of the training images."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from mnist_tasks.dataset import Dataset, check_content, split
from mnist_tasks.errors import ConfigurationError, DataError
from tests.small_dataset import TRAIN, small_dataset


def images(count: int, **changes: Any) -> Any:
    return np.zeros((count, 28, 28), changes.get("dtype", np.uint8), changes.get("order", "C"))


def labels(count: int, dtype: Any = np.uint8) -> Any:
    return np.zeros(count, dtype)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((images(3, dtype=np.float32), labels(3), images(2), labels(2)), r"x_train is float32\(3, 28, 28\)"),
        ((images(3), labels(3), images(2), labels(2, np.int64)), r"y_test is int64\(2,\)"),
        ((images(3), labels(4), images(2), labels(2)), r"y_train is uint8\(4,\) .*expected uint8\(3,\)"),
        ((images(3), labels(3), images(2)[:, :27], labels(2)), r"x_test is uint8\(2, 27, 28\)"),
        ((images(3, order="F"), labels(3), images(2), labels(2)), "x_train .* in another order"),
    ],
)
def test_a_data_set_of_other_types_or_shapes_cannot_be_made(arrays: tuple[Any, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Dataset(*arrays)


def test_content_that_is_not_the_pinned_one_is_named_with_both_hashes() -> None:
    dataset = small_dataset()
    expected = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in dataset.arrays().items()}
    check_content(dataset, expected)
    changed = Dataset(dataset.x_train, dataset.y_train[::-1].copy(), dataset.x_test, dataset.y_test)
    with pytest.raises(DataError, match=f"y_train has SHA-256 [0-9a-f]{{64}}, expected {expected['y_train']}"):
        check_content(changed, expected)


def test_the_two_sides_of_the_split_share_nothing_and_miss_nothing() -> None:
    parts = split(small_dataset(), 60)
    assert len(parts.training) == TRAIN - 60
    assert len(parts.validation) == 60
    assert sorted([*parts.training, *parts.validation]) == list(range(TRAIN))


def test_the_split_is_the_same_on_every_machine_and_for_any_content() -> None:
    assert split(small_dataset(), 5).validation.tolist() == split(small_dataset(seed=1), 5).validation.tolist()
    # As computed once; another list here means that the promotion step checks other images than were trained with.
    assert split(small_dataset(), 5).validation.tolist() == [21, 35, 38, 78, 185]


def test_a_larger_validation_set_contains_every_smaller_one() -> None:
    assert set(split(small_dataset(), 20).validation) < set(split(small_dataset(), 50).validation)


@pytest.mark.parametrize("validation_images", [-1, 0, TRAIN, TRAIN + 1])
def test_a_split_that_leaves_one_side_empty_is_refused(validation_images: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"validation_images is {validation_images}, expected 1 to 199"):
        split(small_dataset(), validation_images)
