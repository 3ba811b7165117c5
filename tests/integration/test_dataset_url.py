"""Fetching a file from a real HTTP server that misbehaves in every way that matters."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mnist_tasks.dataset import Timeouts
from mnist_tasks.dataset.url import fetch
from mnist_tasks.errors import ConfigurationError, DataError, MnistError, NotFoundError, TemporaryError

BODY = b"the data set" * 1000
LIMIT = len(BODY)
# Limits that a busy machine keeps as well. Where one is tested, that one alone is short, so no other comes first.
LONG = Timeouts(answer=30.0, silence=30.0, download=30.0, package=30.0)

Answer = Callable[[BaseHTTPRequestHandler], None]
Serve = Callable[[Answer], str]


class Server(ThreadingHTTPServer):
    """Gives the test's `answer` to every GET; `released` ends the answers that dawdle."""

    answer: Answer
    released: threading.Event


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client had enough
            self.server.answer(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        pass


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(answer)` starts to give this answer and returns the URL."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.released = threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()

        def url(answer: Answer) -> str:
            server.answer = answer
            return f"http://127.0.0.1:{server.server_port}/mnist.npz"

        yield url
        server.released.set()
        server.shutdown()
        thread.join()


def whole(handler: BaseHTTPRequestHandler, *, announced: int | None = len(BODY), body: bytes = BODY) -> None:
    handler.send_response(200)
    if announced is not None:
        handler.send_header("Content-Length", str(announced))
    handler.end_headers()
    handler.wfile.write(body)


def redirect(target: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == target:
            whole(handler)
            return
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    return answer


def status(code: int) -> Answer:
    return lambda handler: handler.send_error(code)


def failure(url: str, kind: type[MnistError], timeouts: Timeouts = LONG) -> str:
    with pytest.raises(MnistError) as caught:
        fetch(url, limit=LIMIT, timeouts=timeouts)
    assert type(caught.value) is kind
    assert caught.value.mend
    return caught.value.problem


def test_the_whole_body_is_fetched(serve: Serve) -> None:
    assert fetch(serve(whole), limit=LIMIT) == BODY


def test_a_redirect_to_http_is_followed(serve: Serve) -> None:
    assert fetch(serve(redirect("/elsewhere")), limit=LIMIT) == BODY


@pytest.mark.parametrize("target", ["file://{path}", "ftp://127.0.0.1/mnist.npz", "data:text/plain,x"])
def test_a_redirect_to_another_scheme_is_not_followed(serve: Serve, tmp_path: Path, target: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not for the data set")
    url = serve(redirect(target.format(path=secret)))
    with pytest.raises(MnistError, match=r"302|unknown url type|not allowed"):
        fetch(url, limit=LIMIT, timeouts=LONG)


def test_redirects_without_end_are_given_up(serve: Serve) -> None:
    assert "infinite loop" in failure(serve(redirect("/mnist.npz?")), ConfigurationError)


def test_a_body_that_breaks_off_is_told_from_a_wrong_one(serve: Serve) -> None:
    message = failure(serve(lambda handler: whole(handler, body=BODY[:5000])), TemporaryError)
    assert message.endswith("broke off after 5,000 of 12,000 bytes")


def test_a_body_that_is_announced_too_large_is_not_read(serve: Serve) -> None:
    url = serve(lambda handler: whole(handler, announced=10**12, body=b""))
    assert "holds 1,000,000,000,000 bytes, expected at most 12,000" in failure(url, DataError)


def test_a_body_that_is_too_large_without_saying_so_is_not_read_to_its_end(serve: Serve) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        whole(handler, announced=None)
        while True:
            handler.wfile.write(BODY)

    assert "holds more bytes, expected at most 12,000" in failure(serve(endless), DataError)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (403, ConfigurationError),
        (404, NotFoundError),
        (410, NotFoundError),
        (429, TemporaryError),
        (500, TemporaryError),
        (503, TemporaryError),
    ],
)
def test_a_refusal_is_named_with_its_status_and_retried_only_if_it_may_pass(
    serve: Serve, code: int, kind: type[MnistError]
) -> None:
    assert f"/mnist.npz answered {code} " in failure(serve(status(code)), kind)


def test_a_server_that_never_answers_is_left_after_its_silence(serve: Serve) -> None:
    def silent(handler: BaseHTTPRequestHandler) -> None:
        handler.server.released.wait(20)  # type: ignore[attr-defined]

    started = time.monotonic()
    message = failure(serve(silent), TemporaryError, replace(LONG, silence=0.5))
    assert "cannot be reached: timed out" in message
    assert time.monotonic() - started < 20


def test_a_name_with_many_addresses_that_drop_packets_costs_no_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as crowd:
        address = full.getsockname()
        for _ in range(4):  # fills the queue of connections: from then on the kernel drops them
            client = crowd.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(address)
        found = (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [found] * 20)
        started = time.monotonic()
        # All the addresses together would take 60 s.
        limits = replace(LONG, answer=2.0, silence=3.0)
        assert "no answer within 2 s" in failure("http://mnist.invalid/mnist.npz", TemporaryError, limits)
        assert time.monotonic() - started < 20


def test_a_server_that_trickles_its_headers_is_left_when_the_time_is_up(serve: Serve) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        while not handler.server.released.wait(0.1):  # type: ignore[attr-defined]
            handler.wfile.write(b"x")

    assert "no answer within 2 s" in failure(serve(trickle), TemporaryError, replace(LONG, answer=2.0))


def test_a_server_that_trickles_is_left_when_the_time_is_up(serve: Serve) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        whole(handler, body=b"")
        for byte in BODY:
            handler.wfile.write(bytes([byte]))
            if handler.server.released.wait(0.05):  # type: ignore[attr-defined]
                return

    started = time.monotonic()
    assert "is too slow" in failure(serve(trickle), TemporaryError, replace(LONG, download=1.0))
    assert time.monotonic() - started < 20  # the whole body would take ten minutes


def test_something_that_is_no_http_is_named(serve: Serve) -> None:
    def nonsense(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"220 mail.example.com ESMTP\r\n")

    assert "cannot be reached: 220 mail.example.com" in failure(serve(nonsense), TemporaryError)


def test_a_port_where_nothing_listens_is_named(closed_port: int) -> None:
    message = failure(f"http://127.0.0.1:{closed_port}/mnist.npz", TemporaryError)
    assert message == f"http://127.0.0.1:{closed_port}/mnist.npz cannot be reached: [Errno 111] Connection refused"


def test_an_unknown_host_is_named_within_the_bounds_of_the_resolver() -> None:
    message = failure("http://mnist.invalid/mnist.npz", TemporaryError, replace(LONG, answer=2.0))
    assert "http://mnist.invalid/mnist.npz cannot be reached" in message


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:{port}/mnist.npz?X-Amz-Signature=hunter2", TemporaryError),
        ("http://127.0.0.1:{port}/mnist.npz?X-Amz-Signature=hunter2 and more", ConfigurationError),
        ("http://user:hunter2@127.0.0.1:{port}/mnist.npz", ConfigurationError),
        ("http://user:hunter2@127.0.0.1/mnist.npz", ConfigurationError),
    ],
)
def test_secrets_in_the_url_stay_out_of_messages(closed_port: int, url: str, kind: type[MnistError]) -> None:
    assert "hunter2" not in failure(url.format(port=closed_port), kind)


def test_a_file_url_reads_a_file_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "my mnist.npz"
    path.write_bytes(BODY)
    assert fetch(path.as_uri(), limit=LIMIT) == BODY


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"there is no file {tmp_path / 'none'}" in failure((tmp_path / "none").as_uri(), NotFoundError)


def test_a_file_that_is_too_large_is_not_read_to_its_end() -> None:
    assert failure("file:///dev/zero", DataError) == "/dev/zero holds more bytes, expected at most 12,000"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file://server/share/mnist.npz", "is no file on this machine"),
        ("file:///", "/ cannot be read: Is a directory"),
        ("ftp://127.0.0.1/mnist.npz", "is no http, https or file URL"),
        ("mnist.npz", "is no http, https or file URL"),
        ("http://[::1/mnist.npz", "MNIST_DATASET_URL (or another classifier's) is no URL: Invalid IPv6 URL"),
        ("http://127.0.0.1:port/mnist.npz", "has a port or a character that no URL may have"),
    ],
)
def test_a_url_that_cannot_be_used_is_a_matter_of_configuration(url: str, message: str) -> None:
    assert message in failure(url, ConfigurationError)
