"""Choose TCP ports on 127.0.0.1."""

from __future__ import annotations

import socket

from localcloud.home import Ports


def choose(previous: Ports | None) -> Ports:
    """The ports of the last start where they are still free; the others are picked by the kernel."""
    return Ports(
        aws=_choose_one(previous.aws if previous else 0),
        smtp=_choose_one(previous.smtp if previous else 0),
        emulator=_choose_one(previous.emulator if previous else 0),
    )


def is_open(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _choose_one(wanted: int) -> int:
    try:
        return _bind(wanted)
    except OSError:
        return _bind(0)


def _bind(port: int) -> int:
    with socket.socket() as probe:
        # As the servers do: a port whose last connections are still in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        bound: int = probe.getsockname()[1]
        return bound
