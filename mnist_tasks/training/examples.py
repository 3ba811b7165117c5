"""What training is given: images with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mnist_tasks.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Examples:
    """Images as bytes (n, 784) and their labels (n,)."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    @classmethod
    def of(cls, dataset: Dataset, positions: NDArray[np.intp]) -> Self:
        """A copy of those *training* images that stand at `positions`. The test images cannot be had from here."""
        images = dataset.x_train.reshape(len(dataset.x_train), -1)
        return cls(images[positions], dataset.y_train[positions])
