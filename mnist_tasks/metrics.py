"""Figures of a classifier from its probabilities: pure NumPy, the same wherever they are computed."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from mnist_tasks.config import Frozen
from mnist_tasks.errors import DataError

WORST = 16
BINS = 15  # as in the paper that `expected_calibration_error` names
# Keras clips probabilities here before it takes the logarithm (keras.config.epsilon), so the losses agree.
_EPSILON = 1e-7


class Mistake(Frozen):
    """An image that was read wrongly. `confidence` is the probability of the wrong answer."""

    index: int = Field(ge=0)
    label: int = Field(ge=0)
    predicted: int = Field(ge=0)
    confidence: float = Field(ge=0, le=1)


class Bin(Frozen):
    """The images whose answer had a probability above `low` and up to `high`.

    `confidence` is the mean of those probabilities, `accuracy` the share of those answers that was right: a model that
    knows how sure it may be has both alike.
    """

    low: float = Field(ge=0, lt=1)
    high: float = Field(gt=0, le=1)
    images: int = Field(ge=1)
    confidence: float = Field(ge=0, le=1)
    accuracy: float = Field(ge=0, le=1)


class Evaluation(Frozen):
    """Figures on one set of images.

    `confusion[true][predicted]` counts images. Recall is the share of a class's images that was recognised, precision
    the share of the answers with that class that was right; either is 0 where there is nothing to count. `loss` is the
    mean cross-entropy in nats. `worst` are the most confident mistakes, the most confident one first. `calibration` has
    the bins of confidence that are not empty, in their order; a record of before it was measured has none.
    """

    images: int = Field(ge=1)
    accuracy: float = Field(ge=0, le=1)
    loss: float = Field(ge=0, allow_inf_nan=False)
    confusion: tuple[tuple[int, ...], ...] = Field(min_length=2)
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    worst: tuple[Mistake, ...] = Field(max_length=WORST)
    calibration: tuple[Bin, ...] = Field((), max_length=BINS)

    @model_validator(mode="after")
    def _classes_agree(self) -> Self:
        classes = len(self.confusion)
        lengths = {len(self.recall), len(self.precision), *map(len, self.confusion)}
        labels = [label for mistake in self.worst for label in (mistake.label, mistake.predicted)]
        if lengths != {classes} or max(labels, default=0) >= classes:
            raise ValueError(f"figures of {classes} classes have lengths {sorted(lengths)} and labels {sorted(labels)}")
        return self

    @property
    def recall_intervals(self) -> tuple[tuple[float, float], ...]:
        """By class, the 95% Wilson interval of its recall; all that is possible where it does not occur."""
        found = enumerate(self.confusion)
        return tuple(wilson_interval(row[label], sum(row)) if any(row) else (0.0, 1.0) for label, row in found)

    @property
    def f1(self) -> tuple[float, ...]:
        """By class, the harmonic mean of recall and precision; 0 where both are."""
        pairs = zip(self.recall, self.precision, strict=True)
        return tuple(2 * recall * precision / (recall + precision or 1) for recall, precision in pairs)

    @property
    def expected_calibration_error(self) -> float | None:
        """How far confidence and accuracy lie apart, on average over the images; None where it was not measured.

        C. Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3: the mean of
        |accuracy - confidence| over the bins, each with the weight of its images.
        """
        if not self.calibration:
            return None
        return sum(part.images * abs(part.accuracy - part.confidence) for part in self.calibration) / self.images


def evaluate(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.integer[Any]]) -> Evaluation:
    """Compare what a model said with what is there.

    Args:
        probabilities: (n, classes), each row a distribution; the largest entry is the answer, the first one of equals.
        labels: (n,), integers from 0.

    Raises:
        DataError: the arrays do not fit together, or a value is outside its range.
    """
    _check(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    classes = probabilities.shape[1]
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    right = confusion.diagonal()
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return Evaluation(
        images=len(labels),
        accuracy=int(right.sum()) / len(labels),
        loss=float(-np.log(of_label.clip(_EPSILON, 1 - _EPSILON)).mean()),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        recall=_shares(right, confusion.sum(axis=1)),
        precision=_shares(right, confusion.sum(axis=0)),
        worst=_worst(probabilities, predicted, labels),
        calibration=_calibration(probabilities.max(axis=1), predicted == labels),
    )


def _check(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.integer[Any]]) -> None:
    if len(labels) == 0 or labels.ndim != 1 or probabilities.ndim != 2 or len(probabilities) != len(labels):
        raise DataError(
            f"probabilities {probabilities.shape} and labels {labels.shape} do not fit together, expected "
            "(n, classes) and (n,) with n of at least 1",
            mend="evaluate the probabilities of exactly the images that the labels belong to",
        )
    classes = probabilities.shape[1]
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"labels reach from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}",
            mend="validate the data set first",
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # also refuses NaN
        raise DataError("probabilities outside 0 to 1", mend="check the weights: they do not give a distribution")


def _shares(right: npt.NDArray[np.int64], totals: npt.NDArray[np.int64]) -> tuple[float, ...]:
    return tuple(int(hit) / int(total) if total else 0.0 for hit, total in zip(right, totals, strict=True))


def _worst(
    probabilities: npt.NDArray[np.float32], predicted: npt.NDArray[np.intp], labels: npt.NDArray[np.integer[Any]]
) -> tuple[Mistake, ...]:
    wrong = np.flatnonzero(predicted != labels)
    confidence = probabilities[wrong, predicted[wrong]]
    order = np.argsort(-confidence, kind="stable")[:WORST]
    return tuple(
        Mistake(
            index=int(index),
            label=int(labels[index]),
            predicted=int(predicted[index]),
            confidence=float(probabilities[index, predicted[index]]),
        )
        for index in wrong[order]
    )


def _calibration(confidence: npt.NDArray[np.float32], right: npt.NDArray[np.bool_]) -> tuple[Bin, ...]:
    # In float64, and the upper edge belongs to the bin, as in the paper: else a confidence of 1 would have none.
    sure = confidence.astype(np.float64)
    numbers = np.clip(np.ceil(sure * BINS).astype(int) - 1, 0, BINS - 1)
    return tuple(
        Bin(
            low=number / BINS,
            high=(number + 1) / BINS,
            images=int(inside.sum()),
            confidence=float(sure[inside].mean()),
            accuracy=float(right[inside].mean()),
        )
        for number in range(BINS)
        if (inside := numbers == number).any()
    )


def wilson_interval(successes: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion; unlike the usual plus-minus it stays inside 0 to 1 and works at both ends.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    >>> tuple(round(bound, 4) for bound in wilson_interval(9775, 10_000))
    (0.9744, 0.9802)
    """
    if not 0 <= successes <= total or total == 0:
        raise DataError(f"{successes} successes of {total}", mend="count at least one trial, and successes among them")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
