"""What a container wrote, line by line, for readers who come early, late or never."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

STDOUT = 1
STDERR = 2
# Docker's own limit for one log message; a longer line arrives in pieces.
MAX_LINE_BYTES = 16 * 1024


@dataclass(frozen=True)
class Line:
    """One line of output, its newline included, and the stream that it came from."""

    stream: int
    data: bytes

    def frame(self) -> bytes:
        """The line in Docker's multiplexed format: stream, three zero bytes, length (big endian), payload."""
        return struct.pack(">BxxxL", self.stream, len(self.data)) + self.data


class Log:
    """Lines in the order of their arrival, kept in memory until the container is removed."""

    def __init__(self, streams: int) -> None:
        self._lines: list[Line] = []
        self._open_streams = streams
        self._changed = threading.Condition()
        self._followed = False
        self._read_to_end = False

    def copy_from(self, source: IO[bytes] | None, stream: int) -> None:
        """Take in every line of a pipe until its other end is closed."""
        with source or io.BytesIO() as pipe:
            while data := pipe.readline(MAX_LINE_BYTES):
                self._append(Line(stream, data))
        with self._changed:
            self._open_streams -= 1
            self._changed.notify_all()

    def read(self, *, follow: bool) -> Iterator[Line]:
        """All lines so far; with `follow` also those to come, until every stream is closed."""
        position = 0
        with self._changed:
            self._followed = self._followed or follow
        while batch := self._next_lines(position, wait=follow):
            yield from batch
            position += len(batch)
        with self._changed:
            self._read_to_end = self._read_to_end or self._is_complete()
            self._changed.notify_all()

    def wait_complete(self, seconds: float | None = None) -> bool:
        """Wait until every stream is closed."""
        with self._changed:
            return self._changed.wait_for(self._is_complete, seconds)

    def wait_read(self, seconds: float) -> None:
        """Wait until somebody has read everything to the end, but no longer than that."""
        with self._changed:
            self._changed.wait_for(lambda: self._read_to_end, seconds)

    def was_followed(self) -> bool:
        """Whether somebody has come to read to the end, there already or not."""
        with self._changed:
            return self._followed

    def was_read(self) -> bool:
        """Whether somebody has read everything to the end."""
        with self._changed:
            return self._read_to_end

    def _next_lines(self, position: int, *, wait: bool) -> list[Line]:
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: position < len(self._lines) or self._is_complete())
            return self._lines[position:]

    def _append(self, line: Line) -> None:
        with self._changed:
            self._lines.append(line)
            self._changed.notify_all()

    def _is_complete(self) -> bool:
        return self._open_streams == 0
