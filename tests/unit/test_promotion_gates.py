"""Good enough, and better: each rule at its edge."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import DataError
from mnist_tasks.metrics import Evaluation
from mnist_tasks.promotion import gates as gates_module
from mnist_tasks.promotion.gates import (
    Gate,
    absolute_gates,
    mcnemar_p_value,
    not_worse_p_value,
)
from tests.lenient import with_thresholds

compare = partial(gates_module.compare, thresholds=MNIST.thresholds)


def evaluation(accuracy: float = 0.98, **recall: float) -> Evaluation:
    """Figures with this accuracy; `d3=0.9` sets the recall of digit 3."""
    recalls = [recall.get(f"d{digit}", 0.97) for digit in range(10)]
    return Evaluation(
        images=10_000,
        accuracy=accuracy,
        loss=0.1,
        confusion=((0,) * 10,) * 10,
        recall=tuple(recalls),
        precision=(0.97,) * 10,
        worst=(),
    )


def gates(found: Evaluation, *, trained: float = 0.979, recomputed: float = 0.979) -> dict[str, Gate]:
    return {gate.name: gate for gate in absolute_gates(found, MNIST, trained=trained, recomputed=recomputed)}


def right(*, both: int, challenger: int, champion: int, neither: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Right answers of challenger and champion, by who is right."""
    kinds = (
        [(True, True)] * both + [(True, False)] * challenger + [(False, True)] * champion + [(False, False)] * neither
    )
    return np.array([a for a, _ in kinds]), np.array([b for _, b in kinds])


def test_there_is_a_gate_for_accuracy_one_for_each_digit_and_one_for_the_stored_weights() -> None:
    assert list(gates(evaluation())) == ["accuracy", *(f"recall {digit}" for digit in range(10)), "reload"]
    assert all(gate.passed for gate in gates(evaluation()).values())


@pytest.mark.parametrize(("right_of_10_000", "passed"), [(9749, False), (9750, True), (9751, True)])
def test_accuracy_passes_from_the_threshold_on(right_of_10_000: int, passed: bool) -> None:
    assert gates(evaluation(right_of_10_000 / 10_000))["accuracy"].passed is passed


@pytest.mark.parametrize(("recall", "passed"), [(0.92999, False), (0.93, True)])
def test_each_digit_has_a_floor(recall: float, passed: bool) -> None:
    found = gates(evaluation(d8=recall))
    assert found["recall 8"].passed is passed
    assert all(gate.passed for name, gate in found.items() if name != "recall 8")


@pytest.mark.parametrize(
    ("recomputed", "passed"), [(0.979, True), (0.978, True), (0.980, True), (0.9779, False), (0.1, False)]
)
def test_stored_weights_have_to_show_what_training_stated(recomputed: float, passed: bool) -> None:
    assert gates(evaluation(), trained=0.979, recomputed=recomputed)["reload"].passed is passed


def test_a_gate_says_what_came_and_what_was_expected() -> None:
    found = gates(evaluation(0.9712, d5=0.9), recomputed=0.5)
    assert found["accuracy"].sentence == "test accuracy 97.12% is below 97.50%"
    assert found["recall 5"].sentence == "test recall of digit 5 90.00% is below 93.00%"
    assert found["reload"].sentence == (
        "validation accuracy of the stored weights is 50.00%, but training had stated 97.90%"
    )


def test_thresholds_are_the_specification_and_can_be_set() -> None:
    assert MNIST.thresholds.accuracy == 0.975
    assert (MNIST.thresholds.alpha, MNIST.thresholds.margin) == (0.01, 0.005)
    lenient = absolute_gates(evaluation(0.5), with_thresholds(accuracy=0.5), trained=0.9, recomputed=0.9)
    assert lenient[0].passed


@pytest.mark.parametrize(
    ("ahead", "behind", "p_value"),
    [
        # Binomial tails by hand: P(at least `ahead` heads in so many tosses).
        (8, 2, (45 + 10 + 1) / 2**10),
        (5, 0, 1 / 2**5),
        (0, 5, 1),
        (1, 1, 3 / 4),
        (0, 0, 1),
        # M. W. Fagerland, S. Lydersen, P. Laake, BMC Medical Research Methodology 13:91 (2013), Table 1 (airway
        # hyper-responsiveness before and after transplantation, 7 against 1): exact conditional p = 0.0703, two-sided.
        (7, 1, 0.0703125 / 2),
    ],
)
def test_mcnemar_p_values_are_binomial_tails(ahead: int, behind: int, p_value: float) -> None:
    assert mcnemar_p_value(ahead, behind) == p_value


def test_mcnemar_works_where_floats_would_overflow() -> None:
    assert mcnemar_p_value(2000, 2000) == pytest.approx(0.5, abs=0.01)
    assert 0 <= mcnemar_p_value(4000, 0) < 1e-300


@pytest.mark.parametrize(
    ("challenger", "champion", "verdict"), [(7, 0, True), (6, 0, False), (20, 6, True), (19, 7, False)]
)
def test_better_means_that_chance_explains_it_in_one_case_of_a_hundred_at_most(
    challenger: int, champion: int, verdict: bool
) -> None:
    found = compare(*right(both=9000, challenger=challenger, champion=champion), rule="better")
    assert found.verdict is verdict
    assert (found.p_value <= 0.01) is verdict
    assert (found.challenger_only_right, found.champion_only_right) == (challenger, champion)


def test_a_p_value_of_exactly_alpha_is_enough() -> None:
    lenient = with_thresholds(alpha=1 / 32).thresholds
    assert gates_module.compare(*right(both=9, challenger=5, champion=0), rule="better", thresholds=lenient).verdict


def test_images_on_which_both_agree_say_nothing() -> None:
    few = compare(*right(both=10, challenger=9, champion=1), rule="better")
    many = compare(*right(both=9000, challenger=9, champion=1, neither=990), rule="better")
    assert few.p_value == many.p_value


@pytest.mark.parametrize(
    ("challenger", "champion", "words"), [(30, 5, "better"), (5, 30, "worse"), (9, 8, "too close to tell")]
)
def test_the_sentence_begins_with_the_verdict(challenger: int, champion: int, words: str) -> None:
    found = compare(*right(both=9000, challenger=challenger, champion=champion), rule="better")
    assert found.sentence.partition(":")[0] == words
    assert f"{challenger} go to the challenger, {champion} to the champion" in found.sentence


def test_two_models_that_always_agree_are_too_close_to_tell_and_not_worse() -> None:
    same = right(both=9800, challenger=0, champion=0, neither=200)
    assert not compare(*same, rule="better").verdict
    assert compare(*same, rule="not_worse").verdict


@pytest.mark.parametrize(
    ("challenger", "champion", "verdict"),
    [(80, 80, True), (75, 90, True), (70, 100, False), (0, 60, False), (60, 0, True), (0, 3, True)],
)
def test_not_worse_means_within_the_margin_of_fifty_images_in_ten_thousand(
    challenger: int, champion: int, verdict: bool
) -> None:
    agreed = 10_000 - challenger - champion
    found = compare(*right(both=agreed, challenger=challenger, champion=champion), rule="not_worse")
    assert found.verdict is verdict
    assert found.margin == 0.005
    assert found.sentence.startswith("not worse:" if verdict else "too close to tell:")


def test_without_a_margin_the_test_for_not_worse_is_mcnemars_asymptotic_one() -> None:
    """As the paper says of its own test: z = (b - c) / sqrt(b + c)."""
    expected = 0.5 * math.erfc((30 - 18) / math.sqrt(30 + 18) / math.sqrt(2))
    assert not_worse_p_value(30, 18, 1000, 0.0) == pytest.approx(expected)


def test_without_a_difference_the_test_for_not_worse_has_a_closed_form() -> None:
    z = math.sqrt(10_000 * 0.002 / (1 - 0.002))
    assert not_worse_p_value(0, 0, 10_000, 0.002) == pytest.approx(0.5 * math.erfc(z / math.sqrt(2)))


@pytest.mark.parametrize(
    ("ahead", "behind", "images", "margin"), [(0, 1, 44, 0.1), (30, 40, 1000, 0.02), (7, 1, 21, 0.3)]
)
def test_the_share_in_tangos_test_is_the_one_that_makes_the_counts_likeliest(
    ahead: int, behind: int, images: int, margin: float
) -> None:
    """The score test with the share found by trying every value in place of the solved quadratic."""
    shares = np.linspace(margin + 1e-9, (1 + margin) / 2 - 1e-9, 2_000_001)  # only the champion is right
    ahead_shares = shares - margin
    likelihood = behind * np.log(shares) + (images - ahead - behind) * np.log1p(-shares - ahead_shares)
    if ahead:
        likelihood += ahead * np.log(ahead_shares)
    share = float(shares[likelihood.argmax()])
    z = (ahead - behind + images * margin) / math.sqrt(images * (2 * share - margin * (1 + margin)))
    assert not_worse_p_value(ahead, behind, images, margin) == pytest.approx(
        0.5 * math.erfc(z / math.sqrt(2)), rel=1e-4
    )


@pytest.mark.parametrize("sizes", [(3, 4), (0, 0)])
def test_answers_to_different_images_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="expected the same images"):
        compare(np.ones(sizes[0], bool), np.ones(sizes[1], bool), rule="better")
