"""A decision as the promoter tells it: the figures that CloudWatch's alarms and dashboard wait for."""

from __future__ import annotations

from mnist_tasks import events
from mnist_tasks.promotion.decisions import Decision


def tell(decision: Decision) -> None:
    """One event; of a promotion, with figures. A rollback measures nothing new: it must move no alarm."""
    figures = {
        "promoted": float(decision.final is not None),
        "released": float(decision.changes_champion),
        "test_accuracy": decision.evaluation.accuracy,
    }
    events.tell(
        "decided",
        f"decided: {decision.outcome}, {decision.reason}",
        figures=figures if decision.kind == "promotion" else None,
        candidate=decision.candidate,
        final=decision.final,
        outcome=decision.outcome,
        decision=decision.sequence,
    )
