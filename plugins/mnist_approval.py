"""The operator that asks a person before anything is promoted: Airflow's own, made to ask only where a run wants it.

What it does otherwise than `HITLOperator` (standard provider 1.21.0):

- A run that asks nobody skips it at once: no request, no waiting, no trigger.
- What is asked is read from manifests when the step runs, and is no template: Jinja would run what a name contains.
- A mail calls for the answer, once.
- Rejection and time-out are results, not failures: the promoter records them, and the run ends with report and mail.
  (`ApprovalOperator` would skip those steps.)
- `airflow dags test` is refused: it waits for ever, for nobody would apply the time-out there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.exceptions import AirflowSkipException

from mnist_tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from mnist_tasks.report.approval import Question

APPROVE, REJECT = "Approve", "Reject"


class AskOperator(HITLOperator):
    """Asks for an approval; returns the part of `mnist_tasks.config.PromotionJob` that tells the answer.

    Args:
        question: Makes the question of the context that Airflow gives this step; None: nobody is to be asked.
        call: Sends the mail that calls for an answer, unless it was sent before.
        kwargs: Those of the stock operator.
    """

    def __init__(
        self,
        *,
        question: Callable[[Any], Question | None],
        call: Callable[[Any, Question], object],
        **kwargs: Any,
    ) -> None:
        # Without a time limit of its own: the stock operator would take that for how long to wait.
        super().__init__(
            subject="", options=[APPROVE, REJECT], defaults=REJECT, **{"execution_timeout": None, **kwargs}
        )
        self.make_question = question
        self.call = call

    def execute(self, context: Any) -> None:
        """Ask, and free the worker until there is an answer.

        Raises:
            AirflowSkipException: nobody is to be asked.
            ConfigurationError: this is `airflow dags test`.
        """
        question = self.make_question(context)
        if question is None:
            raise AirflowSkipException("this run asks nobody: its gates and its comparison decide alone")
        if _is_dags_test():
            raise ConfigurationError(
                "`airflow dags test` cannot wait for a person's approval",
                mend="trigger the run under the scheduler, or without approval_hours",
            )
        self.subject, self.body = question.subject, question.body
        self.response_timeout = timedelta(hours=question.hours)
        # After the request is in Airflow's database: who follows the mail finds it there.
        self.notifiers = [lambda context: self.call(context, question)]
        super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, str]:
        """What the person said, or that nobody did."""
        chosen = super().execute_complete(context, event)
        user = chosen["responded_by_user"]
        if user is None:
            return {"answer": "unanswered"}
        answer = "approved" if chosen["chosen_options"] == [APPROVE] else "rejected"
        return {"answer": answer, "answered_by": user["name"]}


def _is_dags_test() -> bool:
    """Whether this process stands in for scheduler and supervisor, as only `DAG.test` makes it do."""
    from airflow.sdk.execution_time import supervisor, task_runner

    return isinstance(task_runner.SUPERVISOR_COMMS, supervisor.InProcessSupervisorComms)
