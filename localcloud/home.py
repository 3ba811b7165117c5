"""The folder that holds everything of one local account: what runs, on which ports, and all its data."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from localcloud.errors import LocalCloudError
from localcloud.processes import ProcessId

CHECKOUT = Path(__file__).resolve().parents[1]
DEFAULT_HOME = CHECKOUT / ".localcloud"


@dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1; kept from one start to the next as long as nobody else takes them.

    `aws` is everybody's endpoint, `emulator` what stands behind it.
    """

    aws: int
    smtp: int
    emulator: int


@dataclass(frozen=True)
class State:
    """What was last started in a home. Written by the supervisor, completed by `up` with the stack's outputs."""

    supervisor: ProcessId
    emulator: ProcessId
    ports: Ports
    configuration: Mapping[str, Any]
    outputs: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> State:
        """Raises ValueError (also TypeError, KeyError) for anything but the text that `to_json` makes."""
        data = json.loads(text)
        return cls(
            supervisor=ProcessId(**data["supervisor"]),
            emulator=ProcessId(**data["emulator"]),
            ports=Ports(**data["ports"]),
            configuration=dict(data["configuration"]),
            outputs=dict(data["outputs"]),
        )

    def to_json(self) -> str:
        """The text of state.json."""
        return json.dumps(asdict(self), indent=2) + "\n"


@dataclass(frozen=True)
class Home:
    """The layout of a home folder."""

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", self.root.expanduser().resolve())

    @property
    def state_file(self) -> Path:
        """What was last started, and on which ports."""
        return self.root / "state.json"

    @property
    def maildir(self) -> Path:
        """Every mail that was sent."""
        return self.root / "mail"

    @property
    def containers(self) -> Path:
        """The containers' own folders; emptied at each start."""
        return self.root / "containers"

    @property
    def sockets(self) -> Path:
        """A folder outside the home: a Unix socket's path has 107 bytes at most, and a checkout's may have more."""
        name = hashlib.sha256(bytes(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"localcloud-{name}"

    @property
    def public_keys(self) -> Path:
        """The public half of every key that has signed here, as PEM."""
        return self.root / "promotion.pub.pem"

    @property
    def secret(self) -> Path:
        """What the tokens are made of by which processes get the credentials of their roles."""
        return self.root / "secret"

    @property
    def tasks(self) -> Path:
        """What is remembered of the ECS tasks that were started, and under which client tokens."""
        return self.root / "tasks"

    @property
    def calls(self) -> Path:
        """What was asked of AWS, as far as that is recorded."""
        return self.root / "calls.jsonl"

    @property
    def emulator(self) -> Path:
        """The emulator's state and the objects of S3."""
        return self.root / "ministack"

    def log(self, part: str) -> Path:
        """The log file of a part: "supervisor" or "ministack"."""
        return self.root / "logs" / f"{part}.log"

    def create(self) -> None:
        """Make the folders, readable by their owner alone. Raises LocalCloudError when that is impossible."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.root / "logs", self.containers, self.emulator):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise LocalCloudError(
                f"cannot make the home folder {self.root}: {error.strerror}; choose another with --home"
            ) from error

    def create_sockets(self) -> Path:
        """Make the folder for sockets anew, closed to other users. Raises OSError when another user's is there."""
        self.remove_sockets()
        self.sockets.mkdir(mode=0o700)
        return self.sockets

    def remove_sockets(self) -> None:
        """Delete the folder for sockets; a killed supervisor leaves it."""
        shutil.rmtree(self.sockets, ignore_errors=True)

    def read_state(self) -> State | None:
        """The last start's record, or None: there was none, or the file is damaged and will be written anew."""
        try:
            return State.from_json(self.state_file.read_text())
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write_state(self, state: State) -> None:
        """Replace the record; a reader sees the old one or the new one, whole."""
        partial = self.state_file.with_suffix(".partial")
        partial.write_text(state.to_json())
        partial.replace(self.state_file)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One `up` or `down` at a time; a second one waits for the first."""
        self.create()
        with (self.root / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def claim(self) -> int:
        """Become this home's only supervisor, for as long as the process lives; returns the descriptor to keep.

        Raises LocalCloudError, with the pid, when there is a supervisor already.
        """
        descriptor = os.open(self.root / "supervisor.pid", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 32).decode().strip()
            raise LocalCloudError(
                f"process {pid} runs in {self.root} already, but state.json does not tell so (was it damaged?): "
                f"end it with `kill {pid}` and try again"
            ) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return descriptor
