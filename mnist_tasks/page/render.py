"""From what was read to HTML. Pure: nothing is read, nothing is written.

The page is sent in two pieces: `head` at once, with the note that it is loading, then a `<main>` made by one of the
others. The script asks for the `<main>` alone, again and again while it can change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from mnist_tasks.errors import MnistError
from mnist_tasks.metrics import Evaluation, wilson_interval
from mnist_tasks.page import charts, texts
from mnist_tasks.page.cards import cards
from mnist_tasks.page.data import DECISIONS, AirflowRun, Overview, RunView
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.report.render import templates
from mnist_tasks.report.words import reason
from mnist_tasks.storage import sha256_of

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent.parent / "templates"
END = "</body>\n</html>\n"
# Of a page that may change: seconds between two looks. An epoch takes half a second here and a few on Fargate.
_LIVE, _PENDING, _IDLE = 1, 3, 20
_HEATS = 4


@cache
def stylesheet() -> bytes:
    """The report's and the page's own."""
    return b"\n".join((_TEMPLATES / name).read_bytes() for name in ("report.css", "page/page.css"))


@cache
def script() -> bytes:
    """What keeps the page up to date."""
    return (_TEMPLATES / "page/page.js").read_bytes()


@cache
def version() -> str:
    """Changes whenever stylesheet or script do, so that a browser may keep both."""
    return sha256_of(stylesheet() + script())[:12]


@cache
def _templates() -> Environment:
    environment = templates().overlay()
    environment.filters = environment.filters | {
        "mover": texts.mover,
        "run_link": run_link,
        "story": texts.story,
        "sure": texts.sure,
    }
    return environment


def run_link(run: AirflowRun) -> str:
    """The page of a run, from the page that one is on."""
    return "?" + urlencode({"dag_id": run.dag_id, "run_id": run.run_id})


def head(title: str, dag_id: str) -> str:
    """The beginning of a page, up to the note that it is loading. Who may see that DAG gets its looks, too."""
    return _render("head.html", {"title": title, "dag_id": dag_id, "version": version()})


def message(title: str, lines: Sequence[str] = (), *, kind: str = "waiting", refresh: int = 0) -> str:
    """A `<main>` that has nothing to show but a sentence, and says why. `refresh`: seconds until it is worth a look."""
    return _render("message.html", {"title": title, "lines": lines, "kind": kind, "refresh": refresh})


def trouble(error: MnistError) -> str:
    """A `<main>` for a page that could not be read at all."""
    lines = [error.problem, f"To mend it: {error.mend}"] if error.mend else [error.problem]
    return message("The records of the pipeline cannot be read.", lines, kind="error", refresh=_IDLE)


def run(view: RunView) -> str:
    """The `<main>` of one run."""
    decision, cost = view.decision.value, view.cost.value
    values: dict[str, Any] = {
        "view": view,
        "classifier": view.classifier,
        "cards": cards(view),
        "cost": cost,
        "headline": texts.headline(view),
        "reason": texts.reason(view),
        "refresh": _refresh(view),
        "news": texts.news(view),
        "links": {
            "overview": "?" + urlencode({"dag_id": view.run.dag_id}),
            "report": "report" + run_link(view.run),
            "digits": "digits.png" + run_link(view.run),
        },
    }
    return _render("run.html", values | (_of_decision(decision) if decision else {}))


def _of_decision(decision: Decision) -> dict[str, Any]:
    evaluation = decision.evaluation
    low, high = wilson_interval(round(evaluation.accuracy * evaluation.images), evaluation.images)
    return {
        "interval": f"{100 * low:.2f}% to {100 * high:.2f}%",
        "failed_gates": [gate for gate in decision.gates if not gate.passed],
        "comparison": reason(decision),
        "confusion": _confusion(evaluation),
    }


def _confusion(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Rows of cells with the class that colours them: mistakes in four steps up to the most frequent one."""
    wrong = [n for true, row in enumerate(evaluation.confusion) for read, n in enumerate(row) if true != read]
    most = max(*wrong, 1)

    def kind(true: int, read: int, count: int) -> str:
        return "right" if true == read else f"heat{-(-count * _HEATS // most)}"

    return [
        {
            "recall": evaluation.recall[true],
            "cells": [{"count": count, "kind": kind(true, read, count)} for read, count in enumerate(row)],
        }
        for true, row in enumerate(evaluation.confusion)
    ]


def overview(view: Overview) -> str:
    """The `<main>` of all runs."""
    last = view.moves[0] if view.moves else None
    champion = last.decision.champion if last else None
    costs = [line.cost.value for line in view.runs if line.cost.value]
    newest = view.newest
    values = {
        "view": view,
        "limit": DECISIONS,
        "cards": cards(newest) if newest else [],
        "headline": texts.headline(newest) if newest else "Nothing has run yet.",
        "reason": texts.reason(newest) if newest else "The first run will be shown here while it trains.",
        "refresh": _refresh(newest) or _IDLE if newest else _IDLE,
        "news": texts.news(newest) if newest else "",
        "champion": champion,
        "outcomes": texts.OUTCOMES,
        "timeline": charts.timeline(view.moves) if view.moves else "",
        "total": {
            "runs": len(costs),
            "dollars": sum(cost.dollars for cost in costs),
            "wasted": sum(cost.wasted_dollars for cost in costs),
        }
        if costs
        else None,
    }
    return _render("overview.html", values)


def _refresh(view: RunView) -> int:
    if not view.is_open:
        return 0
    return _LIVE if view.stage == "training" else _PENDING


def _render(name: str, values: Mapping[str, Any]) -> str:
    return _templates().get_template(f"page/{name}").render(values)
