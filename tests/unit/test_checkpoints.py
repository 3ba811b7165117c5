"""What a manifest and a history may say, and which one is the best."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from mnist_tasks.checkpoints import EncryptedObject, Manifest, StoredObject, best
from mnist_tasks.errors import NotFoundError
from mnist_tasks.history import Epoch, History
from tests.jobs import JOB

CANDIDATE = "mnist_model_20261124_020005"


def manifest(candidate: str = CANDIDATE, **changes: Any) -> Manifest:
    job = JOB.model_copy(update={"candidate": candidate})
    values: dict[str, Any] = {
        "name": candidate,
        "run": JOB.run,
        "created": datetime(2026, 11, 24, 2, tzinfo=UTC),
        "weights": EncryptedObject(key="w", sha256="b" * 64, size=1, plaintext_sha256="d" * 64),
        "metrics": StoredObject(key="m", sha256="c" * 64, size=1),
        "job": job,
        "parameters": 101_770,
        "best_epoch": 3,
        "validation_accuracy": 0.98,
        "validation_loss": 0.1,
        "code_version": "0.1.0",
    }
    return Manifest(**values | changes)


def epoch(number: int, accuracy: float = 0.9, loss: float = 0.3) -> Epoch:
    return Epoch(epoch=number, seconds=1, loss=1, accuracy=0.9, validation_loss=loss, validation_accuracy=accuracy)


def history(*epochs: Epoch) -> History:
    return History(epochs=epochs, seconds=3, peak_memory_mb=400)


def test_the_best_candidate_has_the_highest_validation_accuracy() -> None:
    chosen = manifest("mnist_model_20261124_020007", validation_accuracy=0.981, validation_loss=0.9)
    assert best([manifest(), chosen, manifest("mnist_model_20261124_020006")]) == chosen


def test_equal_accuracy_is_decided_by_the_lower_loss() -> None:
    chosen = manifest("mnist_model_20261124_020007", validation_loss=0.09)
    assert best([manifest(), chosen]) == chosen


def test_equal_figures_are_decided_by_name_in_whatever_order_they_come() -> None:
    both = [manifest("mnist_model_20261124_020006"), manifest("mnist_model_20261124_020005")]
    assert best(both).name == best(both[::-1]).name == "mnist_model_20261124_020005"


def test_of_no_candidates_none_is_best() -> None:
    with pytest.raises(NotFoundError, match="no candidate"):
        best([])


@pytest.mark.parametrize(
    ("epochs", "chosen"),
    [
        ([epoch(1, 0.90), epoch(2, 0.95), epoch(3, 0.94)], 2),
        ([epoch(1, 0.95, 0.3), epoch(2, 0.95, 0.2)], 2),
        ([epoch(1, 0.95, 0.2), epoch(2, 0.95, 0.2)], 1),
    ],
)
def test_the_best_epoch_follows_the_same_rule_and_the_earlier_of_equals(epochs: list[Epoch], chosen: int) -> None:
    assert history(*epochs).best.epoch == chosen


@pytest.mark.parametrize("numbers", [[], [2], [1, 3], [2, 1], [1, 1]])
def test_a_history_with_gaps_is_refused(numbers: list[int]) -> None:
    with pytest.raises(ValidationError):
        history(*(epoch(number) for number in numbers))


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -0.1])
def test_a_loss_that_is_no_loss_is_refused(loss: float) -> None:
    with pytest.raises(ValidationError):
        epoch(1, loss=loss)


def test_a_final_names_the_candidate_that_it_is_a_copy_of() -> None:
    final = manifest().model_copy(update={"name": f"{CANDIDATE}_final", "promoted_from": CANDIDATE})
    assert Manifest.model_validate(final.model_dump()) == final


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "mnist_model_20261124_020006"},
        {"name": f"{CANDIDATE}_final"},
        {"promoted_from": CANDIDATE},
        {"name": f"{CANDIDATE}_final", "promoted_from": "mnist_model_20261124_020006"},
        {"run": "another-night"},
        {"created": datetime(2026, 11, 24, 2)},  # noqa: DTZ001 - a time without a zone is what is refused
        {"validation_accuracy": 1.1},
        {"version": 1},
        {"unknown": 1},
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        manifest(**changes)
