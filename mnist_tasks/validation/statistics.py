"""What two data sets are compared by: a few counts for each split. All are exact integers, so equal on any machine."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mnist_tasks.config import Frozen, Sha256
from mnist_tasks.dataset import Dataset

_BINS = 16  # pixel values are counted in sixteenths of 0..255
_GRID = 7  # the image is divided into 7x7 cells, of 4x4 pixels in MNIST

Count = Annotated[int, Field(ge=0)]


class SplitStatistics(Frozen):
    """Of the training or of the test images.

    Attributes:
        images: How many there are.
        class_counts: Images of each class; labels out of range are left out.
        pixel_histogram: Pixels by value: 0..15, 16..31, ... 240..255.
        pixel_mean: Mean pixel value (0..255).
        pixel_std: Standard deviation of the pixel values.
        ink_grid: Sum of the pixel values in each of 7x7 cells, row by row: where on the image the ink is.
    """

    images: Count
    class_counts: Annotated[tuple[Count, ...], Field(min_length=2)]
    pixel_histogram: Annotated[tuple[Count, ...], Field(min_length=_BINS, max_length=_BINS)]
    pixel_mean: Annotated[float, Field(ge=0, le=255)]
    pixel_std: Annotated[float, Field(ge=0, le=255)]
    ink_grid: Annotated[tuple[Count, ...], Field(min_length=_GRID**2, max_length=_GRID**2)]


class Statistics(Frozen):
    """Of a whole data set."""

    train: SplitStatistics
    test: SplitStatistics


class Accepted(Frozen):
    """The last data set that passed, with what the next one is compared with."""

    dataset_sha256: Sha256
    run: str
    statistics: Statistics


def statistics_of(dataset: Dataset, classes: int) -> Statistics:
    """Count both splits of `dataset`, whose labels are to be below `classes`."""
    return Statistics(
        train=_split_statistics(dataset.x_train, dataset.y_train, classes),
        test=_split_statistics(dataset.x_test, dataset.y_test, classes),
    )


def _split_statistics(images: NDArray[np.uint8], labels: NDArray[np.uint8], classes: int) -> SplitStatistics:
    values = np.arange(256)
    counts = _value_counts(images)
    pixels = max(int(counts.sum()), 1)
    mean = int(counts @ values) / pixels
    variance = int(counts @ values**2) / pixels - mean**2
    cells = images.sum(axis=0, dtype=np.int64)
    for axis, length in enumerate(cells.shape):
        cells = np.add.reduceat(cells, np.arange(_GRID) * length // _GRID, axis=axis)
    return SplitStatistics(
        images=len(images),
        class_counts=tuple(np.bincount(labels, minlength=256)[:classes].tolist()),
        pixel_histogram=tuple(counts.reshape(_BINS, -1).sum(axis=1).tolist()),
        pixel_mean=round(mean, 6),
        pixel_std=round(max(variance, 0.0) ** 0.5, 6),
        ink_grid=tuple(cells.ravel().tolist()),
    )


def _value_counts(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each of the 256 pixel values occurs."""
    counts = np.zeros(256, np.int64)
    pixels = images.ravel()
    # In pieces: `bincount` turns its input into 64-bit integers first, 440 MB for the whole of MNIST.
    for start in range(0, len(pixels), 1 << 20):
        counts += np.bincount(pixels[start : start + (1 << 20)], minlength=256)
    return counts
