"""What a person is asked who has to approve a run's best candidate: in Airflow, and in the mail that calls for it.

Everything in it is read again from manifests, whose values were checked: names and figures, nothing that anybody typed.
"""

from __future__ import annotations

from dataclasses import dataclass

from mnist_tasks import checkpoints
from mnist_tasks import plan as plans
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.classifier import Classifier
from mnist_tasks.notify import Mail, one_line
from mnist_tasks.plan import Plan
from mnist_tasks.promotion.answers import hours
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.records import Champion
from mnist_tasks.report import words
from mnist_tasks.report.mail import RUN_ID_LIMIT, compose, links


@dataclass(frozen=True)
class Question:
    """`subject` and `body` (Markdown) are what Airflow shows, for `hours` at most.

    `manifest_sha256` is that of the candidate: what the answer will be about.
    """

    subject: str
    body: str
    hours: float
    mail: Mail
    manifest_sha256: str


def compose_question(chain: Chain, slug: str, *, step: str, airflow_url: str = "") -> Question:
    """What to ask before anything is promoted, in a run that has `approval_hours`.

    Args:
        chain: Where the run is.
        slug: Which run.
        step: The step of the DAG that asks: where Airflow takes the answer.
        airflow_url: Address of the Airflow UI; empty: no links.

    Raises:
        NotFoundError: a candidate of the run's plan was not committed.
        IntegrityError: what is stored is not what it has to be.
    """
    storage, layout = chain.storage, chain.layout
    plan = plans.read_plan(storage, layout, slug)
    last = chain.find_newest()
    champion = last.decision.champion if last else None
    best = plans.pick_best(storage, layout, slug)
    sha256 = checkpoints.fingerprint(storage, layout, best)
    return render_question(layout.classifier, plan, best, sha256, champion, step=step, airflow_url=airflow_url)


def render_question(
    classifier: Classifier,
    plan: Plan,
    best: Manifest,
    manifest_sha256: str,
    champion: Champion | None,
    *,
    step: str,
    airflow_url: str = "",
) -> Question:
    """The question about one candidate; pure."""
    limit = plan.config.approval_hours or 0
    accuracy = words.percent(best.validation_accuracy)
    facts = {
        "Candidate": f"{best.name}, the best of {len(plan.jobs)}",
        "On validation images": f"{accuracy} accuracy, loss {best.validation_loss:.4f}, by training's own account",
        "Best epoch": f"{best.best_epoch} of {best.job.epochs}",
        "Champion now": f"{champion.name}, {words.percent(champion.accuracy)} on test images" if champion else "none",
    }
    then = (
        "If you approve, it is examined on the test images as always: gates and comparison decide what becomes of it.",
        "If you reject it, nothing is promoted and the champion stays.",
        f"If nobody answers within {hours(limit)}, nothing is promoted either.",
    )
    headline = f"May {best.name} be promoted?"
    run_url = words.run_url(airflow_url, plan.dag_id, plan.run_id)
    values = {
        "headline": headline,
        "facts": facts,
        "then": then,
        "dag_id": plan.dag_id,
        "run_id": one_line(plan.run_id, RUN_ID_LIMIT),
        "answer_url": f"{run_url}/tasks/{step}/required_actions" if run_url else "",
        **links(airflow_url, plan.dag_id, plan.run_id),
    }
    waits = f"waits for your approval: {accuracy} on validation"
    rows = [f"- **{name}:** {value}" for name, value in facts.items()]
    return Question(
        subject=headline,
        body="\n".join([*rows, "", *(f"{sentence}\n" for sentence in then)]),
        hours=limit,
        mail=compose("approval_mail", f"{words.prefix(classifier)}{waits}", values),
        manifest_sha256=manifest_sha256,
    )
