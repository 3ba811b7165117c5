"""The validation step on the real data set in S3: what it writes, what it refuses, and what a second try finds."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from mnist_tasks.dataset import Dataset, write_npz
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import IntegrityError, NotFoundError, ValidationFailed
from mnist_tasks.layout import Layout
from mnist_tasks.storage import Storage, sha256_of
from mnist_tasks.validation import ValidationReport, run, validate

LAYOUT = Layout(MNIST)
FIRST_NIGHT = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
SECOND_NIGHT = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)


def stored(storage: Storage, dataset: Dataset) -> str:
    body = write_npz(dataset)
    storage.put(LAYOUT.dataset(sha256_of(body)), body)
    return sha256_of(body)


def read(storage: Storage, key: str) -> Any:
    return json.loads(storage.get(key).body)


def spoiled(mnist: Dataset, **arrays: Any) -> Dataset:
    return Dataset(**{**mnist.arrays(), **arrays})


def with_bad_labels(mnist: Dataset) -> Dataset:
    labels = mnist.y_train.copy()
    labels[100:112] = 11
    return spoiled(mnist, y_train=labels)


def test_the_real_data_set_passes_in_seconds(mnist: Dataset) -> None:
    started = time.process_time()
    report = validate(mnist, "a" * 64, MNIST, accepted=None, now=FIRST_NIGHT)
    # 0.35 s on an idle core of 2024. A check that compares each image with each other one would take minutes.
    assert time.process_time() - started < 10
    assert report.failures == ()
    assert report.statistics.train.pixel_mean == pytest.approx(33.318421)
    assert report.statistics.test.class_counts == (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)


def test_a_data_set_that_passes_is_reported_and_accepted(storage: Storage, mnist: Dataset) -> None:
    sha256 = stored(storage, mnist)
    report = run(storage, LAYOUT, "night-1", sha256, FIRST_NIGHT)
    assert report.passed
    assert ValidationReport.checked(read(storage, "runs/night-1/validation.json"), mend="") == report
    accepted = read(storage, LAYOUT.accepted_dataset)
    assert (accepted["dataset_sha256"], accepted["run"]) == (sha256, "night-1")


def test_a_second_try_gives_the_report_of_the_first_one(storage: Storage, mnist: Dataset) -> None:
    sha256 = stored(storage, mnist)
    report = run(storage, LAYOUT, "night-1", sha256, FIRST_NIGHT)
    accepted = storage.get(LAYOUT.accepted_dataset)
    assert run(storage, LAYOUT, "night-1", sha256, SECOND_NIGHT) == report
    assert storage.get(LAYOUT.accepted_dataset) == accepted


def test_a_try_that_died_before_accepting_is_finished_by_the_next_one(storage: Storage, mnist: Dataset) -> None:
    sha256 = stored(storage, mnist)
    report = run(storage, LAYOUT, "night-1", sha256, FIRST_NIGHT)
    storage.client.delete_object(Bucket=storage.bucket, Key=LAYOUT.accepted_dataset)
    assert run(storage, LAYOUT, "night-1", sha256, SECOND_NIGHT) == report
    assert read(storage, LAYOUT.accepted_dataset)["dataset_sha256"] == sha256


def test_a_run_that_is_done_again_takes_back_no_data_set_accepted_since(storage: Storage, mnist: Dataset) -> None:
    """Its kept report still says that it passed, but it was never compared with the newer one."""
    old = stored(storage, mnist)
    report = run(storage, LAYOUT, "old", old, FIRST_NIGHT)
    images = mnist.x_train.copy()
    images[0, 0, 0] = 1
    newer = stored(storage, spoiled(mnist, x_train=images))
    assert run(storage, LAYOUT, "newer", newer, SECOND_NIGHT).compared_with == old
    assert run(storage, LAYOUT, "old", old, SECOND_NIGHT) == report
    assert read(storage, LAYOUT.accepted_dataset)["dataset_sha256"] == newer


def test_the_next_night_leaves_the_accepted_data_set_alone_if_it_is_the_same(storage: Storage, mnist: Dataset) -> None:
    sha256 = stored(storage, mnist)
    run(storage, LAYOUT, "night-1", sha256, FIRST_NIGHT)
    report = run(storage, LAYOUT, "night-2", sha256, SECOND_NIGHT)
    assert report.compared_with == sha256
    assert read(storage, LAYOUT.accepted_dataset)["run"] == "night-1"


def test_bad_labels_stop_the_run_with_a_report_and_accept_nothing(storage: Storage, mnist: Dataset) -> None:
    sha256 = stored(storage, with_bad_labels(mnist))
    with pytest.raises(ValidationFailed) as caught:
        run(storage, LAYOUT, "night-1", sha256, FIRST_NIGHT)
    assert caught.value.problem == "12 labels out of range 0..9: first in y_train at 100 (value 11)"
    assert f"s3://{storage.bucket}/runs/night-1/validation.json" in caught.value.mend
    assert read(storage, "runs/night-1/validation.json")["passed"] is False
    assert not storage.exists(LAYOUT.accepted_dataset)


def test_a_refusal_is_examined_again_once_the_data_was_mended(storage: Storage, mnist: Dataset) -> None:
    with pytest.raises(ValidationFailed):
        run(storage, LAYOUT, "night-1", stored(storage, with_bad_labels(mnist)), FIRST_NIGHT)
    assert run(storage, LAYOUT, "night-1", stored(storage, mnist), SECOND_NIGHT).passed


def test_a_shift_stops_the_run_and_says_how_to_accept_it(storage: Storage, mnist: Dataset) -> None:
    run(storage, LAYOUT, "night-1", stored(storage, mnist), FIRST_NIGHT)
    transposed = spoiled(
        mnist,
        x_train=np.ascontiguousarray(mnist.x_train.transpose(0, 2, 1)),
        x_test=np.ascontiguousarray(mnist.x_test.transpose(0, 2, 1)),
    )
    sha256 = stored(storage, transposed)
    with pytest.raises(ValidationFailed, match="place of the ink moved far in the") as caught:
        run(storage, LAYOUT, "night-2", sha256, SECOND_NIGHT)
    assert f"delete s3://{storage.bucket}/datasets/mnist/accepted.json" in caught.value.mend
    storage.client.delete_object(Bucket=storage.bucket, Key=LAYOUT.accepted_dataset)
    assert run(storage, LAYOUT, "night-2", sha256, SECOND_NIGHT).compared_with is None


@pytest.mark.parametrize("content", [b"[1, 2]", b'{"dataset_sha256": "x"}', b"not json"])
def test_a_damaged_record_of_the_accepted_data_set_is_named(storage: Storage, mnist: Dataset, content: bytes) -> None:
    storage.put(LAYOUT.accepted_dataset, content)
    with pytest.raises(IntegrityError, match=r"datasets/mnist/accepted\.json is not"):
        run(storage, LAYOUT, "night-1", stored(storage, mnist), FIRST_NIGHT)
    assert not storage.exists("runs/night-1/validation.json")


def test_a_data_set_that_was_never_downloaded_is_named(storage: Storage) -> None:
    with pytest.raises(NotFoundError, match="there is no object"):
        run(storage, LAYOUT, "night-1", "a" * 64, FIRST_NIGHT)
