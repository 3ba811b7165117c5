"""What the container says: exit codes and progress lines. How it behaves as a process is in the integration tests."""

from __future__ import annotations

import pytest

from mnist_tasks.checkpoints import Epoch, History
from mnist_tasks.errors import (
    ConfigurationError,
    Conflict,
    DataError,
    IntegrityError,
    MnistError,
    NotFoundError,
    TemporaryError,
    ValidationFailed,
    is_temporary,
)
from mnist_tasks.training.__main__ import exit_code, progress_line


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ConfigurationError, 2),
        (DataError, 3),
        (ValidationFailed, 3),
        (IntegrityError, 3),
        (NotFoundError, 3),
        (TemporaryError, 4),
        (Conflict, 4),
    ],
)
def test_the_exit_code_tells_whose_fault_it_was(kind: type[MnistError], code: int) -> None:
    assert exit_code(kind("what happened")) == code


def test_only_what_deserves_a_retry_ends_with_4() -> None:
    kinds = (ConfigurationError, DataError, IntegrityError, NotFoundError, TemporaryError, Conflict)
    assert all((exit_code(kind("x")) == 4) == is_temporary(kind("x")) for kind in kinds)


def test_a_progress_line_gives_the_newest_epoch_in_columns_that_stay_aligned() -> None:
    def epoch(number: int) -> Epoch:
        return Epoch(
            epoch=number,
            seconds=0.91,
            loss=0.10214,
            accuracy=0.9691,
            validation_loss=0.0998,
            validation_accuracy=0.97015,
        )

    first = History(epochs=(epoch(1),), seconds=1, peak_memory_mb=1)
    tenth = History(epochs=tuple(map(epoch, range(1, 11))), seconds=1, peak_memory_mb=1)
    assert progress_line(first, 10) == (
        "epoch  1/10  loss 0.1021  accuracy 96.91%  val_loss 0.0998  val_accuracy 97.02%  0.9 s"
    )
    assert progress_line(tenth, 10).startswith("epoch 10/10  loss")
    assert progress_line(first, 3).startswith("epoch 1/3  loss")
