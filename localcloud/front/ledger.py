"""The memory of the tasks that were started: kept in a folder, one file for each RunTask.

It outlives the emulator, which forgets its tasks when it is killed, and the containers, whose exit codes the emulator
does not keep. A file is replaced as a whole, so it survives the death of any process (not of the machine).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from localcloud.front.records import RunRecord, Stop, TaskRecord, TokenKey

_log = logging.getLogger(__name__)
_LOCKS = 64

LOST = "TerminationNotice"
LOST_REASON = "The one-machine cloud ended while the task ran."
EXITED = "EssentialContainerExited"
EXITED_REASON = "Essential container in task exited"


class Ledger:
    """All records, by token and by task. All methods may be called from any thread."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Read the folder. What still ran when the last ledger ended has lost its processes since, so it is stopped."""
        self._folder = folder
        self._clock = clock
        self._changed = threading.Condition(threading.RLock())
        # Striped, so that no lock has to be made or forgotten: two tokens that share one wait for each other, no more.
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._runs: dict[str, RunRecord] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in folder.glob("*.json"):
            self._read(path)
        self.lose_all()
        for task in self._tasks():
            self.note_stopped(task.arn, task.description)

    def lock(self, key: TokenKey) -> contextlib.AbstractContextManager[Any]:
        """Held by one request with this token at a time."""
        return self._locks[hash(key) % _LOCKS]

    def now(self) -> float:
        """The time by which records are kept (Unix time)."""
        return self._clock()

    def find(self, key: TokenKey) -> RunRecord | None:
        """The latest request with this token, whether the token still counts or not."""
        with self._changed:
            runs = [run for run in self._runs.values() if run.key == key]
        return max(runs, key=lambda run: run.created_at, default=None)

    def add(self, key: TokenKey, fingerprint: str, tasks: list[Mapping[str, Any]]) -> None:
        """Remember a request that started tasks; only now may their containers start (see `await_task`)."""
        self._forget()
        run = RunRecord(key, fingerprint, self._clock(), tuple(TaskRecord(task) for task in tasks))
        with self._changed:
            self._write(run)
            self._index(run)
            self._changed.notify_all()

    def await_task(self, arn: str, seconds: float) -> None:
        """Return once a task is on record. Raises OSError when that takes too long, or when it is to stop already.

        A container whose task is not on record must not start: if this process died now, a retry with the same token
        would start a second one.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: arn in self._runs, seconds):
                raise OSError(f"{arn} is not on record: was it started past the endpoint?")
            if self.task(arn).stop:
                raise OSError(f"{arn} was stopped before it started")

    def knows(self, arn: str) -> bool:
        """Whether a task is on record and not forgotten."""
        with self._changed:
            return arn in self._runs and not self._runs[arn].is_forgotten(self._clock())

    def task(self, arn: str) -> TaskRecord:
        """Raises KeyError for a task that is not on record."""
        with self._changed:
            return next(task for task in self._runs[arn].tasks if task.arn == arn)

    def is_wanted(self, arn: str) -> bool:
        """Whether the task is to run: neither stopped nor about to be."""
        return self.knows(arn) and self.task(arn).stop is None

    def note_exit(self, arn: str, container: str, code: int) -> None:
        """A container's process has ended."""
        self._update(arn, lambda task: replace(task, exit_codes={**task.exit_codes, container: code}))

    def note_stop(self, arn: str, code: str, reason: str) -> None:
        """Somebody wants the task to stop. The first one counts, and only for a task that has not ended by itself."""
        stop = Stop(code, reason, self._clock())
        self._update(arn, lambda task: task if task.stop or task.has_exited else replace(task, stop=stop))

    def note_stopped(self, arn: str, description: Mapping[str, Any]) -> None:
        """The task has ended; `description` is ECS's last word on it."""
        self._update(arn, lambda task: task if task.stopped_at else _stopped(task, description, self._clock()))

    def lose_all(self) -> None:
        """Every task that has not ended ends with this cloud, as with a host that goes away."""
        for task in self._tasks():
            self.note_stop(task.arn, LOST, LOST_REASON)

    def _tasks(self) -> list[TaskRecord]:
        with self._changed:
            return [self.task(arn) for arn in self._runs]

    def _update(self, arn: str, change: Callable[[TaskRecord], TaskRecord]) -> None:
        with self._changed:
            if arn not in self._runs:
                return
            run = self._runs[arn]
            changed = replace(run, tasks=tuple(change(task) if task.arn == arn else task for task in run.tasks))
            if changed != run:
                self._write(changed)
                self._index(changed)

    def _read(self, path: Path) -> None:
        try:
            self._index(RunRecord.from_json(path.read_text()))
        except (ValueError, TypeError, KeyError) as error:
            # Only a crash of the whole machine can leave half a file.
            _log.warning("%s is damaged, so a task is forgotten: %s", path, error)

    def _index(self, run: RunRecord) -> None:
        self._runs.update({task.arn: run for task in run.tasks})

    def _forget(self) -> None:
        with self._changed:
            for arn, run in list(self._runs.items()):
                if run.is_forgotten(self._clock()):
                    self._path(run).unlink(missing_ok=True)
                    del self._runs[arn]

    def _write(self, run: RunRecord) -> None:
        partial = self._path(run).with_suffix(".partial")
        partial.write_text(run.to_json())
        partial.replace(self._path(run))

    def _path(self, run: RunRecord) -> Path:
        return self._folder / f"{run.tasks[0].arn.rpartition('/')[2]}.json"


def _stopped(task: TaskRecord, description: Mapping[str, Any], now: float) -> TaskRecord:
    if task.stop:
        # The emulator's own time is that of the request to stop.
        return replace(task, description=description, stopped_at=now)
    at = description.get("stoppedAt") or now
    code, reason = EXITED, EXITED_REASON
    if not task.has_exited:
        code, reason = description.get("stopCode") or LOST, description.get("stoppedReason") or LOST_REASON
    return replace(task, description=description, stop=Stop(code, reason, at), stopped_at=at)
