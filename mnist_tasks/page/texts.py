"""The page's sentences and numbers, made for people. What report and mail say as well comes from `report.words`."""

from __future__ import annotations

from mnist_tasks.page.data import Move, RunView
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.report import words

OUTCOMES = {
    "released": "released",
    "kept": "champion kept",
    "rejected": "not promoted",
    "declined": "not approved",
    "rolled_back": "rolled back",
}

_HEADLINES = {
    "waiting": "Queued: the run has not started yet.",
    "preparing": "Preparing: the data set is downloaded and checked.",
    "rolling_back": "Rolling back: the final is verified, then the champion moves.",
    "gone": "No decision of this run can be read.",
    "training": "Training: {done} of {all} candidates are done.",
    "deciding": "Deciding: the best candidate is checked against the gates and the champion.",
    "asking": "Waiting for a person to approve the best candidate, then deciding: see the run's required actions.",
}


def headline(view: RunView) -> str:
    """Where the run is, or what came of it, as a sentence."""
    if decision := view.decision.value:
        return words.headline(decision)
    if view.stage == "failed":
        steps = ", ".join(view.run.failed_steps)
        return f"Failed at {steps}." if steps else "Failed."
    states = view.states.value or ()
    plan = view.plan.value
    asks = view.stage == "deciding" and plan is not None and plan.config.approval_hours is not None
    template = _HEADLINES["asking" if asks else view.stage]
    return template.format(done=sum(state.committed for state in states), all=len(states))


def reason(view: RunView) -> str:
    """What the headline leaves out."""
    if decision := view.decision.value:
        return sentence(decision)
    if view.stage == "failed":
        return "Its mail names the cause and the cure. Once it is mended, clear the run: it goes on from there."
    if view.stage == "gone":
        return "Its records may have expired; the chain of decisions stays."
    if view.stage == "training":
        return "The curves grow while ECS trains; the page follows by itself."
    return "The page follows by itself."


def sentence(decision: Decision) -> str:
    """Why the decision is what it is."""
    return decision.reason if decision.kind == "rollback" else words.reason(decision)


def story(decision: Decision) -> str:
    """The decision's reason by itself, where no headline stands above it."""
    if decision.kind == "rollback":
        return decision.reason
    if decision.outcome == "rejected":
        return f"{_capital(words.why_rejected(decision))}."
    return f"{_capital(decision.reason).rstrip('.')}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def news(view: RunView) -> str:
    """What a screen reader is told when something has changed."""
    states = view.states.value or ()
    if view.stage != "training":
        return headline(view)
    told = [
        f"candidate {number}: {'done' if state.committed else f'epoch {state.epochs_done} of {state.job.epochs}'}"
        for number, state in enumerate(states, 1)
    ]
    return f"Training. {', '.join(told)}."


def mover(move: Move) -> str:
    """Who or what moved (or left) the champion."""
    run = move.run
    what = _mover(move.decision)
    if run is None:
        return f"{what}, run {move.decision.run}"
    return f"{what}, run {run.run_id}" + (f", triggered by {run.user}" if run.user else "")


def _mover(decision: Decision) -> str:
    if decision.kind == "rollback":
        return "a rollback"
    if decision.outcome == "declined":
        return "the missing approval"
    approver = decision.evidence.approved_by
    return f"{approver} and the gate" if approver else "the gate"


def epochs(number: int) -> str:
    """`1 epoch`, `3 epochs`."""
    return f"{number} epoch{'' if number == 1 else 's'}"


def sure(confidence: float) -> str:
    """A probability; 100.0% would claim what no softmax says."""
    return f"{min(100 * confidence, 99.94):.1f}%"
