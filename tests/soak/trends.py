"""From the figures of many nights to a verdict on each measure. Pure.

A measure is flat if the median of the last nights is at most so much above that of the first ones as its tolerance
allows; a slope by Theil and Sen (the median over all pairs of nights, https://doi.org/10.1007/978-94-011-2546-8_20)
says how much it gained in a night. S3 calls have no tolerance: nights that came to the same outcome made the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from localcloud.front.records import STOPPED_SECONDS
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
    for name in dict.fromkeys(name for night in nights for name in night.steps):
        # Training is a container's time; what its step does meanwhile is to look whether it is over.
        if name.startswith("train"):
            continue
        taken = [(night.number, night.steps[name]) for night in nights if name in night.steps]
        seconds = [(number, step.seconds) for number, step in taken]
        cpu = [(number, step.cpu_seconds) for number, step in taken]
        yield _trend(f"{name}: time", "s", seconds, SECONDS, _GRAIN_SECONDS)
        yield _trend(f"{name}: CPU", "s", cpu, CPU, _GRAIN_SECONDS)


def _calls(nights: Sequence[Night]) -> Iterator[Trend]:
    """The calls of a step that came to the same outcome are compared with each other."""
    groups: dict[str, list[tuple[int, float]]] = {}
    for night in nights:
        for name, step in night.steps.items():
            what = f"{name} ({night.outcome})" if name == "promote" else name
            groups.setdefault(what, []).append((night.number, sum(step.calls.values())))
    for what, points in groups.items():
        yield _trend(f"{what}: S3 calls", "", points)


def _processes(nights: Sequence[Night]) -> Iterator[Trend]:
    for name in ("runner", "supervisor", "emulator"):
        held = [(night.number, night.processes[name]) for night in _warm(name, _longest_life(nights, name))]
        if not held:
            continue
        # The emulator keeps every object, log line and ECS task in its memory: that is what it is for.
        ours = name != "emulator"
        memory = [(number, holding.rss_mb) for number, holding in held]
        descriptors = [(number, holding.descriptors) for number, holding in held]
        yield _trend(f"{name}: memory", "MB", memory, MEMORY, ours=ours)
        yield _trend(f"{name}: descriptors", "", descriptors, DESCRIPTORS, 1, ours=ours)


def _warm(name: str, life: Sequence[Night]) -> Sequence[Night]:
    """The nights from which on a process has all that it keeps.

    The supervisor remembers a task for an hour after its end, as ECS does, which is hundreds of nights at this pace.
    Until then it has to grow, so nothing is said of one that has not lived so long.
    """
    if name != "supervisor":
        return life[min(_WARM, len(life) // 3) :]
    ages = accumulate(sum(step.seconds for step in night.steps.values()) for night in life)
    return [night for night, age in zip(life, ages, strict=True) if age > STOPPED_SECONDS]


def _longest_life(nights: Sequence[Night], name: str) -> list[Night]:
    """A process that was started anew begins anew: of several lives, the longest counts."""
    lives: dict[str, list[Night]] = {}
    for night in nights:
        lives.setdefault(night.processes[name].identity, []).append(night)
    return max(lives.values(), key=len, default=[])


def _bucket(nights: Sequence[Night]) -> Iterator[Trend]:
    """What a night adds to the bucket, compared among nights of the same outcome."""
    objects: dict[str, list[tuple[int, float]]] = {}
    sizes: dict[str, list[tuple[int, float]]] = {}
    for before, night in pairwise(nights):
        if night.number == before.number + 1:
            objects.setdefault(night.outcome, []).append((night.number, night.objects - before.objects))
            sizes.setdefault(night.outcome, []).append((night.number, night.megabytes - before.megabytes))
    for outcome, added in objects.items():
        yield _trend(f"objects added ({outcome})", "", added)
        yield _trend(f"MB added ({outcome})", "MB", sizes[outcome], MEMORY)


def _trend(
    measure: str,
    unit: str,
    points: Sequence[tuple[int, float]],
    tolerance: float | None = None,
    grain: float = 0.0,
    *,
    ours: bool = True,
) -> Trend:
    """Without a tolerance, all values have to be equal; with one, a difference of `grain` is none."""
    values = [value for _, value in points]
    ends = max(1, min(ENDS, len(values) // 2))
    first, last = float(np.median(values[:ends])), float(np.median(values[-ends:]))
    if tolerance is None:
        verdict = "constant" if min(values) == max(values) else "varies"
    else:
        verdict = "flat" if last - first <= max(tolerance * first, grain) else "grows"
    return Trend(measure, unit, first, last, slope(points), tolerance, verdict, ours)


def slope(points: Sequence[tuple[int, float]]) -> float:
    """The median of the slopes between all pairs; 0 where there is only one night."""
    x, y = np.array(points, float).T
    later, earlier = np.triu_indices(len(x), k=1)[::-1]
    return float(np.median((y[later] - y[earlier]) / (x[later] - x[earlier]))) if len(later) else 0.0
