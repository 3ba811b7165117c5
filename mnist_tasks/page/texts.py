"""The page's sentences and numbers, made for people. What report and mail say as well comes from `report.words`."""

from __future__ import annotations

from mnist_tasks.page.cost import Line
from mnist_tasks.page.data import Move, RunView
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.report import words

OUTCOMES = {"released": "released", "kept": "champion kept", "rejected": "not promoted", "rolled_back": "rolled back"}

_HEADLINES = {
    "waiting": "Queued: the run has not started yet.",
    "preparing": "Preparing: the data set is downloaded and checked.",
    "training": "Training: {done} of {all} candidates are done.",
    "deciding": "Deciding: the best candidate is checked against the gates and the champion.",
}


def headline(view: RunView) -> str:
    """Where the run is, or what came of it, as a sentence."""
    if decision := view.decision.value:
        return words.headline(decision)
    if view.stage == "failed":
        steps = ", ".join(view.run.failed_steps)
        return f"Failed at {steps}." if steps else "Failed."
    states = view.states.value or ()
    return _HEADLINES[view.stage].format(done=sum(state.committed for state in states), all=len(states))


def reason(view: RunView) -> str:
    """What the headline leaves out."""
    if decision := view.decision.value:
        return sentence(decision)
    if view.stage == "failed":
        return "Its mail names the cause and the cure. Once it is mended, clear the run: it goes on from there."
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
    what = "a rollback" if move.decision.kind == "rollback" else "the gate"
    if run is None:
        return f"{what}, run {move.decision.run}"
    return f"{what}, run {run.run_id}" + (f", triggered by {run.user}" if run.user else "")


def ending(line: Line) -> str:
    """How an ECS task ended."""
    attempt = line.attempt
    if attempt.stopped is None:
        return "runs, or its end was not seen"
    if attempt.exit_code is None:
        return attempt.stop_code or "stopped"
    return "done" if attempt.exit_code == 0 else f"exit code {attempt.exit_code}"


def money(dollars: float) -> str:
    """Two figures that count, and never a rounded nothing.

    >>> money(0.00048), money(0.0312), money(12.5), money(0)
    ('$0.00048', '$0.031', '$12.50', '$0')
    """
    if dollars == 0:
        return "$0"
    return f"${dollars:,.2f}" if dollars >= 1 else f"${dollars:.{2 if dollars >= 0.1 else _places(dollars)}f}"


def _places(dollars: float) -> int:
    # The zeros behind the point, and two figures.
    return int(f"{dollars:e}".partition("e-")[2] or 0) + 1


def amount(value: float) -> str:
    """Whole numbers with commas; one digit behind the point for small ones."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def duration(seconds: float) -> str:
    """`43 s`, `4 min 12 s`, `3 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def epochs(number: int) -> str:
    """`1 epoch`, `3 epochs`."""
    return f"{number} epoch{'' if number == 1 else 's'}"


def sure(confidence: float) -> str:
    """A probability; 100.0% would claim what no softmax says."""
    return f"{min(100 * confidence, 99.94):.1f}%"
