"""The figures of an evaluation, by hand-counted examples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mnist_tasks.errors import DataError
from mnist_tasks.metrics import Evaluation, evaluate, wilson_interval
from mnist_tasks.storage import to_json


def answers(*predicted: int, confidence: float = 0.91) -> np.ndarray:
    """A row for each answer: `confidence` for it, the rest shared by the other nine."""
    rows = np.full((len(predicted), 10), (1 - confidence) / 9, np.float32)
    rows[np.arange(len(predicted)), predicted] = confidence
    return rows


def test_accuracy_and_confusion_count_images() -> None:
    found = evaluate(answers(3, 3, 5, 0), np.array([3, 3, 3, 0], np.uint8))
    assert (found.images, found.accuracy) == (4, 0.75)
    assert found.confusion[3][3] == 2
    assert found.confusion[3][5] == 1
    assert sum(map(sum, found.confusion)) == 4


def test_recall_is_by_true_digit_and_precision_by_answer() -> None:
    found = evaluate(answers(3, 3, 5, 5), np.array([3, 3, 3, 5]))
    assert found.recall[3] == pytest.approx(2 / 3)
    assert found.precision[3] == 1
    assert found.recall[5] == 1
    assert found.precision[5] == 0.5


def test_a_digit_that_never_occurs_has_recall_and_precision_of_zero() -> None:
    found = evaluate(answers(1), np.array([1]))
    assert found.recall[7] == found.precision[7] == 0


def test_loss_is_the_mean_cross_entropy_in_nats() -> None:
    found = evaluate(answers(1, 1, confidence=0.91), np.array([1, 2]))
    assert found.loss == pytest.approx(-(math.log(0.91) + math.log(0.01)) / 2, rel=1e-5)


def test_a_certain_mistake_costs_a_large_but_finite_loss() -> None:
    assert evaluate(answers(1, confidence=1.0), np.array([2])).loss == pytest.approx(-math.log(1e-7), rel=1e-5)


def test_the_most_confident_mistakes_come_first_and_there_are_at_most_sixteen() -> None:
    rows = np.concatenate([answers(1, confidence=0.5 + i / 100) for i in range(20)])
    worst = evaluate(rows, np.full(20, 2)).worst
    assert [mistake.index for mistake in worst] == list(range(19, 3, -1))
    assert (worst[0].label, worst[0].predicted) == (2, 1)
    assert worst[0].confidence == pytest.approx(0.69)


def test_equally_confident_mistakes_are_listed_in_the_order_of_the_images() -> None:
    worst = evaluate(answers(*[1] * 30), np.full(30, 2)).worst
    assert [mistake.index for mistake in worst] == list(range(16))


def test_an_evaluation_survives_json() -> None:
    found = evaluate(answers(3, 4), np.array([3, 5]))
    assert Evaluation.model_validate_json(to_json(found.model_dump(mode="json"))) == found


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        (answers(1, 2), np.array([1])),
        (answers(1), np.array([[1]])),
        (np.empty((0, 10), np.float32), np.empty(0, np.uint8)),
        (np.ones((1, 1), np.float32), np.array([1])),
        (np.ones(10, np.float32), np.arange(10)),
        (answers(1), np.array([10])),
        (answers(1), np.array([-1])),
        (np.full((1, 10), np.nan, np.float32), np.array([1])),
        (np.full((1, 10), 1.5, np.float32), np.array([1])),
    ],
)
def test_what_does_not_fit_together_is_refused(rows: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(DataError):
        evaluate(rows, labels)


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [
        # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998),
        # Table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_those_of_the_literature(successes: int, total: int, low: float, high: float) -> None:
    assert wilson_interval(successes, total) == pytest.approx((low, high), abs=5e-5)


def test_a_wilson_interval_never_leaves_zero_to_one() -> None:
    assert wilson_interval(0, 1)[0] == 0
    assert wilson_interval(1, 1)[1] == 1


def test_a_higher_confidence_gives_a_wider_interval() -> None:
    narrow, wide = wilson_interval(50, 100), wilson_interval(50, 100, confidence=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize(("successes", "total"), [(1, 0), (0, 0), (-1, 5), (6, 5)])
def test_an_impossible_count_is_refused(successes: int, total: int) -> None:
    with pytest.raises(DataError):
        wilson_interval(successes, total)


def test_answers_are_binned_by_their_confidence_and_each_bin_counts_what_was_right() -> None:
    rows = np.concatenate([answers(1, 1, confidence=0.95), answers(1, confidence=0.5)])
    low, high = evaluate(rows, np.array([1, 2, 1])).calibration

    assert (low.images, low.accuracy, low.confidence) == (1, 1, pytest.approx(0.5))
    assert (high.images, high.accuracy, high.confidence) == (2, 0.5, pytest.approx(0.95))
    assert (high.low, high.high) == (14 / 15, 1)


def test_the_calibration_error_is_the_mean_difference_weighted_by_images() -> None:
    rows = np.concatenate([answers(1, 1, confidence=0.95), answers(1, confidence=0.5)])
    found = evaluate(rows, np.array([1, 2, 1]))

    assert found.expected_calibration_error == pytest.approx((2 * abs(0.5 - 0.95) + 1 * abs(1 - 0.5)) / 3)


def test_a_bin_has_its_upper_edge_and_certainty_has_a_bin() -> None:
    edge = np.zeros((1, 10))
    edge[0, :2] = 9 / 15, 6 / 15
    (found,) = evaluate(edge, np.array([0])).calibration
    (certain,) = evaluate(answers(3, confidence=1.0), np.array([3])).calibration

    assert (found.low, found.high) == (8 / 15, 9 / 15)
    assert certain.high == 1


def test_a_record_of_before_calibration_was_measured_is_read_and_claims_none() -> None:
    old = evaluate(answers(3), np.array([3])).model_dump(mode="json", exclude={"calibration"})

    assert Evaluation.model_validate_json(to_json(old)).expected_calibration_error is None


def test_f1_is_the_harmonic_mean_and_zero_where_there_is_nothing() -> None:
    found = evaluate(answers(3, 3, 5, 5), np.array([3, 3, 3, 5]))

    assert found.f1[3] == pytest.approx(2 * (2 / 3) / (5 / 3))
    assert found.f1[7] == 0
