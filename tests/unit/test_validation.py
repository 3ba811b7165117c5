"""What each check of a data set's content finds, and in which words it says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from mnist_tasks.dataset import Dataset
from mnist_tasks.storage import to_json
from mnist_tasks.validation import Accepted, Check, ValidationReport, statistics_of, validate
from tests.small_dataset import SMALL, small_dataset

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
SHA = "a" * 64
OTHER_SHA = "b" * 64
Change = Callable[[Dataset], None]


def report_on(dataset: Dataset, accepted: Dataset | None = None, accepted_sha: str = OTHER_SHA) -> ValidationReport:
    before = (
        Accepted(dataset_sha256=accepted_sha, run="last-night", statistics=statistics_of(accepted, 10))
        if accepted
        else None
    )
    return validate(dataset, SHA, SMALL, accepted=before, now=NOW)


def failure(dataset: Dataset) -> Check:
    """The only check that fails."""
    report = report_on(dataset)
    assert not report.passed
    (check,) = report.failures
    return check


def changed(change: Change) -> Dataset:
    dataset = small_dataset()
    change(dataset)
    return dataset


def test_a_sound_data_set_passes_every_check() -> None:
    report = report_on(small_dataset())
    assert report.passed
    assert [check.name for check in report.checks] == [
        "shapes",
        "label range",
        "pixel range",
        "blank images",
        "class balance",
        "repeats",
        "leakage",
        "conflicting labels",
        "drift of classes",
        "drift of pixel values",
        "drift of place of the ink",
    ]
    assert report.compared_with is None


def test_a_report_survives_its_way_through_json() -> None:
    report = report_on(small_dataset(), accepted=small_dataset(seed=1))
    assert to_json(report.model_dump(mode="json"))
    assert ValidationReport.checked(report.model_dump(mode="json"), mend="") == report


def test_labels_out_of_range_are_counted_and_the_first_one_is_shown() -> None:
    def spoil(dataset: Dataset) -> None:
        dataset.y_train[[7, 17, 27]] = 11
        dataset.y_test[0] = 255

    check = failure(changed(spoil))
    assert check.message == "4 labels out of range 0..9: first in y_train at 7 (value 11)"
    assert check.headline == "4 labels out of range 0..9"


def test_one_label_out_of_range_is_no_plural() -> None:
    dataset = small_dataset()
    dataset.y_test[17] = 10
    assert failure(dataset).message == "1 label out of range 0..9: first in y_test at 17 (value 10)"


def test_another_number_of_images_is_named() -> None:
    whole = small_dataset()
    check = failure(Dataset(whole.x_train[:190], whole.y_train[:190], whole.x_test, whole.y_test))
    assert check.headline == (
        "x_train has shape (190, 28, 28) instead of (200, 28, 28), y_train has shape (190,) instead of (200,)"
    )


def test_a_data_set_without_images_fails_and_does_not_crash() -> None:
    empty = np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8)
    report = report_on(Dataset(*empty, *empty), accepted=small_dataset())
    assert {"shapes", "class balance", "pixel range"} <= {check.name for check in report.failures}
    assert to_json(report.model_dump(mode="json"))


def test_pixels_that_were_scaled_down_are_found() -> None:
    whole = small_dataset()
    check = failure(Dataset(whole.x_train // np.uint8(3), whole.y_train, whole.x_test, whole.y_test))
    assert check.message == "training pixels reach only 85 of 255"


def test_inverted_images_are_found() -> None:
    whole = small_dataset()
    check = failure(Dataset(whole.x_train, whole.y_train, np.invert(whole.x_test), whole.y_test))
    assert check.headline.startswith("test images are inverted (mean pixel 241.3")


@pytest.mark.parametrize("value", [0, 255])
def test_blank_images_are_counted(value: int) -> None:
    dataset = small_dataset()
    dataset.x_train[5] = value
    assert failure(dataset).message == "1 blank image: first in x_train at 5"


def test_a_class_that_is_nearly_gone_is_named() -> None:
    def spoil(dataset: Dataset) -> None:
        threes = np.flatnonzero(dataset.y_train == 3)
        dataset.y_train[threes[:12]] = 4

    assert failure(changed(spoil)).message == "class 3 has 4.0% of the training images: expected 5% to 20%"


def test_a_class_that_outgrows_the_others_is_named() -> None:
    def spoil(dataset: Dataset) -> None:
        for label in range(1, 8):
            dataset.y_test[np.flatnonzero(dataset.y_test == label)[:2]] = 0

    assert failure(changed(spoil)).headline == "class 0 has 24.0% of the test images"


def test_images_that_repeat_are_counted() -> None:
    def spoil(dataset: Dataset) -> None:
        dataset.x_train[10] = dataset.x_train[0]

    message = failure(changed(spoil)).message
    assert message.startswith("1 of 200 training images repeat an earlier one, 0 of 100 test images")
    assert message.endswith(": at most 0.1% may")


def test_a_test_image_that_is_also_a_training_image_is_shown() -> None:
    def spoil(dataset: Dataset) -> None:
        dataset.x_test[[5, 15]] = dataset.x_train[[25, 35]]

    assert failure(changed(spoil)).message == "2 test images also in training: first at 5 (training image 25)"


def test_equal_images_with_different_labels_are_shown() -> None:
    def spoil(dataset: Dataset) -> None:
        dataset.x_train[13] = dataset.x_train[2]

    report = report_on(changed(spoil))
    assert [check.name for check in report.failures] == ["repeats", "conflicting labels"]
    assert report.failures[1].message == "1 image with conflicting labels: first in x_train at 2 (labels [2, 3])"


def test_a_conflict_inside_the_test_images_is_counted_from_their_start() -> None:
    def spoil(dataset: Dataset) -> None:
        dataset.x_test[13] = dataset.x_test[2]

    message = report_on(changed(spoil)).failures[1].message
    assert message == "1 image with conflicting labels: first in x_test at 2 (labels [2, 3])"


def test_every_defect_is_reported_and_not_only_the_first() -> None:
    def spoil(dataset: Dataset) -> None:
        dataset.y_train[7] = 11
        dataset.x_train[3] = 0
        dataset.x_test[1] = dataset.x_train[1]

    assert [check.name for check in report_on(changed(spoil)).failures] == ["label range", "blank images", "leakage"]


def test_statistics_are_those_of_numpy() -> None:
    dataset = small_dataset()
    found = statistics_of(dataset, 10).train
    assert found.images == 200
    assert found.class_counts == (20,) * 10
    assert found.pixel_mean == pytest.approx(dataset.x_train.mean(), abs=1e-6)
    assert found.pixel_std == pytest.approx(dataset.x_train.std(), abs=1e-6)
    assert found.pixel_histogram == tuple(np.histogram(dataset.x_train, bins=16, range=(0, 256))[0].tolist())
    assert found.ink_grid[7 * 2 + 3] == int(dataset.x_train[:, 8:12, 12:16].sum(dtype=np.int64))
    assert sum(found.ink_grid) == int(dataset.x_train.sum(dtype=np.int64))
