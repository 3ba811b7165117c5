"""HTTP/1.1 as far as a server has to understand it that hands most requests on, byte for byte."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BufferedReader
from typing import Any

# The emulator's own limit is of this size; a longer head is no request of an AWS client.
MAX_HEAD_BYTES = 64 * 1024
CHUNK_BYTES = 256 * 1024


class BadRequestError(ValueError):
    """What came is not HTTP/1.1; the connection cannot be used any more."""


@dataclass(frozen=True)
class Head:
    """A request's line and headers. `raw` is what came, the empty line included; names in `headers` are lower case."""

    raw: bytes = field(repr=False)
    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def is_json(self) -> bool:
        """Whether the body is an AWS request in JSON, and nobody's object."""
        return self.headers.get("content-type", "").startswith("application/x-amz-json")

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body."""
        return self.headers.get("expect", "").lower() == "100-continue"


@dataclass(frozen=True)
class Answer:
    """A complete answer with a JSON body."""

    status: int
    value: Any

    def encode(self) -> bytes:
        """The answer as it travels."""
        body = json.dumps(self.value).encode()
        lines = (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            "Content-Type: application/x-amz-json-1.1",
            f"Content-Length: {len(body)}",
            f"x-amzn-RequestId: {uuid.uuid4()}",
            "",
            "",
        )
        return "\r\n".join(lines).encode() + body


def read_head(stream: BufferedReader) -> Head | None:
    """The next request's head; None at the end of the stream. Raises BadRequestError."""
    lines: list[bytes] = []
    size = 0
    while True:
        line = stream.readline(MAX_HEAD_BYTES)
        size += len(line)
        if not line.endswith(b"\n") or size > MAX_HEAD_BYTES:
            if not size:
                return None
            raise BadRequestError(f"a head of {size} bytes that does not end")
        lines.append(line)
        if line in (b"\r\n", b"\n"):
            return _parse(lines)


def body_of(head: Head, stream: BufferedReader) -> Iterator[bytes]:
    """The body in pieces, as it travels: a chunked one keeps its chunk sizes. Raises BadRequestError, OSError."""
    if "chunked" in head.headers.get("transfer-encoding", "").lower():
        yield from _chunked(stream)
    else:
        length = head.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise BadRequestError(f"Content-Length: {length}")
        yield from _exactly(stream, int(length))


def read_body(head: Head, stream: BufferedReader, send: Callable[[bytes], object]) -> bytes:
    """The whole body. `send` reaches the client, who may wait for a word before it sends one."""
    if "transfer-encoding" in head.headers:
        raise BadRequestError("a chunked body where every AWS client sends a Content-Length")
    if head.expects_continue:
        send(b"HTTP/1.1 100 Continue\r\n\r\n")
    return b"".join(body_of(head, stream))


def _parse(lines: list[bytes]) -> Head:
    try:
        method, path, _version = lines[0].decode("latin-1").split()
    except ValueError:
        raise BadRequestError(f"not a request line: {lines[0][:100]!r}") from None
    pairs = (line.decode("latin-1").partition(":") for line in lines[1:-1])
    headers = {name.strip().lower(): value.strip() for name, _colon, value in pairs}
    return Head(b"".join(lines), method, path, headers)


def _exactly(stream: BufferedReader, size: int) -> Iterator[bytes]:
    while size:
        piece = stream.read1(min(size, CHUNK_BYTES))
        if not piece:
            raise BadRequestError(f"the body ended {size} bytes early")
        size -= len(piece)
        yield piece


def _chunked(stream: BufferedReader) -> Iterator[bytes]:
    # RFC 9112, section 7.1: size line, data and line end for each chunk; after the chunk of size 0, trailers.
    while True:
        line = stream.readline(MAX_HEAD_BYTES)
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise BadRequestError(f"not a chunk size: {line[:100]!r}") from None
        yield line
        if not size:
            break
        yield from _exactly(stream, size + 2)
    while line not in (b"\r\n", b"\n", b""):
        line = stream.readline(MAX_HEAD_BYTES)
        yield line
