"""`mnist runs`: the newest runs, a line each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mnist_tasks import states
from mnist_tasks.cli import find, terminal
from mnist_tasks.cli.place import Place
from mnist_tasks.plan import Plan
from mnist_tasks.promotion import decisions
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.runs import newest_plans

# A decision stands right behind the place where its run began to decide, unless others came in between.
_RECORDS = 5


@dataclass(frozen=True)
class Line:
    """A run: its plan, and its decision or, without one, how far its candidates are."""

    plan: Plan
    decision: Decision | None
    states: tuple[states.State, ...] = ()

    @property
    def took(self) -> timedelta | None:
        """From plan to decision: training and promotion."""
        return self.decision.created - self.plan.created if self.decision else None

    @property
    def share(self) -> float:
        """Which part of the training is done, of a run without decision."""
        return sum(state.share for state in self.states) / len(self.plan.jobs)

    def to_dict(self) -> dict[str, Any]:
        """For machines; times in seconds."""
        return {
            "run": self.plan.run,
            "run_id": self.plan.run_id,
            "planned": self.plan.created.isoformat(),
            "candidates": len(self.plan.jobs),
            "outcome": self.decision.outcome if self.decision else None,
            "test_accuracy": self.decision.evaluation.accuracy if self.decision else None,
            "seconds": self.took.total_seconds() if self.took is not None else None,
            "trained": 1.0 if self.decision else self.share,
        }


def newest(place: Place, limit: int) -> list[Line]:
    """The `limit` newest runs: three to five reads each, and two for each candidate of a run without decision."""
    plans = newest_plans(place.storage, place.layout, now=datetime.now(UTC))
    return [_line(place, plan) for plan in islice(plans, limit)]


def _line(place: Place, plan: Plan) -> Line:
    decision = decisions.find_of_run(place.chain, plan.run, within=_RECORDS)
    if decision:
        return Line(plan, decision)
    return Line(plan, None, states.read_states(place.storage, place.layout, plan))


def view(lines: list[Line], place: Place, now: datetime) -> RenderableType:
    """A table, or what to do where there is nothing."""
    if not lines:
        return terminal.styled(f"No run in {place.name}: {find.FIRST_RUN}.", "")
    table = terminal.table("planned (UTC)", "outcome", "accuracy", "took", "run", right=("accuracy", "took"))
    for line in lines:
        accuracy = terminal.percent(line.decision.evaluation.accuracy) if line.decision else ""
        took = terminal.duration(line.took) if line.took is not None else ""
        table.add_row(terminal.when(line.plan.created), _outcome(line), accuracy, took, _name(line, now))
    return Group(table, terminal.styled("\nmnist show RUN tells more; the beginning of a name is enough.", "dim"))


def _outcome(line: Line) -> Text:
    return terminal.outcome(line.decision.outcome if line.decision else "open")


def _name(line: Line, now: datetime) -> Text:
    text = terminal.styled(line.plan.run, "")
    if line.decision is None:
        silence = terminal.duration(now - states.last_news(line.plan, line.states))
        text.append(f"\ntrained {line.share:.0%}, last news {silence} ago", style="cyan")
    return text
