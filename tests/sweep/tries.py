"""A step as Airflow runs it: each try a process of its own, tried again while Airflow would."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from tests.sweep import container
from tests.sweep.faults import Call, Fault, Journal, Wire
from tests.sweep.pipeline import Ending, Step, TaskStateStore, execute
from tests.tries import FileState

# Between two tries; long enough for another second, so that nothing can lean on the clock standing still.
RETRY_DELAY = timedelta(minutes=5)
DEADLINE_SECONDS = 120.0


@dataclass(frozen=True)
class Ended:
    """What became of a step: how its last try ended, how many there were, and what the first one called."""

    ending: Ending
    tries: int
    calls: tuple[Call, ...]
    struck: bool
    moments: tuple[datetime, ...] = field(default=())


def pretend_refused(folder: Path, generation: int) -> None:
    """Make a step's first task one of the generation after this one."""
    FileState(folder / "task-state.json").set("refused", generation)


def run(
    step: Step, now: datetime, folder: Path, fault: Fault | None = None, *, containers: Path | None = None
) -> Ended:
    """Try until Airflow would not try again; `fault` strikes the first try.

    `folder` is new and this step's own; in `containers`, those that a try starts find its time.
    """
    first = Journal(folder / "calls-1.jsonl")
    moments: list[datetime] = []
    while True:
        moments.append(now + len(moments) * RETRY_DELAY)
        number = len(moments)
        if containers:
            container.set_clock(containers, moments[-1])
        ending = _try(step, number, moments[-1], folder, fault if number == 1 else None)
        killed_for_good = ending is None and number > step.task.retries
        if killed_for_good:
            ending = Ending("failed", error="killed")
        if ending is not None and ending.state != "retry":
            return Ended(ending, number, tuple(first.calls()), first.struck(), tuple(moments))


def _try(step: Step, number: int, now: datetime, folder: Path, fault: Fault | None) -> Ending | None:
    """One try in a process of its own; None if it was killed."""
    result = folder / f"ending-{number}.pickle"

    def work() -> None:
        wire = Wire(Journal(folder / f"calls-{number}.jsonl"), fault)
        wire.install()
        ending = execute(step, number, now, TaskStateStore(FileState(folder / "task-state.json"), wire))
        result.write_bytes(pickle.dumps(ending))

    status = in_child(work, folder / f"log-{number}.txt")
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    assert status == 0, f"the harness failed:\n{(folder / f'log-{number}.txt').read_text()[-3000:]}"
    ending: Ending = pickle.loads(result.read_bytes())
    return ending


def in_child(work: Callable[[], None], log: Path) -> int:
    """Do `work` in a fork of this process, with its output in `log`; returns the wait status."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(output, 1)
            os.dup2(output, 2)
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the log is where the parent looks
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return _wait(pid)


def _wait(pid: int) -> int:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise TimeoutError(f"a try took longer than {DEADLINE_SECONDS:.0f} s")
        time.sleep(0.005)
