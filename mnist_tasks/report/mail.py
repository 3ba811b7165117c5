"""The mails about a run: what it decided, what failed, what was rolled back. Pure: data in, `Mail` out.

Each has a text part that stands alone and an HTML part that mail clients can show. Values are those of people and of
other systems: the HTML is escaped, and neither part lets a control character through (`render.templates`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

from pydantic import Field

from mnist_tasks.classifier import Classifier
from mnist_tasks.config import Frozen
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.notify import Mail, one_line
from mnist_tasks.promotion.records import Decision
from mnist_tasks.report import words
from mnist_tasks.report.data import ReportData
from mnist_tasks.report.render import facts, templates
from mnist_tasks.report.words import Step, percent

CID_DOMAIN = "plots"  # a Content-ID has the form of an address
# In the order of the mail. A client that shows no images shows the text instead.
PLOTS = (
    ("accuracy", "Accuracy by epoch", "Accuracy on training and validation images by epoch"),
    ("loss", "Loss by epoch", "Loss on training and validation images by epoch"),
    ("confusion", "Confusion matrix", "How often each {noun} was read as which"),
    ("mistakes", "Worst mistakes", "The mistakes that the model was most sure of"),
    ("recall", "Recall by {noun}", "Share of each {noun}'s images that was read rightly"),
    ("calibration", "Calibration", "How often answers were right by how sure the model was of them"),
)
RUN_ID_LIMIT = 250
NO_IMAGES: Mapping[str, bytes] = {}


class FailedStep(Frozen):
    """A step that failed for good: which, and why. Travels from the step to the mail as plain JSON.

    `error` is the exception's type, `mend` what to do about it; `log_tail` are the last lines of its log, if the caller
    has them. `map_index` tells mapped steps apart; -1 is a step that is not mapped.
    """

    step: str = Field(min_length=1)
    error: str = ""
    problem: str = ""
    mend: str = ""
    log_tail: tuple[str, ...] = ()
    map_index: int = -1

    @classmethod
    def found(cls, value: object) -> Self | None:
        """The one in an XCom; None if what is there is none, since others may write XComs, too."""
        try:
            return cls.checked(value, mend="") if isinstance(value, dict) else None
        except ConfigurationError:
            return None

    @property
    def summary(self) -> str:
        """The first line of the problem, or at least the kind of error."""
        return one_line(self.problem.strip().partition("\n")[0], 200) or self.error or "no cause recorded"


def render_report_mail(
    data: ReportData, images: Mapping[str, bytes], *, airflow_url: str = "", earlier_failure: str = ""
) -> Mail:
    """The mail about a run that came to a decision.

    Args:
        data: The run.
        images: PNG by name; plots that are not among them are left out.
        airflow_url: Address of the Airflow UI; empty: no links.
        earlier_failure: Subject of the mail that told that this run had failed; empty: it had not.
    """
    classifier = data.layout.classifier
    shown = [tuple(text.format(noun=classifier.noun) for text in plot) for plot in PLOTS if plot[0] in images]
    values = facts(data) | {
        "run_id": one_line(data.plan.run_id, RUN_ID_LIMIT),
        "gates_line": _gates_line(data.decision),
        "data_line": _data_line(data),
        "report_uri": data.uri(data.key("report.html")),
        "recovery": words.recovery(classifier, earlier_failure),
        **links(airflow_url, data.plan.dag_id, data.plan.run_id),
        "plots": shown,
    }
    attached = {f"{name}@{CID_DOMAIN}": images[name] for name, _, _ in shown}
    return compose("report_mail", words.subject(data, recovered=bool(earlier_failure)), values, attached)


def links(airflow_url: str, dag_id: str, run_id: str) -> dict[str, str]:
    """Where a person goes from here."""
    run_url = words.run_url(airflow_url, dag_id, run_id)
    return {"run_url": run_url, "page_url": words.page_url(run_url)}


def _gates_line(decision: Decision) -> str:
    passed = sum(gate.passed for gate in decision.gates)
    return f"{passed} of {len(decision.gates)} passed"


def _data_line(data: ReportData) -> str:
    checks = data.validation.checks
    passed = sum(check.passed for check in checks)
    return f"{passed} of {len(checks)} checks passed; SHA-256 {data.plan.dataset_sha256[:12]}…"


def render_failure_mail(
    classifier: Classifier, failures: Sequence[FailedStep], *, dag_id: str, run_id: str, airflow_url: str = ""
) -> Mail:
    """The mail about a run that failed.

    Args:
        classifier: Whose run it is.
        failures: The steps that failed, the first one first; empty if their causes were not recorded.
        dag_id: The DAG.
        run_id: Its run, as Airflow calls it.
        airflow_url: Address of the Airflow UI; empty: no links.
    """
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    what = f"failed at {failures[0].step}{more}: {failures[0].summary}" if failures else "failed, no cause recorded"
    linked = links(airflow_url, dag_id, run_id)
    values = {
        "headline": f"{what[0].upper()}{what[1:]}",
        "failures": [_for_people(failure, linked["run_url"]) for failure in failures],
        "dag_id": dag_id,
        "run_id": one_line(run_id, RUN_ID_LIMIT),
        "steps": [
            Step(
                "Once it is mended, clear the run; it goes on from there, and does nothing twice:",
                words.retry_command(dag_id, run_id),
            )
        ],
        **linked,
    }
    return compose("failure_mail", f"{words.prefix(classifier)}{what}", values)


def _for_people(failure: FailedStep, run_url: str) -> dict[str, Any]:
    mapped = failure.map_index >= 0
    path = f"/tasks/{quote(failure.step, safe='')}" + (f"/mapped/{failure.map_index}" if mapped else "")
    return {
        "step": f"{failure.step} {failure.map_index}" if mapped else failure.step,
        "error": failure.error,
        "problem": failure.problem or failure.summary,
        "mend": failure.mend,
        "log_tail": failure.log_tail,
        "url": run_url + path if run_url else "",
    }


def render_rollback_mail(
    classifier: Classifier, decision: Decision, *, dag_id: str, run_id: str, airflow_url: str = ""
) -> Mail:
    """The mail about a champion that was set back by hand.

    Args:
        classifier: Whose champion it is.
        decision: The record of it.
        dag_id: The DAG.
        run_id: Its run, as Airflow calls it.
        airflow_url: Address of the Airflow UI; empty: no links.
    """
    before = decision.champion_before
    undo = words.rollback_command(before, "why the rollback was wrong") if before else ""
    values = {
        "headline": f"Rolled back: {decision.champion_after} is the champion now.",
        "decision": decision,
        "accuracy": f"{percent(decision.evaluation.accuracy)} of {decision.evaluation.images:,} images",
        "decision_line": f"number {decision.sequence}, {decision.created:%Y-%m-%d %H:%M} UTC",
        "run_id": one_line(run_id, RUN_ID_LIMIT),
        "steps": [Step("To undo it:", undo)] if undo else [],
        **links(airflow_url, dag_id, run_id),
    }
    return compose("rollback_mail", f"{words.prefix(classifier)}rolled back to {decision.champion_after}", values)


def compose(template: str, subject: str, values: Mapping[str, Any], images: Mapping[str, bytes] = NO_IMAGES) -> Mail:
    """A mail of the two templates of that name."""
    return Mail(
        subject=subject,
        text=templates().get_template(f"{template}.txt").render(values),
        html=templates().get_template(f"{template}.html").render(values),
        images=images,
    )
