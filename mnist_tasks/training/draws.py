"""What chance decides in training, as functions of (seed, epoch) and of nothing else.

An epoch can therefore be repeated without those before it. Only streams that NumPy has frozen are used
(https://numpy.org/neps/nep-0019-rng-policy.html): those of `RandomState`, and the raw bits of a bit generator.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mnist_tasks.config import derived_seed


def shuffled(images: int, *, seed: int, epoch: int) -> NDArray[np.int32]:
    """The order in which an epoch visits its images: a permutation of `range(images)`."""
    order = np.random.RandomState(derived_seed(seed, "order", epoch)).permutation(images)
    return order.astype(np.int32)


def kept_units(images: int, units: int, rate: float, *, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Which hidden units survive dropout: a mask (images, units), True with probability 1 - `rate`.

    Every unit gets 16 random bits, a quarter of what one number of the generator holds: four times cheaper than a
    float for each, and the probability is still right to 1 in 65,536.
    """
    threshold = round(rate * 2**16)
    numbers = -(-images * units // 4)
    bits = np.random.PCG64(derived_seed(seed, "dropout", epoch)).random_raw(numbers).view(np.uint16)
    mask: NDArray[np.bool_] = bits[: images * units].reshape(images, units) >= threshold
    return mask
