"""Where the one-machine cloud listens and what runs its containers; by default this machine alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Listening:
    """The address of the endpoint and of the mail server, and their ports (0: the kernel picks one, once).

    Anything but loopback is for the inside of a container, whose published ports are the limit then.
    """

    address: str = LOOPBACK
    aws_port: int = 0
    smtp_port: int = 0


@dataclass(frozen=True)
class DockerEngine:
    """A real engine in the place of child processes.

    Attributes:
        url: of the engine's API, e.g. unix:///var/run/docker.sock.
        network: what tasks are connected to; `host` where this process runs on the engine's own host.
        endpoint: where they reach AWS there; empty: the same address as everybody on this host.
    """

    url: str
    network: str = "host"
    endpoint: str = ""


@dataclass(frozen=True)
class Surroundings:
    """All of it; a cloud that runs in others is started anew.

    With `recording`, every request of a role is noted in `calls.jsonl` of the home (`localcloud.front.calls`).
    """

    listening: Listening = Listening()
    engine: DockerEngine | None = None
    recording: bool = False

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Surroundings:
        """The inverse of `to_dict`."""
        engine = data["engine"]
        return cls(Listening(**data["listening"]), DockerEngine(**engine) if engine else None, data["recording"])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)
