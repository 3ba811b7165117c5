"""What chance decides in training, as functions of (seed, epoch) and of nothing else.

An epoch can therefore be repeated without those before it. Only streams that NumPy has frozen are used
(https://numpy.org/neps/nep-0019-rng-policy.html): those of `RandomState`, and the raw bits of a bit generator.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mnist_tasks.config import derived_seed

# How many units of the mask are drawn in one go: a multiple of 4, so that no random bits are left over in between, and
# few enough for the bits to stay in the processor's cache instead of adding 14 MB to the peak of memory.
_AT_ONCE = 1 << 18


def shuffled(images: int, *, seed: int, epoch: int) -> NDArray[np.int32]:
    """The order in which an epoch visits its images: a permutation of `range(images)`."""
    order = np.random.RandomState(derived_seed(seed, "order", epoch)).permutation(images)
    return order.astype(np.int32)


def kept_units(
    images: int, units: int, rate: float, *, seed: int, epoch: int, out: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Which hidden units survive dropout: a mask (images, units), True with probability 1 - `rate`.

    Every unit gets 16 random bits, a quarter of what one number of the generator holds: four times cheaper than a
    float for each, and the probability is still right to 1 in 65,536.

    `out`: where to put the mask, instead of into new memory.
    """
    threshold = round(rate * 2**16)
    generator = np.random.PCG64(derived_seed(seed, "dropout", epoch))
    mask = (np.empty((images, units), np.bool_) if out is None else out).reshape(-1)
    for start in range(0, len(mask), _AT_ONCE):
        part = mask[start : start + _AT_ONCE]
        bits = generator.random_raw(-(-len(part) // 4)).view(np.uint16)
        np.greater_equal(bits[: len(part)], threshold, out=part)
    return mask.reshape(images, units)
