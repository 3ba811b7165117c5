"""The points of a sweep: which call of which step is struck by what."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.sweep.faults import KILLS, Call, Fault

# After these, the step cannot know, or cannot keep, that the server has its mail (docs/reliability.md, "Mail").
_UNHEARD = {"smtp.data": {"killed-after", "unanswered"}, "smtp.quit": set(KILLS)}
_UNRECORDED = {"killed-before", "throttled", "failed"}

# A call that is made again and again (polling, progress) is struck at three of them. Not at the last ones: how many
# there are is a matter of time, and to die after the last is to die before the call that comes then, which is struck.
_SEVERAL = 3
WORKER, CONTAINER = "worker", "container"


@dataclass(frozen=True)
class Point:
    """A fault in one place. `process` is the one that is struck: Airflow's worker, or the container it waits for."""

    scene: str
    process: str
    call: Call
    kind: str

    @classmethod
    def named(cls, name: str) -> Point:
        """The inverse of `name`."""
        scene, process, call, kind = name.split(" | ")
        operation, *about, ordinal = call.split()
        return cls(scene, process, Call(operation, " ".join(about), int(ordinal)), kind)

    @property
    def fault(self) -> Fault:
        return Fault(self.call, self.kind)

    @property
    def may_repeat_a_mail(self) -> bool:
        """Whether the next try sends again, under the same Message-ID, what has been taken already."""
        recording = self.call.operation == "s3.PutObject" and re.search(r"/mail(-approval)?\.json$", self.call.about)
        return self.kind in (_UNRECORDED if recording else _UNHEARD.get(self.call.operation, ()))

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
    kept = {one for several in alike.values() for one in _some(several)}
    return [call for call in calls if call in kept]


def _some(several: list[Call]) -> list[Call]:
    count = len(several)
    return several if count <= _SEVERAL else [several[0], several[count // 3], several[count // 2]]


# The scenes that are quickly built and between them make every kind of call; the quickest ones first.
SAMPLED = ("plan", "email_failure", "download", "validate", "approve", "train", "promote")
_EVERY_FAULT_AT = ("s3.PutObject", "s3.GetObject", "smtp.data")


def sample(found: Iterable[Point]) -> list[Point]:
    """A few that stand for all: each kind of call in each process, each worker's write, and every kind of fault."""
    seen: set[tuple[str, ...]] = set()
    chosen = []
    # What takes effect while nobody hears of it goes first: there most is to be lost.
    for point in sorted(found, key=lambda point: (point.kind != "killed-after", SAMPLED.index(point.scene))):
        operation = point.call.operation
        standing_for = {("call", point.process, operation)}
        if (point.process, operation) == (WORKER, "s3.PutObject"):
            standing_for.add(("write", point.scene, point.call.about))
        if operation in _EVERY_FAULT_AT:
            standing_for.add(("fault", operation, point.kind))
        if not standing_for <= seen:
            seen |= standing_for
            chosen.append(point)
    return chosen
