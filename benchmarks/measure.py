"""Processes on one CPU, and what they took: of CPU time, of time, of memory."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CPU = max(os.sched_getaffinity(0))  # the last one: the first serves more interrupts


@dataclass(frozen=True)
class Usage:
    """What something took: seconds of CPU (its own and the kernel's for it), seconds, MB of 1,000,000 bytes at most.

    `loss` is what an epoch ended with: who did the same work has about the same.
    """

    cpu: float
    wall: float
    peak_mb: float | None = None
    loss: float | None = None


@contextmanager
def pinned() -> Iterator[None]:
    """What is started inside runs on one CPU from its first instruction on: children inherit it, libraries see it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CPU})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def environment(**more: str) -> dict[str, str]:
    """A clean one: a setting of the caller (threads, XLA flags, an allocator) must not favour anybody."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(ROOT)} | more


class Worker:
    """A contender in a process of its own (`benchmarks.worker`); its first epoch, which does not count, is done."""

    def __init__(self, name: str, python: Path, data: Path, images: int, log: Path) -> None:
        self._name, self._log = name, log
        command = [str(python), "-m", "benchmarks.worker", name, str(data), str(images)]
        with pinned(), log.open("w") as errors:
            self._process = subprocess.Popen(
                command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        try:
            self._answer()
        except BaseException:
            self.stop()
            raise

    def epoch(self) -> Usage:
        """Have it run one more epoch."""
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Usage(**self._answer())

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"error: the contender {self._name} ended by itself; it said:\n{_tail(self._log)}")
        answer: Mapping[str, Any] = json.loads(line)
        return answer


def run_to_end(command: Sequence[str], log: Path, *, one_cpu: bool, **variables: str) -> Usage:
    """Run a program from its start to its end.

    Raises:
        SystemExit: it failed; the message shows the end of what it said.
    """
    started = time.perf_counter()
    with log.open("w") as out:
        arguments: dict[str, Any] = {"env": environment(**variables), "stdout": out, "stderr": subprocess.STDOUT}
        if one_cpu:
            with pinned():
                process = subprocess.Popen(command, **arguments)
        else:
            process = subprocess.Popen(command, **arguments)
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"error: {' '.join(command[:3])} ended with {process.returncode}; it said:\n{_tail(log)}")
    return Usage(cpu=usage.ru_utime + usage.ru_stime, wall=wall, peak_mb=usage.ru_maxrss * 1024 / 1e6)


def _tail(log: Path) -> str:
    return "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-12:])
