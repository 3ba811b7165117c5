"""`mnist show RUN`: the plan, the candidates side by side, the gates, the decision."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mnist_tasks import report, states
from mnist_tasks.cli import terminal
from mnist_tasks.cli.place import Place
from mnist_tasks.cli.terminal import facts, percent, styled
from mnist_tasks.plan import Plan, read_plan
from mnist_tasks.promotion import decisions
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.promotion.gates import Gate
from mnist_tasks.report import ReportData, words
from mnist_tasks.states import State


def show(place: Place, slug: str) -> tuple[dict[str, Any], RenderableType]:
    """What is known of a run, for machines and for people.

    Raises:
        NotFoundError: a part of a decided run is gone.
        IntegrityError: what is stored is not what it has to be.
    """
    storage, layout = place.storage, place.layout
    decision = decisions.find_of_run(place.chain, slug)
    if decision and decision.kind == "rollback":
        return {"run": slug, "decision": decision.model_dump(mode="json")}, _rollback(decision)
    if decision:
        data = report.collect(place.chain, slug)
        return report.to_dict(data, plots={}), decided_view(data)
    plan = read_plan(storage, layout, slug)
    found = states.read_states(storage, layout, plan)
    content = {
        "run": slug,
        "outcome": None,
        "plan": plan.model_dump(mode="json"),
        "candidates": [s.to_dict() for s in found],
    }
    return content, _open(plan, found)


def decided_view(data: ReportData) -> RenderableType:
    """A decided run, for people."""
    decision = data.decision
    low, high = data.accuracy_interval
    accuracy = f"{percent(data.evaluation.accuracy)} on {data.evaluation.images:,} test images"
    rows: list[tuple[str, str | Text]] = [
        ("outcome", terminal.outcome(decision.outcome)),
        ("accuracy", f"{accuracy} (95%: {percent(low)} to {percent(high)})"),
        ("decision", f"number {decision.sequence}, {terminal.when(decision.created)} UTC"),
        ("final", decision.final or "none"),
        ("champion", decision.champion_after or "none"),
    ]
    return Group(
        styled(words.headline(data.decision), "bold"),
        styled(f"{words.reason(decision)}\n", ""),
        facts(*_plan(data.plan), *rows),
        "",
        _candidates(data),
        "",
        _gates(decision.gates),
    )


def _plan(plan: Plan) -> list[tuple[str, str]]:
    config = plan.config
    how = f"{config.epochs} epochs, batches of {config.batch_size}, {config.validation_images:,} validation images"
    return [
        ("run", plan.run),
        ("run id", plan.run_id),
        ("planned", f"{terminal.when(plan.created)} UTC"),
        ("training", f"{len(plan.jobs)} candidates, {how}, seed {plan.seed}"),
        ("release rule", config.release_rule.replace("_", " ")),
    ]


def _candidates(data: ReportData) -> Table:
    """Side by side; the star marks the one that the decision is about."""
    table = terminal.table(
        "candidate", "seed", "rate", "best", "val acc", "loss", "took", right=("seed", "rate", "best", "took")
    )
    for manifest in data.manifests:
        chosen = manifest.name == data.best.name
        table.add_row(
            f"{manifest.name}{'*' if chosen else ''}",
            str(manifest.job.seed),
            f"{manifest.job.learning_rate:g}",
            f"{manifest.best_epoch}/{manifest.job.epochs}",
            percent(manifest.validation_accuracy),
            f"{manifest.validation_loss:.4f}",
            f"{data.histories[manifest.name].seconds:.1f} s",
            style="bold" if chosen else "",
        )
    return table


def _gates(gates: tuple[Gate, ...]) -> RenderableType:
    table = terminal.table("gate", "passed", "what it says")
    for gate in gates:
        passed = styled("yes", "green") if gate.passed else styled("NO", "bold red")
        table.add_row(gate.name, passed, gate.sentence)
    return table


def _rollback(decision: Decision) -> RenderableType:
    return Group(
        styled(f"Rolled back to {decision.final}.", "bold"),
        "",
        facts(
            ("run", decision.run),
            ("reason", decision.reason),
            ("accuracy", f"{percent(decision.evaluation.accuracy)} on test"),
            ("decision", f"number {decision.sequence}, {terminal.when(decision.created)} UTC"),
            ("before", decision.champion_before or "none"),
        ),
    )


def _open(plan: Plan, found: tuple[State, ...]) -> RenderableType:
    committed = sum(state.committed for state in found)
    started = any(state.progress or state.committed for state in found)
    told = f"{committed} of {len(found)} candidates are committed." if started else "Training has not started yet."
    table = terminal.table("candidate", "state", "newest figures")
    for state in found:
        figures = state.progress.message if state.progress else ""
        table.add_row(state.job.candidate, "committed" if state.committed else f"{state.share:.0%}", figures)
    return Group(
        styled("There is no decision about this run yet.", "bold"),
        styled(f"{told}\n", ""),
        facts(*_plan(plan)),
        "",
        table,
        styled(f"\nmnist watch {plan.run} follows it.", "dim"),
    )
