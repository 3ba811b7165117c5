"""The data set in memory, and how its training images are split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_tasks.dataset.pins import ARRAY_SHA256
from mnist_tasks.errors import ConfigurationError, DataError

# Any fixed number would do. A change of it changes which images validate, and ends comparability with earlier runs.
_SPLIT_SEED = 19980101


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images (n, height, width), 0 is background and 255 full ink, with their labels (n,): uint8 arrays in C order.

    All images have one size. What the pixels and labels hold is checked in `mnist_tasks.validation`.

    Raises:
        DataError: an array has another type or shape, or a split has not one label for each image.
    """

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.uint8]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.uint8]

    def __post_init__(self) -> None:
        size = self.x_train.shape[1:] if self.x_train.ndim == 3 else ("height", "width")
        for split in ("train", "test"):
            images, labels = self.arrays()[f"x_{split}"], self.arrays()[f"y_{split}"]
            _check_array(f"x_{split}", images, (len(images), *size))
            _check_array(f"y_{split}", labels, (len(images),))

    def arrays(self) -> Mapping[str, NDArray[np.uint8]]:
        """The four arrays by name, in the order in which they stand in the file."""
        return {"x_train": self.x_train, "y_train": self.y_train, "x_test": self.x_test, "y_test": self.y_test}


def _check_array(name: str, array: NDArray[np.uint8], shape: tuple[int | str, ...]) -> None:
    if array.dtype != np.uint8 or array.shape != shape or not array.flags.c_contiguous:
        order = "C" if array.flags.c_contiguous else "another"
        raise DataError(
            f"{name} is {array.dtype}{array.shape} in {order} order, expected uint8{shape} in C order",
            mend="build the Dataset from uint8 arrays with one label for each image, all images of one size",
        )


def check_content(dataset: Dataset, expected: Mapping[str, str] = ARRAY_SHA256) -> None:
    """Compare the raw bytes of each array with the hash that is pinned for it.

    Raises:
        DataError: an array has other content; the message names the array and both hashes.
    """
    for name, array in dataset.arrays().items():
        actual = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
        if actual != expected[name]:
            raise DataError(
                f"{name} has SHA-256 {actual}, expected {expected[name]}",
                mend="use a source of the original MNIST",
            )


class Split(NamedTuple):
    """Positions in the training arrays, ascending, without overlap; together they are all of them."""

    training: NDArray[np.intp]
    validation: NDArray[np.intp]


def split(dataset: Dataset, validation_images: int) -> Split:
    """Which training images are trained on, and which ones choose the best epoch.

    The last `validation_images` of one fixed permutation validate. It depends on nothing but the number of training
    images: all candidates of a run, and all nights, are measured by the same images, so a higher validation accuracy
    means a better model and not an easier draw. A larger validation set contains every smaller one. The images are
    permuted first because the file keeps those of one writer together: its tail alone is the hand of a few people.

    Raises:
        ConfigurationError: `validation_images` leaves one of the two sides empty.
    """
    images = len(dataset.x_train)
    if not 0 < validation_images < images:
        raise ConfigurationError(
            f"validation_images is {validation_images}, expected 1 to {images - 1} of the {images} training images",
            mend="trigger the run with a number in between",
        )
    # Not `default_rng`: its stream may change between versions of NumPy, and the promotion step, which may run in
    # another image, has to find the same images. RandomState's is frozen for good (NEP 19).
    order = np.random.RandomState(_SPLIT_SEED).permutation(images)
    return Split(np.sort(order[:-validation_images]), np.sort(order[-validation_images:]))
