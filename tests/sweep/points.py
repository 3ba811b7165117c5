"""The points of a sweep: which call of which step is struck by what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.sweep.faults import Call, Fault

# Asked again and again until something has happened, so how many there are is a matter of time: these are struck at the
# first, at one in the middle, and at the last one that surely comes.
POLLED = {"ecs.DescribeTasks", "logs.GetLogEvents", "airflow.SetTaskState"}
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
        return Fault(self.call.operation, self.call.ordinal, self.kind)

    @property
    def name(self) -> str:
        """The same in every sweep, whatever the run's names are."""
        return f"{self.scene} | {self.process} | {self.call.operation} {self.call.ordinal} | {self.kind}"


def points(scene: str, process: str, calls: Iterable[Call]) -> list[Point]:
    """Every fault at every call that an undisturbed try made."""
    return [Point(scene, process, call, kind) for call in _thinned(list(calls)) for kind in call.faults]


def _thinned(calls: list[Call]) -> list[Call]:
    by_operation: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_operation[call.operation].append(call)
    kept = []
    for operation, all_of_it in by_operation.items():
        if operation in POLLED and len(all_of_it) > 3:
            # Not the very last one: on a faster day it does not come.
            kept += [all_of_it[place] for place in sorted({0, len(all_of_it) // 2, len(all_of_it) - 2})]
        else:
            kept += all_of_it
    return sorted(kept, key=calls.index)


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
