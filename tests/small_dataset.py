"""A small made-up data set that every check takes for MNIST: bright strokes on black, balanced, no two images equal."""

from __future__ import annotations

import numpy as np

from mnist_tasks.dataset import Dataset
from mnist_tasks.definitions.mnist import MNIST

TRAIN, TEST = 200, 100
SMALL = MNIST.model_copy(update={"training_images": TRAIN, "test_images": TEST})
SHAPES = SMALL.shapes


def small_dataset(seed: int = 0) -> Dataset:
    """200 training and 100 test images; each class is a bar at a height of its own."""
    random = np.random.default_rng(seed)
    labels = (np.arange(TRAIN + TEST) % 10).astype(np.uint8)
    images = np.zeros((TRAIN + TEST, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        top = 4 + 2 * int(label)
        image[top : top + 3, 4:24] = random.integers(100, 256, (3, 20))
        image[top, 4] = 255
    return Dataset(images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:])
