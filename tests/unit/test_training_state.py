"""The resume state as bytes: whole and of this very job, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from mnist_tasks import classifier
from mnist_tasks.errors import IntegrityError
from mnist_tasks.history import History, Running
from mnist_tasks.training import state as state_module
from mnist_tasks.training.state import Arrays, State
from tests.candidates import history
from tests.jobs import JOB


def arrays(seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    return tuple(random.normal(size=shape).astype(np.float32) for shape in ((5, 4), (4, 2), (2,)))


def some_state() -> State:
    figures = history().model_copy(update={"start": (Running(batch=1, images=32, loss=2.3, accuracy=3 / 32),)})
    return State(figures, arrays(1), arrays(2), arrays(3), arrays(4))


def test_a_state_comes_back_bit_for_bit() -> None:
    state = some_state()
    back = State.from_bytes(state.to_bytes(JOB), JOB)
    assert back.history == state.history
    for name in ("weights", "first_moments", "second_moments", "best"):
        for one, other in zip(getattr(state, name), getattr(back, name), strict=True):
            assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


def test_a_state_takes_what_a_definition_is_held_against() -> None:
    """Else a definition would be accepted whose trainings, interrupted, could never go on."""
    weights = sum(array.size for array in arrays(1))
    _, _, floats = some_state().to_bytes(JOB).partition(b"\n")
    assert len(floats) == weights * classifier._RESUME_BYTES_A_WEIGHT


def test_the_same_state_gives_the_same_bytes() -> None:
    assert some_state().to_bytes(JOB) == some_state().to_bytes(JOB)


@pytest.mark.parametrize("length", [0, 1, 64, 300, -1])
def test_a_cut_off_state_is_refused(length: int) -> None:
    """That nobody has changed it is what its encryption says; that it is complete shows here as well."""
    with pytest.raises(IntegrityError):
        State.from_bytes(some_state().to_bytes(JOB)[:length], JOB)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"epochs": 4},
        {"learning_rate": 0.002},
        {"batch_size": 64},
        {"run": "b"},
        {"dataset_sha256": "1" * 64},
    ],
)
def test_the_state_of_another_job_is_refused(change: dict[str, object]) -> None:
    other = JOB.model_copy(update=change)
    with pytest.raises(IntegrityError, match="another job"):
        State.from_bytes(some_state().to_bytes(other), JOB)


def test_the_state_of_other_code_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    body = some_state().to_bytes(JOB)
    monkeypatch.setattr(state_module, "__version__", "99.0.0")
    with pytest.raises(IntegrityError, match=r"99\.0\.0"):
        State.from_bytes(body, JOB)


@pytest.mark.parametrize("content", [b"", b"\n", b"no json\n", b"{}\n", b"[1]\n", b"\x80\x04N.\n"])
def test_what_is_no_state_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError, match="not what this code writes"):
        State.from_bytes(content, JOB)


def test_arrays_that_do_not_fill_their_shapes_are_refused() -> None:
    content = some_state().to_bytes(JOB)
    for wrong in (content[:-4], content + b"\0" * 4):
        with pytest.raises(IntegrityError, match="do not fit"):
            State.from_bytes(wrong, JOB)


def test_an_interruption_is_noted_after_an_epoch_that_there_was() -> None:
    known = history().model_dump()
    assert History.model_validate({**known, "resumed_after": (1,)}).resumed_after == (1,)
    with pytest.raises(ValueError, match="resumed after"):
        History.model_validate({**known, "resumed_after": (2,)})
