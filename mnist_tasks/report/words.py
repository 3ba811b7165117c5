"""What happened, in plain words, and what to do next, as commands that can be pasted.

Two words mean two acts. Promoted: the model passed the gates and has its `_final`. Released: that final is the
champion, the one that consumers load.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from urllib.parse import quote

from mnist_tasks.classifier import Classifier
from mnist_tasks.layout import classifier_of
from mnist_tasks.plan import Plan
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.report.data import ReportData

BIAS = (
    "Every night is measured on the same test images. A champion chosen by them again and again has also been "
    "lucky on them: expect it to be slightly worse on new images, and read small differences between nights as noise."
)

_LIMITS = (
    "The intervals tell what chance does to this number of test images, not what images of another kind would do.",
    "It is a template to start from. No decision about a person may rest on it.",
)


@dataclass(frozen=True)
class Step:
    """One thing that a person may do next."""

    text: str
    command: str = ""


def limits(classifier: Classifier) -> tuple[str, ...]:
    """What to mind about a model of this classifier."""
    return (*classifier.limits_of_use, *_LIMITS)


def prefix(classifier: Classifier) -> str:
    """What every subject begins with."""
    return f"{classifier.title}: "


def percent(share: float) -> str:
    """0.9793 as `97.93%`."""
    return f"{100 * share:.2f}%"


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


def headline(decision: Decision) -> str:
    """The outcome as a sentence."""
    match decision.outcome:
        case "released" if decision.champion_before is None:
            return "Promoted and released: this model is the first champion."
        case "released":
            return "Promoted and released: this model is the new champion."
        case "kept":
            return f"Promoted, champion kept: {why_kept(decision)}."
        case "declined":
            return f"Promoted nothing: {decision.reason}."
        case "rolled_back":
            return "Rolled back: an earlier model is the champion again."
        case _:
            return f"Not promoted: {why_rejected(decision)}."


def subject(data: ReportData, *, recovered: bool = False) -> str:
    """The outcome in the few words that a phone shows."""
    before = prefix(data.layout.classifier) + ("recovered, " if recovered else "")
    match data.decision.outcome:
        case "released":
            return f"{before}promoted and released: {percent(data.evaluation.accuracy)} on test"
        case "kept":
            return f"{before}promoted, champion kept: {why_kept(data.decision)}"
        case "declined":
            return f"{before}promoted nothing: {data.decision.reason}"
        case _:
            return f"{before}not promoted: {why_rejected(data.decision)}"


def reason(decision: Decision) -> str:
    """What the headline leaves out, as a sentence."""
    text = decision.reason
    if decision.outcome == "rejected":
        failed = sum(not gate.passed for gate in decision.gates)
        text = f"{failed} of {len(decision.gates)} gates failed; what is in service stays in service"
    elif decision.outcome == "declined":
        text = "a person was asked to approve it; what is in service stays in service"
    elif decision.comparison:
        text = text.partition(": ")[2]
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def why_kept(decision: Decision) -> str:
    """The verdict at the beginning of the comparison's sentence: `too close to tell`, or that the new one is worse."""
    verdict = decision.reason.partition(":")[0]
    return "the new model is worse" if verdict == "worse" else verdict


def why_rejected(decision: Decision) -> str:
    """The sentence of the first gate that failed, and how many more did."""
    failed = [gate for gate in decision.gates if not gate.passed]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return failed[0].sentence + more


def recovery(classifier: Classifier, earlier_failure: str) -> str:
    """A sentence about a run that goes on after a failure, given the subject of the mail that told of it."""
    what = earlier_failure.removeprefix(prefix(classifier)).rstrip(".")
    return f"Recovered: an earlier try {what}. The run was cleared, and went on from there." if what else ""


def resumed(data: ReportData) -> tuple[str, ...]:
    """A sentence for each candidate whose training was interrupted."""
    return tuple(
        f"Training of {manifest.name} was interrupted and went on after {_epochs(manifest.resumed_after)}: its weights "
        "are the same, to the bit, as without the interruption."
        for manifest in data.manifests
        if manifest.resumed_after
    )


def _epochs(numbers: tuple[int, ...]) -> str:
    *others, last = map(str, numbers)
    return f"epochs {', '.join(others)} and {last}" if others else f"epoch {last}"


def repeat_command(plan: Plan) -> str:
    """The same candidates again: every value that a result depends on, and the seed that this run drew."""
    unsaid = {"recipients"} if plan.config.approval_hours else {"recipients", "approval_hours"}
    conf = plan.config.model_dump(mode="json", exclude=unsaid) | {"seed": plan.seed}
    return _command("airflow", "dags", "trigger", plan.dag_id, "--conf", json.dumps(conf))


def rollback_command(final: str, reason: str) -> str:
    """Put `final` into service by hand."""
    conf = json.dumps({"to": final, "reason": reason})
    return _command("airflow", "dags", "trigger", f"{classifier_of(final)}_rollback", "--conf", conf)


def retry_command(dag_id: str, run_id: str) -> str:
    """Go on with a run that failed.

    Not with `--only-failed`: that leaves out the step that has mailed the failure (it succeeded), so a second failure
    would be silent, and what Airflow skipped when a person marked the run as failed. A step that is done ends at once.
    """
    return _command("airflow", "dags", "clear", dag_id, "--run-id", run_id, "--yes")


def _command(*words: str) -> str:
    return shlex.join(words)


def next_steps(data: ReportData) -> tuple[Step, ...]:
    """What a person may want to do now, most likely first."""
    repeat = Step("To repeat this run with the same candidates:", repeat_command(data.plan))
    return (*_steps_of_outcome(data.decision), repeat)


def _steps_of_outcome(decision: Decision) -> tuple[Step, ...]:
    if decision.outcome == "rejected":
        return (
            Step("The champion is untouched. Find out why before you train again: gates and data checks say where."),
        )
    if decision.outcome == "declined":
        return (Step("Nothing has to be done: the champion stays. To promote this model after all, repeat the run."),)
    if decision.outcome == "kept" and decision.final:
        by_hand = rollback_command(decision.final, "why it has to be this one")
        return (
            Step("Nothing has to be done: the champion stays in service."),
            Step("To put this model into service all the same:", by_hand),
        )
    done = Step("Nothing has to be done: consumers load the new champion from now on.")
    if decision.champion_before is None:
        return (done,)
    back = rollback_command(decision.champion_before, "what is wrong with the new one")
    return (done, Step("To go back to the champion before:", back))


def run_url(airflow_url: str, dag_id: str, run_id: str) -> str:
    """The page of a run in the Airflow UI; empty where the deployment has no address for it."""
    if not airflow_url:
        return ""
    return f"{airflow_url.rstrip('/')}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


def page_url(of_run: str) -> str:
    """The tab of this project's page in the run's own page, `run_url`; empty where that is."""
    return f"{of_run}/plugin/mnist_run" if of_run else ""
