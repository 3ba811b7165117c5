"""From rounds of measurements to ratios with their spread, a table, and a description of the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Usage

Rounds = Sequence[Mapping[str, Usage]]


@dataclass(frozen=True)
class Ratio:
    """How many times as much as ours another one took: median and quartiles of the rounds' own ratios."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def ratio(rounds: Rounds, other: str, ours: str, field: str = "cpu") -> Ratio:
    """The ratio of `other` to `ours` in one figure (`cpu`, `wall`), over the rounds in which both were measured."""
    both = [(usage[other], usage[ours]) for usage in rounds if other in usage and ours in usage]
    ratios = [getattr(a, field) / getattr(b, field) for a, b in both]
    low, median, high = np.percentile(ratios, [25, 50, 75])
    return Ratio(median=float(median), low=float(low), high=float(high))


def median(rounds: Rounds, name: str, field: str) -> float:
    """The median of one figure of a contender (`cpu`, `wall` or `peak_mb`)."""
    return float(np.median([getattr(usage[name], field) for usage in rounds if name in usage]))


def names(rounds: Rounds) -> list[str]:
    """Who was measured, in the order in which they were."""
    return list(rounds[0])


def table(rounds: Rounds, labels: Mapping[str, str], ours: str, *, memory: bool) -> Iterator[str]:
    """Lines of Markdown, one for each contender."""
    yield "| | CPU s | wall s | " + ("peak MB | " if memory else "") + "CPU s / ours (quartiles) |"
    yield "|---|--:|--:|" + ("--:|" if memory else "") + "---|"
    for name in names(rounds):
        seconds = f"{median(rounds, name, 'cpu'):.3f} | {median(rounds, name, 'wall'):.3f}"
        peak = f" {median(rounds, name, 'peak_mb'):.0f} |" if memory else ""
        yield f"| {labels[name]} | {seconds} |{peak} {'1' if name == ours else ratio(rounds, name, ours)} |"


def details(rounds: Rounds) -> list[dict[str, Any]]:
    """Everything that was measured, as plain JSON values."""
    return [{name: asdict(used) for name, used in usage.items()} for usage in rounds]


def machine() -> dict[str, Any]:
    """Where and with what this is measured; `load` tells how much else the machine has to do."""
    models = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    return {
        "cpu": ", ".join(sorted(models)) or platform.machine(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "tensorflow": _version("tensorflow-cpu") or _version("tensorflow"),
        "keras": _version("keras"),
        "numpy": _version("numpy"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError:
        return ""
