"""`make soak`: a year of nights, then what has grown; writes build/soak.json.

    python -m tests.soak [--nights 365] [--ready-weights] [--anew]

Stopped, it goes on where it was: nights, bucket and mails are kept in build/soak. Exit status 0: nothing that is ours
grows. Linux only, as it looks into /proc.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import localcloud
from benchmarks.data import mnist_file
from benchmarks.ratios import machine
from tests.container import ROOT
from tests.soak.nights import Night, Place, Taken, images
from tests.soak.trends import Trend, flat, trends
from tests.soak.usage import Holding

FOLDER = ROOT / "build" / "soak"
OUTPUT = ROOT / "build" / "soak.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the nights that are missing, judge all of them."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # so that what was started is stopped
    if options.anew:
        _remove(options.folder)
    record = Record(options.folder, ready_weights=options.ready_weights)
    nights = record.read()
    if len(nights) < options.nights:
        with place(options.folder, ready_weights=options.ready_weights) as here:
            for number in range(len(nights) + 1, options.nights + 1):
                interrupted = record.begin(number)
                started = time.monotonic()
                nights.append(here.night(number, interrupted=interrupted))
                record.add(nights[-1])
                _print_night(nights[-1], options.nights, time.monotonic() - started)
    found = trends(nights)
    _print_trends(found)
    verdict = "flat" if flat(found) else "grows"
    result = {
        "nights": len(nights),
        "training": "replaced by ready weights" if options.ready_weights else "real",
        "verdict": verdict,
        "trends": [asdict(trend) for trend in found],
        "machine": machine(),
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{len(nights)} nights: {verdict}; {options.output} written")
    return 0 if verdict == "flat" else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make soak", description="A year of nights: does anything grow?")
    parser.add_argument("--nights", type=int, default=365, help="how many in all (%(default)s)")
    parser.add_argument(
        "--ready-weights",
        action="store_true",
        help="train on the first night only, then commit its weights, a little changed: for trying out",
    )
    parser.add_argument("--anew", action="store_true", help="forget the nights so far")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where it keeps its state (%(default)s)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="(%(default)s)")
    return parser


def _remove(folder: Path) -> None:
    localcloud.down(folder / "cloud")
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def place(folder: Path, *, ready_weights: bool) -> Iterator[Place]:
    """The account with what earlier nights left in it, and the Airflow home; the account is stopped afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "ready.weights.h5" if ready_weights else None
    try:
        here = Place(folder, localcloud.up(folder / "cloud", images(folder, weights)))
        here.enter(mnist_file())
        yield here
    finally:
        localcloud.down(folder / "cloud")


class Record:
    """The nights so far, a line of JSON each, and which one was begun last."""

    def __init__(self, folder: Path, *, ready_weights: bool) -> None:
        self._nights, self._begun = folder / "nights.jsonl", folder / "begun.json"
        self._ready = ready_weights

    def read(self) -> list[Night]:
        """Raises SystemExit when they are of the other kind: nights that trained, and nights that did not."""
        lines = self._nights.read_text().splitlines() if self._nights.exists() else []
        if lines and json.loads(self._begun.read_text())["ready_weights"] != self._ready:
            other = "without" if self._ready else "with"
            raise SystemExit(
                f"error: the {len(lines)} nights in {self._nights.parent} were run {other} --ready-weights; go on like "
                "that, or begin --anew"
            )
        return [_night(json.loads(line)) for line in lines]

    def begin(self, number: int) -> bool:
        """Note that a night begins; returns whether it had begun before."""
        before = json.loads(self._begun.read_text())["number"] if self._begun.exists() else 0
        self._begun.write_text(json.dumps({"number": number, "ready_weights": self._ready}))
        return bool(before == number)

    def add(self, night: Night) -> None:
        """Keep a night that has ended."""
        with self._nights.open("a") as file:
            file.write(json.dumps(asdict(night)) + "\n")


def _night(values: dict[str, Any]) -> Night:
    steps = {name: Taken(**taken) for name, taken in values["steps"].items()}
    processes = {name: Holding(**held) for name, held in values["processes"].items()}
    return Night(**values | {"steps": steps, "processes": processes})


def _print_night(night: Night, nights: int, seconds: float) -> None:
    calls = sum(sum(step.calls.values()) for step in night.steps.values())
    memory = ", ".join(f"{name} {held.rss_mb:.0f} MB" for name, held in night.processes.items())
    print(f"{night.number:4}/{nights}  {night.outcome:<8}  {seconds:5.1f} s  {calls} S3 calls  {memory}", flush=True)


def _print_trends(found: Sequence[Trend]) -> None:
    print(f"\n{'':34}{'first':>10}{'last':>10}{'a night':>12}  verdict")
    for trend in sorted(found, key=lambda trend: not trend.ours):
        whose = "" if trend.ours else "  (the emulator's)"
        unit = f" {trend.unit}" if trend.unit else ""
        figures = f"{trend.first:>10.3f}{trend.last:>10.3f}{trend.per_night:>+12.5f}"
        print(f"{trend.measure + unit:<34}{figures}  {trend.verdict}{whose}")


if __name__ == "__main__":
    sys.exit(main())
