"""What came from people and from S3 is text in every report, page and mail: it adds no element and no attribute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from mnist_tasks.errors import IntegrityError
from mnist_tasks.page import render
from mnist_tasks.page.data import AirflowRun, Move, RunLine
from mnist_tasks.page.found import Found
from mnist_tasks.report import ReportData, pictures
from mnist_tasks.report.mail import FailedStep, render_failure_mail, render_report_mail, render_rollback_mail
from mnist_tasks.report.pictures import to_svg
from mnist_tasks.report.render import draw, render_html
from tests.decided_run import KEPT, cost_of_run, images, rollback
from tests.hostile import TEXTS, Page, shown
from tests.unit.test_page_render import overview_of, view_of

AIRFLOW = "https://airflow.example.com"
HARMLESS = "harmless"
FIGURES = draw(KEPT, images())
# Drawn once: no text gets into the pictures, and there are hundreds of cases.
PICTURES = {id(figure): to_svg(figure, name) for name, figure in FIGURES.items()}


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "to_svg", lambda figure, name: PICTURES[id(figure)])


def told(data: ReportData, text: str) -> ReportData:
    """A run with `text` wherever its records have a field for free text. As JSON from S3 would be: not validated."""
    gates = tuple(gate.model_copy(update={"name": text, "sentence": text}) for gate in data.decision.gates)
    assert data.decision.comparison
    comparison = data.decision.comparison.model_copy(update={"sentence": f"too close to tell: {text}"})
    decision = data.decision.model_copy(
        update={"reason": text, "gates": gates, "comparison": comparison, "code_version": text}
    )
    checks = tuple(check.model_copy(update={"name": text, "message": text}) for check in data.validation.checks)
    return replace(
        data,
        plan=data.plan.model_copy(update={"run_id": text, "dag_id": text}),
        decision=decision,
        validation=data.validation.model_copy(update={"checks": checks}),
        manifests=tuple(manifest.model_copy(update={"code_version": text}) for manifest in data.manifests),
    )


def report(text: str) -> str:
    data = told(KEPT, text)
    return render_html(data, FIGURES, cost_of_run(data))


def report_mail(text: str) -> str:
    mail = render_report_mail(told(KEPT, text), {"loss": b"\x89PNG"}, airflow_url=AIRFLOW, earlier_failure=text)
    return mail.html


def failure_mail(text: str) -> str:
    step = FailedStep(step=text, error=text, problem=text, mend=text, log_tail=(text, text))
    return render_failure_mail([step], dag_id=text, run_id=text, airflow_url=AIRFLOW).html


def rollback_mail(text: str) -> str:
    decision = rollback().model_copy(update={"reason": text})
    return render_rollback_mail(decision, dag_id=text, run_id=text, airflow_url=AIRFLOW).html


def a_run(text: str) -> AirflowRun:
    return AirflowRun("mnist_training", text, "failed", user=text, failed_steps=(text,))


def run_page(text: str) -> str:
    data = told(KEPT, text)
    view = view_of(data, decision=Found(data.decision), validation=Found(data.validation), plan=Found(data.plan))
    return render.head(text) + render.run(replace(view, run=a_run(text))) + render.END


def damaged_page(text: str) -> str:
    damaged: Any = Found(trouble=IntegrityError(text, mend=text))
    return render.run(replace(view_of(), run=a_run(text), validation=damaged, published=damaged, cost=damaged))


def overview_page(text: str) -> str:
    decision = rollback().model_copy(update={"reason": text})
    moves = (Move(decision, a_run(text), None),)
    return render.overview(replace(overview_of(view_of(), runs=[RunLine(a_run(text), None, Found())]), moves=moves))


def trouble_page(text: str) -> str:
    return render.trouble(IntegrityError(text, mend=text)) + render.message(text, [text])


PLACES: dict[str, Callable[[str], str]] = {
    "report": report,
    "mail of the report": report_mail,
    "mail of a failure": failure_mail,
    "mail of a rollback": rollback_mail,
    "page of a run": run_page,
    "page of a damaged run": damaged_page,
    "page of all": overview_page,
    "page of trouble": trouble_page,
}


# Where a page may lead to: Airflow, its own routes, itself.
OWN = ("https://airflow.example.com/", "#", "data:", "cid:", "?", "page.", "report?", "digits.png?")


@cache
def harmless(place: str) -> Page:
    return Page(PLACES[place](HARMLESS))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("case", TEXTS)
def test_a_hostile_text_is_text(place: str, case: str) -> None:
    html = PLACES[place](TEXTS[case])
    hostile = Page(html)

    assert HARMLESS in harmless(place).text
    assert hostile.elements == harmless(place).elements
    assert hostile.attributes == harmless(place).attributes
    assert [address for address in hostile.addresses if not address.startswith(OWN)] == []
    assert {c for c in html if not c.isprintable()} <= {"\n"}
    # It is there, whole: nothing has acted on it, templates included.
    assert shown(TEXTS[case])[:60] in hostile.text
