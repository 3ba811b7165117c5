"""What a model has to show: to be promoted (absolute gates), and to replace the champion (comparison). Pure functions.

Both tests of the comparison look only at the images on which exactly one of the two models is right: on all others the
models agree, so those say nothing about which one is better.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mnist_tasks.classifier import Classifier, Thresholds
from mnist_tasks.config import Frozen
from mnist_tasks.errors import DataError
from mnist_tasks.metrics import Evaluation

Rule = Literal["better", "not_worse"]


class Gate(Frozen):
    """One condition: the value that came, the threshold, and the verdict as a sentence."""

    name: str
    value: float
    threshold: float
    passed: bool
    sentence: str


class Comparison(Frozen):
    """Challenger against champion on the same images. `sentence` begins with the verdict in words, up to its colon.

    `verdict` is true if the rule lets the challenger replace the champion. `margin` belongs to `not_worse` only.
    """

    rule: Rule
    images: int = Field(ge=1)
    challenger_only_right: int = Field(ge=0)
    champion_only_right: int = Field(ge=0)
    p_value: float = Field(ge=0, le=1)
    alpha: float = Field(gt=0, lt=1)
    margin: float | None = None
    verdict: bool
    sentence: str


def absolute_gates(
    evaluation: Evaluation, classifier: Classifier, *, trained: float, recomputed: float
) -> tuple[Gate, ...]:
    """The conditions for a `_final`.

    Args:
        evaluation: Recomputed on the test images.
        classifier: Its thresholds are what each value is held against.
        trained: Validation accuracy that the manifest states.
        recomputed: Validation accuracy of the stored weights: if it differs, these are not the weights that were
            trained, or not the images.
    """
    thresholds, noun = classifier.thresholds, classifier.noun
    return (
        _at_least("accuracy", "test accuracy", evaluation.accuracy, thresholds.accuracy),
        *(
            _at_least(f"recall {name}", f"test recall of {noun} {name}", recall, thresholds.recall)
            for name, recall in zip(classifier.classes, evaluation.recall, strict=True)
        ),
        _reload_gate(trained, recomputed, thresholds.reload),
    )


def _at_least(name: str, what: str, value: float, threshold: float) -> Gate:
    passed = value >= threshold
    sentence = f"{what} {value:.2%} {'reaches' if passed else 'is below'} {threshold:.2%}"
    return Gate(name=name, value=value, threshold=threshold, passed=passed, sentence=sentence)


def _reload_gate(trained: float, recomputed: float, threshold: float) -> Gate:
    difference = round(abs(trained - recomputed), 9)  # so that exactly one image of a thousand is exactly 0.001
    passed = difference <= threshold
    sentence = (
        f"validation accuracy of the stored weights is {recomputed:.2%}, "
        f"{'as' if passed else 'but'} training had stated {trained:.2%}"
    )
    return Gate(name="reload", value=difference, threshold=threshold, passed=passed, sentence=sentence)


def compare(
    challenger_right: npt.NDArray[np.bool_],
    champion_right: npt.NDArray[np.bool_],
    *,
    rule: Rule,
    thresholds: Thresholds,
) -> Comparison:
    """Hold a challenger against the champion.

    Args:
        challenger_right: (n,), whether it read each image rightly.
        champion_right: The same for the champion, for the same images in the same order.
        rule: `better`: the exact McNemar test says that it is; `not_worse`: Tango's test says that it is at most the
            margin worse.
        thresholds: `alpha` and `margin`.

    Raises:
        DataError: the two are not about the same number of images.
    """
    if challenger_right.shape != champion_right.shape or challenger_right.size == 0:
        raise DataError(
            f"right answers have shapes {challenger_right.shape} and {champion_right.shape}, expected the same images",
            mend="let both models predict the same test images",
        )
    images = int(challenger_right.size)
    ahead = int((challenger_right & ~champion_right).sum())
    behind = int((champion_right & ~challenger_right).sum())
    if rule == "better":
        margin, p_value = None, mcnemar_p_value(ahead, behind)
    else:
        margin, p_value = thresholds.margin, not_worse_p_value(ahead, behind, images, thresholds.margin)
    return Comparison(
        rule=rule,
        images=images,
        challenger_only_right=ahead,
        champion_only_right=behind,
        p_value=p_value,
        alpha=thresholds.alpha,
        margin=margin,
        verdict=p_value <= thresholds.alpha,
        sentence=_sentence(rule, ahead, behind, p_value, thresholds),
    )


def mcnemar_p_value(ahead: int, behind: int) -> float:
    """One-sided exact McNemar test: how likely so good a result is for a challenger that is no better.

    If the two are equally good, each image that only one of them reads rightly is a toss of a coin; this is the chance
    of at least `ahead` heads in `ahead + behind` tosses. Q. McNemar, Psychometrika 12 (1947); for classifiers:
    T. Dietterich, Neural Computation 10 (1998).

    >>> mcnemar_p_value(8, 2)  # (45 + 10 + 1) / 1024
    0.0546875
    """
    tosses = ahead + behind
    return sum(math.comb(tosses, heads) for heads in range(ahead, tosses + 1)) / (1 << tosses)


def not_worse_p_value(ahead: int, behind: int, images: int, margin: float) -> float:
    """How likely so good a result is for a challenger whose accuracy is lower by `margin` (or more).

    The score test for paired proportions of T. Tango, "Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design", Statistics in Medicine 17 (1998). With a margin of 0 it would be
    McNemar's asymptotic test. Unlike the usual normal approximation it stays usable where the models hardly differ.
    """
    # The share of images that only the champion reads rightly, estimated under the hypothesis: the root of a quadratic.
    a, b, c = 2 * images, -ahead - behind - (2 * images - ahead + behind) * margin, behind * margin * (1 + margin)
    share = (math.sqrt(b * b - 4 * a * c) - b) / (2 * a)
    deviation = math.sqrt(images * (2 * share - margin * (1 + margin)))
    z = (ahead - behind + images * margin) / deviation
    return 0.5 * math.erfc(z / math.sqrt(2))


def _sentence(rule: Rule, ahead: int, behind: int, p_value: float, thresholds: Thresholds) -> str:
    verdict = p_value <= thresholds.alpha
    counts = (
        f"of the images that only one of them reads rightly, {ahead} go to the challenger, {behind} to the champion"
    )
    figures = f"p = {p_value:.2g}, alpha {thresholds.alpha:g}"
    if rule == "not_worse":
        word = "not worse" if verdict else "too close to tell"
        return f"{word}: {counts} (Tango's test, margin {100 * thresholds.margin:g} percentage points, {figures})"
    surely_worse = mcnemar_p_value(behind, ahead) <= thresholds.alpha
    word = "better" if verdict else "worse" if surely_worse else "too close to tell"
    return f"{word}: {counts} (exact McNemar test, {figures})"
