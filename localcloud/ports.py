"""Choose TCP ports."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from localcloud.errors import LocalCloudError
from localcloud.home import Ports
from localcloud.surroundings import LOOPBACK, Listening


def choose(previous: Ports | None, listening: Listening) -> Ports:
    """The ports that are asked for, else those of the last start where they are still free, else the kernel's choice.

    Raises:
        LocalCloudError: a port that is asked for is taken.
    """
    with ExitStack() as held:  # until all are chosen, or two of them might be one
        return Ports(
            aws=_choose_one(held, listening.address, listening.aws_port, previous.aws if previous else 0),
            smtp=_choose_one(held, listening.address, listening.smtp_port, previous.smtp if previous else 0),
            emulator=_choose_one(held, LOOPBACK, 0, previous.emulator if previous else 0),
        )


def is_open(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        probe.settimeout(30)  # where nothing listens, the kernel refuses at once
        return probe.connect_ex((LOOPBACK, port)) == 0


def _choose_one(held: ExitStack, address: str, asked: int, last: int) -> int:
    try:
        return _bind(held, address, asked or last)
    except OSError as error:
        if asked:
            raise LocalCloudError(f"cannot listen on {address}:{asked}: {error.strerror}") from error
        return _bind(held, address, 0)


def _bind(held: ExitStack, address: str, port: int) -> int:
    probe = held.enter_context(socket.socket())
    # As the servers do: a port whose last connections are still in TIME_WAIT is free.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind((address, port))
    bound: int = probe.getsockname()[1]
    return bound
