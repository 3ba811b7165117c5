"""What training is given: images with their labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from mnist_tasks.dataset import Dataset

FULL_INK = 255
# Bytes; what TensorFlow gives its own tensors, and its kernels count on.
_ALIGNMENT = 64
_AT_ONCE = 1000  # images; of MNIST 0.8 MB


def aligned(shape: tuple[int, ...], kind: npt.DTypeLike) -> NDArray[Any]:
    """An uninitialised array whose memory a tensor can share (`mnist_tasks.training.network.shared`)."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    block = np.empty(size + _ALIGNMENT, np.uint8)
    start = -block.ctypes.data % _ALIGNMENT
    return block[start : start + size].view(kind).reshape(shape)


@dataclass(frozen=True, eq=False)
class Examples:
    """Images and their labels (n,).

    `pixels` are whole images as bytes, (n, pixels); or, where `columns` says so, only those of their pixels, ascending,
    and a last one of full ink that a bias can be multiplied with: (n, columns + 1).
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    columns: NDArray[np.intp] | None = None

    @classmethod
    def of(cls, dataset: Dataset, positions: NDArray[np.intp]) -> Self:
        """Those *training* images that stand at `positions`, packed. The test images cannot be had from here.

        The columns are those that light up in any training image: the same ones whatever the positions.
        """
        images = dataset.x_train.reshape(len(dataset.x_train), -1)
        columns = lit_columns(images)
        return cls(_packed(images, positions, columns), dataset.y_train[positions], columns)

    def packed(self, columns: NDArray[np.intp]) -> Self:
        """The same examples with these columns only; all others have to be 0 in every image."""
        if self.columns is not None:
            return self
        everything = np.arange(len(self.labels))
        return type(self)(_packed(self.pixels, everything, columns), self.labels, columns)


def lit_columns(*images: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Which columns of (n, pixels) are not 0 in all the images, ascending."""
    return np.flatnonzero(np.any([part.any(axis=0) for part in images], axis=0))


def _packed(images: NDArray[np.uint8], positions: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.uint8]:
    packed = aligned((len(positions), len(columns) + 1), np.uint8)
    # Neighbouring columns together, of some images at a time: four times faster than each column by its number.
    runs = np.split(np.arange(len(columns)), np.flatnonzero(np.diff(columns) != 1) + 1) if len(columns) else []
    for start in range(0, len(positions), _AT_ONCE):
        rows, into = images[positions[start : start + _AT_ONCE]], packed[start : start + _AT_ONCE]
        for run in runs:
            into[:, run[0] : run[-1] + 1] = rows[:, columns[run[0]] : columns[run[-1]] + 1]
    packed[:, -1] = FULL_INK
    return packed
