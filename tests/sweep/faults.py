"""Every call that leaves a process, numbered, and one of them struck by a fault.

A call is a client's whole call, with what its own retries make of it: the second `s3.PutObject` of a plan. Numbers
count each operation on each kind of object by itself, so that they stay the same whatever another thread does.
"""

from __future__ import annotations

import json
import os
import re
import signal
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import botocore.endpoint
from botocore.exceptions import ReadTimeoutError

from tests.sweep import answers

# What strikes a call once is met by the client's own retries; what lasts strikes those as well, until the step itself
# has to deal with it. Faults of one process end with it: the next try is not struck.
KILLS = ("killed-before", "killed-after")
AWS_FAULTS = (
    *KILLS,
    "throttled-once",
    "throttled",
    "failed-once",  # HTTP 500, no effect
    "failed",
    "unanswered-once",  # takes effect, and the client never hears of it
    "unanswered",
)
# The answer's body breaks off: only where there is one, and no client tries that again.
S3_READ_FAULTS = (*AWS_FAULTS, "cut-off")
# An SMTP client has no retries: 4xx, a connection that drops before the command, and one that drops after it.
SMTP_FAULTS = (*KILLS, "throttled", "failed", "unanswered")
SMTP_COMMANDS = ("connect", "ehlo", "mail", "rcpt", "data", "quit")
_LONGEST_WAIT = 0.01  # seconds


@dataclass(frozen=True)
class Call:
    """A call of one process: the operation, what kind of thing it is about, and which of such calls it is (from 1)."""

    operation: str
    about: str
    ordinal: int

    def __str__(self) -> str:
        return " ".join(filter(None, (self.operation, self.about, str(self.ordinal))))

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults that can strike it."""
        service = self.operation.partition(".")[0]
        if service in {"smtp", "airflow"}:
            return SMTP_FAULTS if service == "smtp" else KILLS
        return S3_READ_FAULTS if self.operation == "s3.GetObject" else AWS_FAULTS


@dataclass(frozen=True)
class Fault:
    """What happens to a call."""

    call: Call
    kind: str

    @classmethod
    def from_json(cls, text: str) -> Fault:
        """The inverse of `to_json`."""
        data = json.loads(text)
        return cls(Call(**data["call"]), data["kind"])

    def to_json(self) -> str:
        """As a file can carry it to another process."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Journal:
    """What a process did, kept in a file: it outlives the process."""

    path: Path

    def add(self, call: Call, *, struck: bool) -> None:
        """Take a call down, before it does anything."""
        line = json.dumps(asdict(call) | {"struck": struck}) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, line.encode())
        os.close(descriptor)

    def calls(self) -> list[Call]:
        """All calls so far."""
        return [Call(line["operation"], line["about"], line["ordinal"]) for line in self._lines()]

    def struck(self) -> bool:
        """Whether the fault has found its call."""
        return any(line["struck"] for line in self._lines())

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []


class Wire:
    """Stands between this process and the world. Call `install` once, before anything is sent."""

    def __init__(self, journal: Journal, fault: Fault | None) -> None:
        self._journal, self._fault = journal, fault
        self._numbers: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._current = threading.local()

    def install(self) -> None:
        """Put this wire where botocore and smtplib send."""
        endpoint: Any = botocore.endpoint.Endpoint
        endpoint.make_request = self._counted(endpoint.make_request)
        endpoint._send = self._struck(endpoint._send)
        botocore.endpoint.time = _Impatient()
        for command in SMTP_COMMANDS:
            setattr(smtplib.SMTP, command, self._smtp(command, getattr(smtplib.SMTP, command)))

    @contextmanager
    def mortal(self, operation: str, about: str) -> Iterator[None]:
        """A call of another kind that the process may die before or after."""
        kind = self._enter(operation, about)
        if kind == "killed-before":
            die()
        yield
        if kind == "killed-after":
            die()

    def _enter(self, operation: str, about: str) -> str | None:
        with self._lock:
            self._numbers[operation, about] += 1
            call = Call(operation, about, self._numbers[operation, about])
            struck = self._fault is not None and call == self._fault.call
            self._journal.add(call, struck=struck)
        return self._fault.kind if self._fault and struck else None

    def _counted(self, make_request: Callable[..., Any]) -> Callable[..., Any]:
        def counted(endpoint: Any, model: Any, request: dict[str, Any]) -> Any:
            service: str = model.service_model.service_name
            before = getattr(self._current, "strike", None)
            self._current.strike = _Strike(service, self._enter(f"{service}.{model.name}", _about(service, request)))
            try:
                return make_request(endpoint, model, request)
            finally:
                self._current.strike = before

        return counted

    def _struck(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def struck(endpoint: Any, request: Any) -> Any:
            strike: _Strike = self._current.strike
            return strike.through(request, lambda: send(endpoint, request))

        return struck

    def _smtp(self, command: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def command_(server: Any, *arguments: Any, **options: Any) -> Any:
            kind = self._enter(f"smtp.{command}", "")
            if kind in {None, "killed-after", "unanswered"}:
                answer = original(server, *arguments, **options)
                return answer if kind is None else _interrupt(server, kind)
            if kind == "throttled":
                return 421 if command in {"connect", "ehlo"} else 451, b"4.7.0 come back later"
            return _interrupt(server, str(kind))

        return command_


@dataclass
class _Strike:
    """What happens to the requests of one call to AWS; `kind` None: nothing."""

    service: str
    kind: str | None
    sent: int = 0

    def through(self, request: Any, send: Callable[[], Any]) -> Any:
        self.sent += 1
        if self.kind is None or (self.kind.endswith("-once") and self.sent > 1):
            return send()
        kind = self.kind.removesuffix("-once")
        if kind == "killed-before":
            die()
        if kind in {"throttled", "failed"}:
            return answers.refusal(self.service, kind, request)
        answer = send()
        if kind == "killed-after":
            die()
        if kind == "cut-off":
            return answers.cut_off(answer)
        raise ReadTimeoutError(endpoint_url=request.url)


class _Impatient:
    """`time`, for a client that need not wait between its retries: nobody else uses this server."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, _LONGEST_WAIT))


def die() -> None:
    """End this process as the kernel does when memory runs out: no handler, no `finally`, no word."""
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def _interrupt(server: Any, kind: str) -> Any:
    if kind.startswith("killed"):
        die()
    server.close()
    raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")


def _about(service: str, request: dict[str, Any]) -> str:
    """The key, without what is a run's or a try's own in it."""
    if service != "s3":
        return ""
    key = re.sub(r"mnist_model_\d{8}_\d{6}", "mnist_model_*", str(request["url_path"]).lstrip("/"))
    key = re.sub(r"(?<=/)\d+\.json$", "*.json", key) if "/attempts/" in key else key
    return re.sub(r"^runs/(?!names/)[^/]+/", "runs/*/", re.sub(r"[0-9a-f]{64}", "*", key))
