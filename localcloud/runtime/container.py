"""One container: its life from its creation to its exit code, whatever runs it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Protocol

from localcloud.images import Image
from localcloud.runtime.logs import STDERR, STDOUT, Log

# The emulator looks for an exit ten times a second, in a thread apart from the one that forwards the log. Whoever sees
# a task STOPPED may read its log at once, so an exit is shown only when the output was fetched, or nobody came for it.
UNREAD_OUTPUT_SECONDS = 1.0
# Where the emulator forwards the output, that thread comes, but on a busy machine not within a second: the lines of a
# short task would be lost for good.
FORWARDED_OUTPUT_SECONDS = 30.0


class NotFoundError(LookupError):
    """No such image or container; the message is Docker's own."""


@dataclass(frozen=True)
class Limits:
    """What the task definition grants, as far as the runtime can enforce it; None: without limit."""

    memory_mb: int | None = None
    cpus: float | None = None
    read_only: bool = False
    # Where a read-only container may write: the mount points of the task's own, empty volumes.
    writable: tuple[str, ...] = ()


UNLIMITED = Limits()


@dataclass(frozen=True)
class ContainerSpec:
    """What to run. `environment` is complete: nothing of the runtime's own environment is added to it.

    `forwarded`: the emulator comes for the output.
    """

    name: str
    image: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str]
    working_dir: str | None = None
    stop_timeout: float | None = None
    limits: Limits = UNLIMITED
    forwarded: bool = False

    def __post_init__(self) -> None:
        if not self.argv:
            raise ValueError(f"no command specified: image {self.image} has none, so the container must bring one")


class Process(Protocol):
    """What was started for a container."""

    @property
    def pid(self) -> int:
        """The number of its first process on this machine."""

    @property
    def outputs(self) -> tuple[IO[bytes] | None, IO[bytes] | None]:
        """Its standard output and standard error; they end when nothing of it is left."""

    def wait(self) -> int:
        """The exit code, 128+n when signal n ended it; nothing of the container is left running then."""

    def kill(self, number: signal.Signals) -> None:
        """Signal it; nothing happens when it has ended."""

    def discard(self) -> None:
        """Delete what it wrote."""


class Runner(Protocol):
    """Where containers run: as child processes, or in a real engine."""

    def image(self, name: str) -> Image:
        """Raises NotFoundError, in Docker's words, for an image that is not here."""

    def run(self, identity: str, spec: ContainerSpec) -> Process:
        """Start a container. Raises OSError when its command cannot be executed."""

    def clear(self) -> None:
        """Remove what containers of an earlier start have left."""


class Container:
    """A container's life: created, running, exited. All methods may be called from any thread."""

    def __init__(
        self, identity: str, spec: ContainerSpec, runner: Runner, on_exit: Callable[[ContainerSpec, int], None]
    ) -> None:
        """`on_exit` hears of the exit code before anybody else does."""
        self.id = identity
        self.spec = spec
        self.log = Log(streams=2)
        self.created_at = datetime.now(UTC)
        self.started_at: datetime | None = None
        self.finished_at: datetime | None = None
        self.exit_code: int | None = None
        self._runner = runner
        self._process: Process | None = None
        self._on_exit = on_exit
        self._ended = 0.0
        self._exited = threading.Event()

    @property
    def status(self) -> str:
        """Docker's word for where the container is in its life."""
        if self.started_at is None:
            return "created"
        return "exited" if self._exited.is_set() and self._is_settled() else "running"

    @property
    def pid(self) -> int:
        """The number of its first process; 0 before it has one."""
        return self._process.pid if self._process else 0

    @property
    def patience(self) -> float:
        """For how many seconds after its end an output that nobody has read is kept."""
        return FORWARDED_OUTPUT_SECONDS if self.spec.forwarded else UNREAD_OUTPUT_SECONDS

    def start(self) -> None:
        """Start the process. Raises OSError when its command cannot be executed."""
        self._process = process = self._runner.run(self.id, self.spec)
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
        if self._process and self.is_running():
            self._process.kill(number)

    def is_running(self) -> bool:
        """Whether its process was started and has not ended yet."""
        return self.started_at is not None and not self._exited.is_set()

    def discard(self) -> None:
        """Delete what the container wrote."""
        if self._process:
            self._process.discard()

    def _background_work(self, process: Process) -> tuple[Callable[[], None], ...]:
        stdout, stderr = process.outputs
        return (
            lambda: self.log.copy_from(stdout, STDOUT),
            lambda: self.log.copy_from(stderr, STDERR),
            lambda: self._watch(process),
        )

    def _watch(self, process: Process) -> None:
        exit_code = process.wait()
        self.log.wait_complete(UNREAD_OUTPUT_SECONDS)
        self.exit_code = exit_code
        self.finished_at, self._ended = datetime.now(UTC), time.monotonic()
        try:
            self._on_exit(self.spec, self.exit_code)
        finally:
            self._exited.set()

    def _is_settled(self) -> bool:
        return self.log.was_read() or time.monotonic() - self._ended > self.patience
