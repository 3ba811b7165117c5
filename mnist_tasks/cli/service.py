"""`mnist champion` and `mnist history`: what is in service, and what put it there."""

from __future__ import annotations

from itertools import islice
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mnist_tasks.cli import terminal
from mnist_tasks.cli.find import FIRST_RUN
from mnist_tasks.cli.place import Place
from mnist_tasks.cli.terminal import facts, percent, styled
from mnist_tasks.errors import NotFoundError
from mnist_tasks.promotion.chain import Link
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.promotion.in_service import InService, read_in_service
from mnist_tasks.report import words


def champion(place: Place) -> InService:
    """The model in service, checked from its pointer to its manifest.

    Raises:
        NotFoundError: nothing was released yet.
        IntegrityError: pointer, decision and manifest do not agree.
    """
    found = read_in_service(place.chain)
    if found is None:
        raise NotFoundError(
            f"no model of {place.name} is in service",
            mend="the first run whose best candidate passes the gates releases one: mnist runs lists them; "
            f"{FIRST_RUN}",
        )
    return found


def champion_dict(found: InService) -> dict[str, Any]:
    """For machines."""
    return {
        "champion": found.champion.model_dump(mode="json"),
        "decision": found.decision.summary(),
        "manifest": found.final.model_dump(mode="json"),
    }


def champion_view(found: InService) -> RenderableType:
    """For people."""
    decision, final = found.decision, found.final
    evaluation = decision.evaluation
    how = f"{decision.outcome.replace('_', ' ')} by decision {decision.sequence} of run {decision.run}"
    return Group(
        styled(f"{found.champion.name} is in service.\n", "bold"),
        facts(
            ("accuracy", f"{percent(evaluation.accuracy)} on {evaluation.images:,} test images"),
            ("since", f"{terminal.when(found.champion.released)} UTC"),
            ("how", how),
            ("why", decision.reason),
            ("before", decision.champion_before or "none"),
            ("trained", f"run {final.run}, epoch {final.best_epoch} of {final.job.epochs}, seed {final.job.seed}"),
            ("weights", f"SHA-256 {final.weights.plaintext_sha256}, stored encrypted"),
        ),
    )


def history(place: Place, limit: int) -> list[Link]:
    """The `limit` newest decisions, newest first, each checked against the one after: a read each.

    Raises:
        IntegrityError: the chain is damaged.
    """
    return list(islice(place.chain.backwards(place.chain.find_newest()), limit))


def history_view(links: list[Link], place: Place) -> RenderableType:
    """A table, or what to do where there is nothing."""
    if not links:
        return styled(f"Nothing was decided in {place.name}: {FIRST_RUN}.", "")
    table = terminal.table(
        "no.", "when (UTC)", "outcome", "accuracy", "champion from then on, run, reason", right=("no.", "accuracy")
    )
    for link in links:
        decision = link.decision
        table.add_row(
            str(decision.sequence),
            terminal.when(decision.created),
            terminal.outcome(decision.outcome),
            percent(decision.evaluation.accuracy),
            _champion(decision),
        )
    return table


def _champion(decision: Decision) -> Text:
    text = styled(f"{decision.champion_after or 'none'}\n", "bold" if decision.changes_champion else "dim")
    text.append(f"{decision.run}\n{terminal.printable(why(decision))}")
    return text


def why(decision: Decision) -> str:
    """The reason in a few words."""
    match decision.outcome:
        case "rejected":
            return words.why_rejected(decision)
        case "kept":
            return words.why_kept(decision)
        case "released" if decision.comparison:
            return f"{decision.reason.partition(':')[0]}, p = {decision.comparison.p_value:.2g}"
        case _:
            return decision.reason
