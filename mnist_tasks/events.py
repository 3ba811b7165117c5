"""What a container tells: one event a line on stdout, in JSON for machines, as sentences on a terminal.

`time`, `level`, `event` and `message` (the sentence) are in each line, and whatever the container is about: its run,
and its candidate or action. An error has `error` (its type), `mend`, and `traceback` if nobody foresaw it. CloudWatch
turns the figures of an event into metrics by itself (embedded metric format), Logs Insights can query every field:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

Two things cannot be told this way: what C code writes, and where a container was when its time was up (faulthandler).
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mnist_tasks.errors import MEND, MnistError

# Where a container does not say which classifier it is about.
NAMESPACE: Final = "mnist"
_UNITS = {
    "seconds": "Seconds",
    "training_seconds": "Seconds",
    "images_per_second": "Count/Second",
    "peak_memory_mb": "Megabytes",
    "promoted": "Count",
    "released": "Count",
}
_LOGGER = logging.getLogger("mnist")
_LONGEST = 100  # of what a container says it is about: that comes before anything was checked


def start(**about: str) -> None:
    """Have this process tell its events, and what libraries warn of; `about` goes into each line."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Sentences() if sys.stdout.isatty() else JsonLines(about))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
    _LOGGER.setLevel(logging.INFO)


def tell(event: str, message: str, *, figures: Mapping[str, float] | None = None, **fields: Any) -> None:
    """Something happened. `figures` become fields and metrics, `fields` are plain JSON."""
    _LOGGER.info(message, extra={"event": event, "fields": fields, "figures": figures or {}})


def warn(event: str, message: str) -> None:
    """Something went wrong that the work survives."""
    _LOGGER.warning(message, extra={"event": event})


def fail(error: Exception) -> None:
    """What ends the container: an expected failure with its cure, any other one with its traceback."""
    kind = {"error": type(error).__name__}
    if isinstance(error, MnistError):
        _LOGGER.error(error.problem, extra={"event": "failed", "fields": kind | {"mend": error.mend}})
    else:
        _LOGGER.error(repr(error), extra={"event": "failed", "fields": kind}, exc_info=error)


class JsonLines(logging.Formatter):
    """A record as one line of JSON; a library's is an event under its logger's name.

    Run and candidate are fields and no dimensions: each pair would be a metric of its own, and be billed as one.
    """

    def __init__(self, about: Mapping[str, str]) -> None:
        super().__init__()
        self._about = {name: value[:_LONGEST] for name, value in about.items()}

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        figures: Mapping[str, float] = getattr(record, "figures", {})
        line: dict[str, Any] = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")}
        line |= {**_told(record, self.formatException), **self._about, **figures}
        if figures:
            # One for each classifier: MNIST's alarms must not ring for another one.
            line["_aws"] = _directive(figures, record.created, self._about.get("classifier", NAMESPACE))
        return json.dumps(line)


class Sentences(logging.Formatter):
    """A record for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The sentence, and what else a person needs of it."""
        return _in_words(_told(record, self.formatException))


def _told(record: logging.LogRecord, traceback: Any) -> dict[str, Any]:
    told = {"level": record.levelname.lower(), "event": getattr(record, "event", record.name)}
    told |= {"message": record.getMessage()} | getattr(record, "fields", {})
    return told | ({"traceback": traceback(record.exc_info)} if record.exc_info else {})


def _directive(figures: Mapping[str, float], seconds: float, namespace: str) -> dict[str, Any]:
    metrics = [{"Name": name, "Unit": _UNITS.get(name, "None")} for name in figures]
    return {
        "Timestamp": int(seconds * 1000),
        "CloudWatchMetrics": [{"Namespace": namespace, "Dimensions": [[]], "Metrics": metrics}],
    }


def read(line: str) -> dict[str, Any] | None:
    """The event in a line of a container's log; None where that is something else."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("message"), str) else None


def sentence(line: str) -> str:
    """A line of a container's log, for people."""
    event = read(line)
    return _in_words(event) if event else line


def _in_words(event: Mapping[str, Any]) -> str:
    lines = [("error: " if event.get("level") == "error" else "") + event["message"]]
    if event.get("mend"):
        lines.append(f"{MEND}{event['mend']}")
    if event.get("traceback"):
        lines.append(str(event["traceback"]))
    return "\n".join(lines)
