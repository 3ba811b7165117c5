"""What a container ends with. How it behaves as a process is in the integration tests."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mnist_tasks.container import exit_code
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
from tests.told import events_in


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


def test_a_defect_ends_with_1_and_one_event_that_has_its_traceback() -> None:
    code = "import sys; from mnist_tasks.container import run; sys.exit(run(lambda: 1 // 0, run='a-run', action='x'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    (event,) = events_in(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert (event["error"], event["run"], event["action"]) == ("ZeroDivisionError", "a-run", "x")
    assert "ZeroDivisionError" in event["traceback"]
