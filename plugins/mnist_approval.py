"""The operator that asks a person before anything is promoted: Airflow's own, made to ask only where a run wants it.

What it does otherwise than `HITLOperator` (standard provider 1.21.0):

- A run that asks nobody skips it at once: no request, no waiting, no trigger.
- What is asked is read from manifests when the step runs, and is no template: Jinja would run what a name contains.
- A mail calls for the answer, once.
- The answer is kept with the run, and with what it was given to: a run that is cleared asks nobody a second time, and
  nobody stands for another candidate than he was shown.
- Rejection and time-out are results, not failures: the promoter records them, and the run ends with report and mail.
  (`ApprovalOperator` would skip those steps.)
- `airflow dags test` is refused: it waits for ever, for nobody would apply the time-out there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.exceptions import AirflowSkipException

from mnist_tasks.config import RunConfig
from mnist_tasks.errors import ConfigurationError
from mnist_wiring import SETTINGS, chain_of_decisions, layout_of, send_once, slug_of, storage

if TYPE_CHECKING:
    from mnist_tasks.classifier import Classifier
    from mnist_tasks.layout import Layout
    from mnist_tasks.notify import Mail

APPROVE, REJECT = "Approve", "Reject"
ASKED = "asked"  # key of the task state: which candidate the question is about, until there is an answer


class AskOperator(HITLOperator):
    """Asks for an approval of the classifier's candidate, and keeps the answer; `kwargs` are the stock operator's."""

    def __init__(self, *, classifier: Classifier, **kwargs: Any) -> None:
        # Without a time limit of its own: the stock operator would take that for how long to wait.
        super().__init__(
            subject="", options=[APPROVE, REJECT], defaults=REJECT, **{"execution_timeout": None, **kwargs}
        )
        self.classifier = classifier

    def execute(self, context: Any) -> str:
        """Ask, and free the worker until there is an answer; returns the answer that an earlier try has kept.

        Raises:
            AirflowSkipException: nobody is to be asked.
            ConfigurationError: this is `airflow dags test`.
        """
        if not _asks(context):
            raise AirflowSkipException("nobody is asked: this run does not want it")
        from mnist_tasks.promotion import answers
        from mnist_tasks.report import compose_question

        slug = slug_of(context["dag_run"])
        if answer := answers.find(storage(), layout_of(self.classifier), slug):
            return answer.reply
        if _is_dags_test():
            raise ConfigurationError(
                "`airflow dags test` cannot wait for a person's approval",
                mend="trigger the run under the scheduler, or without approval_hours",
            )
        told = {"step": self.task_id, "airflow_url": SETTINGS.airflow_url}
        question = compose_question(chain_of_decisions(self.classifier), slug, **told)
        context["task_state_store"].set(ASKED, question.manifest_sha256)
        self.subject, self.body = question.subject, question.body
        self.response_timeout = timedelta(hours=question.hours)
        # After the request is in Airflow's database: who follows the mail finds it there.
        self.notifiers = [lambda context: _call_for_answer(self.classifier, context, question.mail)]
        return super().execute(context)  # raises what frees the worker

    def execute_complete(self, context: Any, event: dict[str, Any]) -> str:
        """Keep what the person said, or that nobody did; returns it."""
        from mnist_tasks.promotion import answers

        chosen = super().execute_complete(context, event)
        user = chosen["responded_by_user"]
        reply = "approved" if chosen["chosen_options"] == [APPROVE] else "rejected" if user else "unanswered"
        values = {
            "reply": reply,
            "by": user["name"] if user else None,
            "manifest_sha256": context["task_state_store"].get(ASKED),
        }
        answer = answers.Answer.checked(values, mend="clear the step, and let somebody answer whose name is plain text")
        answers.keep(storage(), layout_of(self.classifier), slug_of(context["dag_run"]), answer)
        return reply


def answer_of(layout: Layout, context: Any) -> dict[str, Any]:
    """The part of the promoter's job that tells what a person answered; nothing where nobody was asked."""
    if not _asks(context):
        return {}
    from mnist_tasks.promotion import answers

    answer = answers.find(storage(), layout, slug_of(context["dag_run"]))
    return answer.told() if answer else {}


def _asks(context: Any) -> bool:
    # Known from the form: a run that asks nobody needs nothing of S3 to know it.
    return RunConfig.from_params(context["params"], context["dag_run"].conf).approval_hours is not None


def _call_for_answer(classifier: Classifier, context: Any, mail: Mail) -> None:
    from mnist_tasks.plan import read_plan

    slug = slug_of(context["dag_run"])
    recipients = read_plan(storage(), layout_of(classifier), slug).config.recipients or classifier.recipients
    send_once(classifier, mail, slug=slug, kind="approval", recipients=recipients)


def _is_dags_test() -> bool:
    """Whether this process stands in for scheduler and supervisor, as only `DAG.test` makes it do."""
    from airflow.sdk.execution_time import supervisor, task_runner

    comms = getattr(task_runner, "SUPERVISOR_COMMS", None)  # which a step that runs without either does not have
    return isinstance(comms, supervisor.InProcessSupervisorComms)
