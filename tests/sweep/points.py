"""The points of a sweep: which call of which step is struck by what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.sweep.faults import Call, Fault

# Made again and again while a container trains: struck at the first, at one in the middle, and at the last one that
# surely comes, since how many there are may be a matter of time.
_SEVERAL = 3
WORKER, CONTAINER = "worker", "container"


@dataclass(frozen=True)
class Point:
    """A fault in one place. `process` is the one that is struck: Airflow's worker, or the container it waits for."""

    scene: str
    process: str
    call: Call
    kind: str

    @property
    def fault(self) -> Fault:
        return Fault(self.call, self.kind)

    @property
    def name(self) -> str:
        """The same in every sweep, whatever the run's names are."""
        return f"{self.scene} | {self.process} | {self.call} | {self.kind}"


def points(scene: str, process: str, calls: Iterable[Call]) -> list[Point]:
    """Every fault at every call that an undisturbed try made."""
    return [Point(scene, process, call, kind) for call in _thinned(list(calls)) for kind in call.faults]


def _thinned(calls: list[Call]) -> list[Call]:
    alike: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in calls:
        alike[call.operation, call.about].append(call)
    kept = set()
    for several in alike.values():
        if len(several) > _SEVERAL:
            # Not the very last one: on a faster day it does not come.
            several = [several[0], several[len(several) // 2], several[-2]]
        kept |= set(several)
    return [call for call in calls if call in kept]


def sample(found: Iterable[Point]) -> list[Point]:
    """A few that together strike each operation, and each service with each of its faults; the first ones that do."""
    seen: set[tuple[str, str]] = set()
    chosen = []
    for point in found:
        service = point.call.operation.partition(".")[0]
        kinds = {("operation", point.call.operation), (service, point.kind), ("process", point.process)}
        if not kinds <= seen:
            seen |= kinds
            chosen.append(point)
    return chosen
