"""How a data set is compared with the last accepted one."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_tasks.dataset import Dataset
from mnist_tasks.validation import Accepted, ValidationReport, statistics_of, validate
from mnist_tasks.validation.drift import stability_index
from tests.small_dataset import SMALL, small_dataset

COUNTS = st.lists(st.integers(0, 10**9), min_size=3, max_size=3)


def compared(dataset: Dataset, sha256: str = "a" * 64) -> ValidationReport:
    accepted = Accepted(dataset_sha256="b" * 64, run="last-night", statistics=statistics_of(small_dataset(seed=1), 10))
    now = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
    return validate(dataset, sha256, SMALL, accepted=accepted, now=now)


def test_the_index_is_the_published_sum() -> None:
    expected = (0.5 - 0.25) * np.log(0.5 / 0.25) + (0.5 - 0.75) * np.log(0.5 / 0.75)
    assert stability_index([25, 75], [10, 10]) == pytest.approx(expected)


@given(COUNTS, COUNTS)
def test_the_index_is_symmetric_never_negative_and_always_finite(one: list[int], other: list[int]) -> None:
    index = stability_index(one, other)
    assert 0 <= index < np.inf
    assert index == pytest.approx(stability_index(other, one))


def test_a_fresh_draw_of_the_same_kind_is_no_drift() -> None:
    report = compared(small_dataset(seed=2))
    assert report.passed
    assert report.compared_with == "b" * 64
    assert report.checks[-3].message == (
        "classes hardly moved in the training images: stability index 0.000, at most 0.25 is accepted "
        "(compared with data set bbbbbbbb of run last-night)"
    )


def test_the_accepted_file_itself_is_not_compared() -> None:
    assert compared(small_dataset(), sha256="b" * 64).checks[-1].message == (
        "no drift: this is the file that was accepted before"
    )


def test_images_that_moved_sideways_are_found_by_the_place_of_their_ink() -> None:
    whole = small_dataset()
    report = compared(Dataset(np.roll(whole.x_train, 4, axis=2), whole.y_train, whole.x_test, whole.y_test))
    assert [check.headline for check in report.failures] == ["place of the ink moved far in the training images"]


def test_images_that_were_binarised_are_found_by_their_pixel_values() -> None:
    whole = small_dataset()
    binary = np.where(whole.x_test > 99, 255, 0).astype(np.uint8)
    # Binarising makes the bars equal, which other checks find as well.
    headlines = [
        check.headline for check in compared(Dataset(whole.x_train, whole.y_train, binary, whole.y_test)).failures
    ]
    assert "pixel values moved far in the test images" in headlines


def test_a_moderate_shift_passes_and_is_said() -> None:
    whole = small_dataset()
    labels = whole.y_train.copy()
    for label in (0, 1, 2, 3):
        labels[np.flatnonzero(whole.y_train == label)[:9]] = label + 5
    report = compared(Dataset(whole.x_train, labels, whole.x_test, whole.y_test))
    assert report.passed
    assert report.checks[-3].headline == "classes moved moderately in the training images"
