"""Fetch one file by http, https or file URL, with bounds on its size and on the time."""

from __future__ import annotations

import threading
import time
import urllib.request
from concurrent.futures import Future
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, urlsplit

from mnist_tasks.dataset.timeouts import DEFAULT_TIMEOUTS, Timeouts
from mnist_tasks.errors import ConfigurationError, DataError, MnistError, NotFoundError, TemporaryError

_CHUNK = 1 << 20
# What asks to be tried again later: https://www.rfc-editor.org/rfc/rfc9110#section-15 and RFC 6585
_PASSING_STATUS = {408, 425, 429}
_USE_OTHER = "set MNIST_DATASET_URL (or that of your classifier) to another place that serves the file"


def fetch(url: str, *, limit: int, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> bytes:
    """The whole content behind `url`, unchecked.

    Args:
        url: http, https (redirects are followed, to these two only) or file, on this machine.
        limit: The most bytes that are read.
        timeouts: How long to wait.

    Raises:
        TemporaryError: the server is unreachable, silent or slow, broke off, or has a fault that may pass.
        NotFoundError: there is no such file.
        ConfigurationError: the URL cannot be used, or the server refuses it.
        DataError: the content is larger than `limit`.
    """
    parts = _parsed(url)
    if parts.scheme == "file":
        return _read_file(parts, limit)
    if parts.scheme not in {"http", "https"}:
        raise ConfigurationError(f"{printable(url)} is no http, https or file URL", mend=_USE_OTHER)
    if "@" in parts.netloc:
        raise ConfigurationError(
            f"{printable(url)} is given with a user or password, which is not sent", mend=_USE_OTHER
        )
    try:
        with _answer(url, timeouts) as response:
            return _read(response, printable(url), limit, time.monotonic() + timeouts.download)
    except HTTPError as error:
        raise _from_status(printable(url), error) from error
    except URLError as error:
        raise _unreachable(printable(url), error.reason) from error
    except InvalidURL:  # its text may repeat the query
        raise ConfigurationError(
            f"{printable(url)} has a port or a character that no URL may have", mend=_USE_OTHER
        ) from None
    except (HTTPException, OSError) as error:
        raise _unreachable(printable(url), error) from error


def printable(url: str) -> str:
    """`url` for messages and records: without user, password and query, which may be secrets (signed URLs)."""
    parts = _parsed(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _parsed(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(
            f"MNIST_DATASET_URL (or another classifier's) is no URL: {error}", mend=_USE_OTHER
        ) from None


def _answer(url: str, timeouts: Timeouts) -> HTTPResponse:
    """Open `url`, or give up after `timeouts.answer`.

    Nothing else bounds this: a resolver has its own patience, and where packets are dropped each of a name's addresses
    (a large service has twenty) is tried for the whole time-out. So a thread waits, and is left alone if it takes long.
    """
    answer: Future[HTTPResponse] = Future()

    def wait() -> None:
        try:
            answer.set_result(_opener().open(url, timeout=timeouts.silence))
        except Exception as error:  # noqa: BLE001 - `result` raises it again
            answer.set_exception(error)

    threading.Thread(target=wait, daemon=True).start()
    try:
        return answer.result(timeouts.answer)
    except TimeoutError as error:
        raise URLError(str(error) or f"no answer within {timeouts.answer:g} s") from error


def _opener() -> urllib.request.OpenerDirector:
    """As `urllib.request.build_opener`, less the handlers of `file:`, `ftp:` and `data:`: no redirect leads there."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _read(response: HTTPResponse, url: str, limit: int, deadline: float) -> bytes:
    announced = response.length
    if announced is not None and announced > limit:
        raise _too_large(url, f"{announced:,}", limit)
    body = bytearray()
    # `read1` returns what one packet brought, so that a server that trickles cannot outwait the deadline.
    while chunk := response.read1(_CHUNK):
        body += chunk
        if len(body) > limit:
            raise _too_large(url, "more", limit)
        if time.monotonic() > deadline:
            raise TemporaryError(f"{url} is too slow: {len(body):,} bytes until the time was up", mend=_USE_OTHER)
    if announced is not None and len(body) < announced:
        raise TemporaryError(f"{url} broke off after {len(body):,} of {announced:,} bytes", mend="run the step again")
    return bytes(body)


def _read_file(parts: SplitResult, limit: int) -> bytes:
    path = Path(urllib.request.url2pathname(parts.path))
    if parts.netloc not in {"", "localhost"} or not path.is_absolute():
        raise ConfigurationError(
            f"{parts.geturl()} is no file on this machine", mend="write it as file:///absolute/path/mnist.npz"
        )
    try:
        with path.open("rb") as file:
            body = file.read(limit + 1)
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}", mend="place it there, or set MNIST_DATASET_URL anew") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", mend="make it a readable file") from error
    if len(body) > limit:
        raise _too_large(str(path), "more", limit)
    return body


def _too_large(what: str, size: str, limit: int) -> DataError:
    return DataError(
        f"{what} holds {size} bytes, expected at most {limit:,}",
        mend="check that it is the data set's file (MNIST: mnist.npz) and nothing else",
    )


def _from_status(url: str, error: HTTPError) -> MnistError:
    problem = f"{url} answered {error.code} {error.reason}"
    if error.code in _PASSING_STATUS or error.code >= 500:
        return TemporaryError(problem, mend="run the step again later")
    if error.code in {404, 410}:
        return NotFoundError(problem, mend=_USE_OTHER)
    return ConfigurationError(problem, mend=_USE_OTHER)


def _unreachable(url: str, reason: object) -> TemporaryError:
    return TemporaryError(f"{url} cannot be reached: {reason}", mend="check network and proxy, or " + _USE_OTHER)
