"""What training tells: lines for people and machines, an object for the page, and where it stops rising."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.events import JsonLines, Sentences
from mnist_tasks.history import Epoch, History, Running
from mnist_tasks.layout import Layout
from mnist_tasks.progress import Progress, end_message, epoch_message, running_message
from mnist_tasks.storage import Storage
from mnist_tasks.training.telling import Telling
from tests.container import job_for
from tests.told import told, told_events
from tools.run import _progress

JOB = job_for("a-bucket", epochs=10)
FIRST_BATCH = Running(batch=1, images=32, loss=2.3795, accuracy=3 / 32)


def history(accuracies: Sequence[float]) -> History:
    epochs = tuple(
        Epoch(
            epoch=number,
            seconds=0.91,
            loss=0.10214,
            accuracy=0.9691,
            validation_loss=0.0998,
            validation_accuracy=accuracy,
        )
        for number, accuracy in enumerate(accuracies, 1)
    )
    return History(start=(FIRST_BATCH,), epochs=epochs, seconds=1, peak_memory_mb=512.3)


class Puts:
    """A client that takes down what is put, or refuses it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.error = error
        self.meta = self
        self.endpoint_url = "http://nowhere"

    def put_object(self, *, Key: str, Body: bytes, **_: object) -> None:  # noqa: N803
        if self.error:
            raise self.error
        self.keys.append(Key)
        self.bodies.append(json.loads(Body))


def telling(puts: Puts) -> Telling:
    return Telling(Storage(puts, "a-bucket"), Layout(MNIST), JOB, images=54_000)  # type: ignore[arg-type]


def tell_everything() -> None:
    teller = telling(Puts())
    teller.running(FIRST_BATCH)
    teller.epoch(history([0.97]))
    teller.end(history([0.97]))


def test_the_readable_lines_stay_aligned() -> None:
    assert epoch_message(history([0.97015]), JOB) == (
        "epoch  1/10  loss 0.1021  accuracy 96.91%  val_loss 0.0998  val_accuracy 97.02%  0.9 s"
    )
    assert epoch_message(history([0.9] * 10), JOB).startswith("epoch 10/10  loss")
    assert epoch_message(history([0.9]), job_for("a-bucket", epochs=3)).startswith("epoch 1/3  loss")
    assert running_message(FIRST_BATCH, JOB) == "epoch  1/10  batch 1     loss 2.3795  accuracy 9.38%"


def test_validation_accuracy_no_longer_rises_from_the_first_epoch_within_a_standard_error_of_the_best() -> None:
    """At 98% of 6,000 images a standard error is 0.18 points."""
    rising = history([0.95, 0.97, 0.9781, 0.9783, 0.98, 0.979])
    assert rising.best.epoch == 5
    assert rising.converged(6000) == 4
    assert rising.converged(600_000) == 5
    assert history([0.9]).converged(6000) == 1
    assert history([1.0, 1.0]).converged(6000) == 1
    assert "no longer rises from epoch 4 on" in end_message(rising, JOB)


def test_a_terminal_gets_sentences_and_a_log_gets_json_with_the_same_sentence_in_it() -> None:
    with told(Sentences()) as readable, told_events() as lines:
        tell_everything()
    assert [line["message"] for line in lines] == readable
    assert readable[0].startswith("epoch  1/10  batch 1 ")


def test_a_log_line_is_an_embedded_metric_whose_names_are_fields_of_it() -> None:
    with told_events() as lines:
        tell_everything()
    first, epoch, end = lines
    for line in lines:
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert all(isinstance(line[metric["Name"]], float) for metric in directive["Metrics"])
    assert (first["batch"], first["running_accuracy"]) == (1, 0.09375)
    assert (epoch["epoch"], epoch["validation_accuracy"], epoch["peak_memory_mb"]) == (1, 0.97, 512.3)
    assert epoch["images_per_second"] == pytest.approx(54_000 / 0.91, abs=0.1)
    assert (end["best_epoch"], end["converged_epoch"]) == (1, 1)


def test_the_object_is_put_at_the_first_batch_and_the_end_and_about_once_a_second_between() -> None:
    puts = Puts()
    teller = telling(puts)
    for _ in range(5):
        teller.running(FIRST_BATCH)
    teller.epoch(history([0.97]))
    teller.end(history([0.97] * 10))
    first, last = (Progress.model_validate(body) for body in puts.bodies)
    assert set(puts.keys) == {f"runs/{JOB.run}/progress/{JOB.candidate}.json"}
    assert (first.start, first.history, first.done) == ((FIRST_BATCH,), None, False)
    assert last.done
    assert last.start == (FIRST_BATCH,)


def test_storage_that_fails_is_said_and_survived() -> None:
    with told(Sentences()) as lines:
        telling(Puts(ConnectionResetError("reset"))).running(FIRST_BATCH)
    assert lines[1].startswith("progress was not stored: S3 did not answer at http://nowhere")


def test_progress_of_another_form_is_refused() -> None:
    with pytest.raises(ValidationError):
        Progress.model_validate({"job": JOB, "updated": datetime.now(UTC), "surprise": 1})


def test_make_run_finds_the_sentence_in_every_kind_of_log() -> None:
    with told(JsonLines({})) as lines:
        telling(Puts()).epoch(history([0.97015]))
    sentence = epoch_message(history([0.97015]), JOB)
    for logged in (
        f"[2026-11-24T02:00:05] INFO - [2026-11-24 02:00:05] {lines[0]}\n",
        json.dumps({"event": lines[0]}),
        f"INFO - {sentence} [airflow.task] loc=x.py:1\n",
    ):
        assert _progress(logged) == f"      {sentence}"
