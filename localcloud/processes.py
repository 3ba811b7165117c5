"""Know a process again, and end it: a pid alone may have been given to somebody else since."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1
_IS_LINUX = platform.system() == "Linux"


@dataclass(frozen=True)
class ProcessId:
    """A process by its pid and the kernel's record of when it started, which no other process shares."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Identify a live process. Raises ProcessLookupError when there is none."""
        started = _start_time(pid)
        if started is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(pid, started)

    def is_alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return _start_time(self.pid) == self.started

    def terminate(self, grace_seconds: float) -> None:
        """Send SIGTERM, then SIGKILL once the grace is over. Returns when the process is gone."""
        self._signal(signal.SIGTERM)
        if not wait_until(lambda: not self.is_alive(), grace_seconds):
            self._signal(signal.SIGKILL)
            wait_until(lambda: not self.is_alive(), grace_seconds)

    def _signal(self, number: signal.Signals) -> None:
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition until it holds; False when the time is over first."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn` that has the kernel signal the child when the thread that started it ends.

    Linux only (prctl(2), PR_SET_PDEATHSIG); elsewhere it does nothing. The thread, not the process, counts as
    the parent: start such children from a thread that lives as long as the process.
    """
    libc = ctypes.CDLL(None) if _IS_LINUX else None

    def ask_kernel() -> None:
        if libc:
            libc.prctl(_PR_SET_PDEATHSIG, int(number))

    return ask_kernel


def _start_time(pid: int) -> str | None:
    return _start_time_from_proc(pid) if _IS_LINUX else _start_time_from_ps(pid)


def _start_time_from_proc(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # proc(5): the name, in parentheses, may hold anything; then field 3 is the state and 22 the start time.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _start_time_from_ps(pid: int) -> str | None:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - a constant
    state, _, started = answer.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
