"""One container: a process group of its own, from its start to its exit code."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from localcloud.processes import die_with_parent
from localcloud.runtime.logs import STDERR, STDOUT, Log

# The emulator looks for an exit ten times a second, in a thread apart from the one that forwards the log. Whoever sees
# a task STOPPED may read its log at once, so an exit is shown only when the output was fetched, or nobody came for it.
UNREAD_OUTPUT_SECONDS = 1.0

# The kernel signals such children when the *thread* that started them ends; this one lasts as long as the process.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawn")


@dataclass(frozen=True)
class ContainerSpec:
    """What to run. `environment` is complete: nothing of the runtime's own environment is added to it."""

    name: str
    image: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str]
    working_dir: str | None = None
    stop_timeout: float | None = None

    def __post_init__(self) -> None:
        if not self.argv:
            raise ValueError(f"no command specified: image {self.image} has none, so the container must bring one")


class Container:
    """A container's life: created, running, exited. All methods may be called from any thread."""

    def __init__(
        self, identity: str, spec: ContainerSpec, folder: Path, on_exit: Callable[[ContainerSpec, int], None]
    ) -> None:
        """`on_exit` hears of the exit code before anybody else does."""
        self.id = identity
        self.spec = spec
        self.log = Log(streams=2)
        self.created_at = datetime.now(UTC)
        self.started_at: datetime | None = None
        self.finished_at: datetime | None = None
        self.exit_code: int | None = None
        self.pid = 0
        self._folder = folder
        self._on_exit = on_exit
        self._ended = 0.0
        self._exited = threading.Event()

    @property
    def status(self) -> str:
        """Docker's word for where the container is in its life."""
        if self.started_at is None:
            return "created"
        return "exited" if self._exited.is_set() and self._is_settled() else "running"

    def start(self) -> None:
        """Start the process. Raises OSError when its command cannot be executed."""
        self._folder.mkdir(mode=0o700, parents=True)
        try:
            process = _spawner.submit(self._spawn).result()
        except OSError:
            self.remove_folder()
            raise
        self.pid = process.pid
        self.started_at = datetime.now(UTC)
        for work in self._background_work(process):
            threading.Thread(target=work, daemon=True, name=f"container-{self.id[:12]}").start()

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code, 128+n when signal n ended the process; None when it still runs after that time."""
        return self.exit_code if self._exited.wait(seconds) else None

    def stop(self, timeout: float) -> None:
        """Ask with SIGTERM, insist with SIGKILL after the timeout (seconds). Returns when the process is gone."""
        self.kill(signal.SIGTERM)
        if self.is_running() and self.wait(timeout) is None:
            self.kill(signal.SIGKILL)
            self.wait()

    def kill(self, number: signal.Signals) -> None:
        """Signal every process of the container."""
        if self.is_running():
            _signal_group(self.pid, number)

    def is_running(self) -> bool:
        """Whether its process was started and has not ended yet."""
        return self.started_at is not None and not self._exited.is_set()

    def remove_folder(self) -> None:
        """Delete what the container wrote."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - running what it is told to is a container runtime's purpose
            self.spec.argv,
            cwd=self.spec.working_dir or self._folder,
            env={"HOME": str(self._folder), "TMPDIR": str(self._folder), **self.spec.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - one prctl call, no locks taken
        )

    def _background_work(self, process: subprocess.Popen[bytes]) -> tuple[Callable[[], None], ...]:
        return (
            lambda: self.log.copy_from(process.stdout, STDOUT),
            lambda: self.log.copy_from(process.stderr, STDERR),
            lambda: self._watch(process),
        )

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        returncode = process.wait()
        # A container ends with its first process; stragglers would also keep the pipes open.
        _signal_group(process.pid, signal.SIGKILL)
        self.log.wait_complete(UNREAD_OUTPUT_SECONDS)
        self.exit_code = 128 - returncode if returncode < 0 else returncode
        self.finished_at, self._ended = datetime.now(UTC), time.monotonic()
        try:
            self._on_exit(self.spec, self.exit_code)
        finally:
            self._exited.set()

    def _is_settled(self) -> bool:
        return self.log.was_read() or time.monotonic() - self._ended > UNREAD_OUTPUT_SECONDS


def _signal_group(group: int, number: signal.Signals) -> None:
    # PermissionError is macOS's answer for a group that holds nothing but zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
