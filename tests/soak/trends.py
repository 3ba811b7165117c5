"""From the figures of many nights to a verdict on each measure. Pure.

A measure is flat if the median of the last nights is at most so much above that of the first ones as its tolerance
allows; a slope by Theil and Sen (the median over all pairs of nights, https://doi.org/10.1007/978-94-011-2546-8_20)
says how much it gained in a night. S3 calls have no tolerance: nights that came to the same outcome made the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tests.soak.nights import Night

ENDS = 30
# Seconds of a step are those of a machine that has other things to do; what it computes has less excuse.
SECONDS, CPU, MEMORY, DESCRIPTORS = 0.25, 0.15, 0.05, 0.0
GOOD = ("constant", "flat")
# Below this, a ratio of times would be that of the clock's and the scheduler's grain.
_GRAIN_SECONDS = 0.05
# A process has filled its pools and caches by then (of fewer nights, in a third of them).
_WARM = 30
_FIRST = 2  # Of the first night, the data set is downloaded and there is no champion.


@dataclass(frozen=True)
class Trend:
    """One measure over the nights. `ours` tells what the project answers for from what a development tool does."""

    measure: str
    unit: str
    first: float
    last: float
    per_night: float
    tolerance: float | None
    verdict: str
    ours: bool = True


def trends(nights: Sequence[Night]) -> list[Trend]:
    """Every measure's trend; nights that had been interrupted, and the first one, are left out."""
    counted = [night for night in nights if night.number >= _FIRST and not night.interrupted]
    return [*_steps(counted), *_calls(counted), *_processes(counted), *_bucket(counted)]


def flat(found: Sequence[Trend]) -> bool:
    """Whether nothing that is ours grows or varies."""
    return all(trend.verdict in GOOD for trend in found if trend.ours)


def _steps(nights: Sequence[Night]) -> Iterator[Trend]:
    names = list(dict.fromkeys(name for night in nights for name in night.steps))
    for name in names:
        taken = [(night.number, night.steps[name]) for night in nights if name in night.steps]
        numbers = [number for number, _ in taken]
        # Training is a container's time; what its step does meanwhile is to look whether it is over.
        if not name.startswith("train"):
            yield _trend(f"{name}: time", "s", numbers, [step.seconds for _, step in taken], SECONDS, _GRAIN_SECONDS)
            yield _trend(f"{name}: CPU", "s", numbers, [step.cpu_seconds for _, step in taken], CPU, _GRAIN_SECONDS)


def _calls(nights: Sequence[Night]) -> Iterator[Trend]:
    """The calls of a step that came to the same outcome are compared with each other."""
    groups: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for night in nights:
        for name, step in night.steps.items():
            outcome = f" ({night.outcome})" if name == "promote" else ""
            groups.setdefault((name, outcome), []).append((night.number, sum(step.calls.values())))
    for (name, outcome), counts in groups.items():
        numbers, calls = zip(*counts, strict=True)
        yield _trend(f"{name}{outcome}: S3 calls", "", numbers, calls)


def _processes(nights: Sequence[Night]) -> Iterator[Trend]:
    for name in ("runner", "supervisor", "emulator"):
        life = _longest_life(nights, name)
        warm = life[min(_WARM, len(life) // 3) :]
        numbers = [night.number for night in warm]
        held = [night.processes[name] for night in warm]
        # The emulator keeps every object, log line and ECS task in its memory: that is what it is for.
        ours = name != "emulator"
        yield _trend(f"{name}: memory", "MB", numbers, [h.rss_mb for h in held], MEMORY, ours=ours)
        yield _trend(f"{name}: descriptors", "", numbers, [h.descriptors for h in held], DESCRIPTORS, 1, ours=ours)


def _longest_life(nights: Sequence[Night], name: str) -> list[Night]:
    """A process that was started anew begins anew: of several lives, the longest counts."""
    lives: dict[str, list[Night]] = {}
    for night in nights:
        lives.setdefault(night.processes[name].identity, []).append(night)
    return max(lives.values(), key=len, default=[])


def _bucket(nights: Sequence[Night]) -> Iterator[Trend]:
    """What a night adds to the bucket: as much on the last night as on the first."""
    for outcome, pairs in _pairs_of_outcome(nights).items():
        numbers = [night.number for _, night in pairs]
        added = [night.objects - earlier.objects for earlier, night in pairs]
        yield _trend(f"objects added ({outcome})", "", numbers, added)
        sizes = [night.megabytes - earlier.megabytes for earlier, night in pairs]
        yield _trend(f"MB added ({outcome})", "MB", numbers, sizes, MEMORY)


def _pairs_of_outcome(nights: Sequence[Night]) -> Mapping[str, list[tuple[Night, Night]]]:
    pairs: dict[str, list[tuple[Night, Night]]] = {}
    for earlier, night in pairwise(nights):
        if night.number == earlier.number + 1:
            pairs.setdefault(night.outcome, []).append((earlier, night))
    return pairs


def _trend(
    measure: str,
    unit: str,
    numbers: Sequence[int],
    values: Sequence[float],
    tolerance: float | None = None,
    grain: float = 0.0,
    *,
    ours: bool = True,
) -> Trend:
    """Without a tolerance, all values have to be equal; with one, a difference of `grain` is none."""
    ends = max(1, min(ENDS, len(values) // 2))
    first, last = float(np.median(values[:ends])), float(np.median(values[-ends:]))
    if tolerance is None:
        verdict = "constant" if min(values) == max(values) else "varies"
    else:
        verdict = "flat" if last - first <= max(tolerance * first, grain) else "grows"
    return Trend(measure, unit, first, last, slope(numbers, values), tolerance, verdict, ours)


def slope(numbers: Sequence[int], values: Sequence[float]) -> float:
    """The median of the slopes between all pairs; 0 where there is only one night."""
    x, y = np.asarray(numbers, float), np.asarray(values, float)
    later, earlier = np.triu_indices(len(x), k=1)[::-1]
    return float(np.median((y[later] - y[earlier]) / (x[later] - x[earlier]))) if len(later) else 0.0
