"""What a container tells, taken down as it would stand in its log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mnist_tasks.events import JsonLines


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def told(formatter: logging.Formatter) -> Iterator[list[str]]:
    """The lines, as they come."""
    lines: list[str] = []
    handler, logger = _Lines(lines), logging.getLogger("mnist")
    handler.setFormatter(formatter)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def told_events(**about: str) -> Iterator[list[dict[str, Any]]]:
    """The events of what is done inside, there afterwards."""
    events: list[dict[str, Any]] = []
    with told(JsonLines(about)) as lines:
        yield events
    events += map(json.loads, lines)


def events_in(log: str) -> list[dict[str, Any]]:
    """The events of a container's output; a line that is none is an error."""
    return [json.loads(line) for line in log.splitlines()]
