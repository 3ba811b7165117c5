"""Containers that start at once: a process that has imported everything forks each of them.

    python -m tests.sweep.warm SOCKET                       the process that forks; ends with its standard input
    python -I -S tests/sweep/warm.py SOCKET WORDS ...       in the image's entry point

The second one hands its arguments, environment and output over, passes SIGTERM on, and ends as its fork ended, be it by
a signal; where it is killed itself, so is the fork. Nothing but the standard library is imported at the top: it starts
in 20 ms, where imports are half of what a promotion takes.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from functools import partial

_NUMBER = 4  # bytes


def ask(path: str, words: list[str]) -> int:
    """Have a fork do it, and end as it ends."""
    server = socket.socket(socket.AF_UNIX)
    server.connect(path)
    wanted = json.dumps({"words": words, "environment": dict(os.environ)}).encode()
    socket.send_fds(server, [_packed(len(wanted))], [0, 1, 2])
    server.sendall(wanted)
    pid = _number(server)
    signal.signal(signal.SIGTERM, lambda number, _frame: os.kill(pid, number))
    status = _number(server)
    if os.WIFSIGNALED(status):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


def serve(path: str) -> None:
    """Fork for everybody who asks, until standard input ends."""
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(path)  # who comes before all is imported waits
        listener.listen()
        _warm_up()
        ready = True

        def end() -> None:
            nonlocal ready
            ready = False

        selector.register(listener, selectors.EVENT_READ, lambda: _start(listener.accept()[0], selector))
        selector.register(sys.stdin, selectors.EVENT_READ, end)
        while ready:
            key, _ = selector.select()[0]  # one at a time: it may do away with others
            key.data()


def _start(client: socket.socket, selector: selectors.BaseSelector) -> None:
    length, outputs, _, _ = socket.recv_fds(client, _NUMBER, 3)
    wanted = json.loads(_read(client, int.from_bytes(length, "big")))
    pid = os.fork()
    if pid == 0:
        _become(wanted["words"], wanted["environment"], outputs)
    for descriptor in outputs:
        os.close(descriptor)
    client.sendall(_packed(pid))
    ended = os.pidfd_open(pid)
    selector.register(client, selectors.EVENT_READ, partial(_kill, client, pid, selector))
    selector.register(ended, selectors.EVENT_READ, partial(_tell, client, pid, ended, selector))


def _kill(client: socket.socket, pid: int, selector: selectors.BaseSelector) -> None:
    """The container's own process is gone. Its fork is there still, or at least nobody has waited for it."""
    selector.unregister(client)
    os.kill(pid, signal.SIGKILL)


def _tell(client: socket.socket, pid: int, ended: int, selector: selectors.BaseSelector) -> None:
    selector.unregister(ended)
    os.close(ended)
    _, status = os.waitpid(pid, 0)
    if client in selector.get_map():
        selector.unregister(client)
        with suppress(OSError):  # it may have been killed just now
            client.sendall(_packed(status))
    client.close()


def _become(words: list[str], environment: dict[str, str], outputs: list[int]) -> None:
    """Turn this fork into the container's process."""
    import random

    from tests.sweep import container

    code = 1
    try:
        for number, descriptor in enumerate(outputs):
            os.dup2(descriptor, number)
        os.environ.clear()
        os.environ.update(environment)
        random.seed()
        code = container.main(words)
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - the container's log is where people look
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _warm_up() -> None:
    import boto3
    from botocore import loaders

    import mnist_tasks.promotion.__main__
    import mnist_tasks.promotion.authority
    import mnist_tasks.promotion.promote
    import mnist_tasks.promotion.release
    import mnist_tasks.promotion.telling  # noqa: F401
    from mnist_tasks import encryption
    from tests.sweep import container  # noqa: F401

    encryption._sdk()
    # What a client reads from disk is the same every time.
    shared = loaders.create_loader()
    loaders.create_loader = lambda _path=None: shared  # type: ignore[assignment]
    for service in ("s3", "kms"):
        boto3.session.Session().client(service, region_name="us-east-1")


def _packed(number: int) -> bytes:
    return number.to_bytes(_NUMBER, "big")


def _number(peer: socket.socket) -> int:
    return int.from_bytes(_read(peer, _NUMBER), "big")


def _read(peer: socket.socket, length: int) -> bytes:
    body = b""
    while len(body) < length:
        chunk = peer.recv(length - len(body))
        if not chunk:
            raise ConnectionError("the other side has ended")
        body += chunk
    return body


if __name__ == "__main__":
    if __package__:
        serve(sys.argv[1])
    else:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
