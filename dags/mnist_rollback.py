"""Put an earlier final back into service, by hand and with a reason.

Trigger it with the name of a final (`mnist_model_..._final`; reports and decisions list them) and a reason. The final
is read and verified first; the move is a decision in the same chain as every promotion, and its mail goes to the
deployment's recipients. A step that is run again moves nothing a second time.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, TriggerRule, task
from mnist_wiring import (
    DEFAULT_ARGS,
    ON_PROMOTER,
    RELEASED,
    SETTINGS,
    announce,
    chain_of_decisions,
    form,
    promotion,
    send_failure,
    send_once,
    slug_of,
)

from mnist_ecs import EcsWorkOperator
from mnist_tasks.config import RollbackConfig


def wish(context: Any) -> Any:
    """What the person asked for, checked, as the promoter's work."""
    wished = RollbackConfig.from_params(context["params"], context["dag_run"].conf)
    return promotion(context["dag_run"], action="rollback", to=wished.to, reason=wished.reason)


with DAG(
    dag_id="mnist_rollback",
    description="Points the champion back to an earlier final",
    schedule=None,
    # It runs only when somebody asks for it, and then nobody wants to find out that it waits for a switch.
    is_paused_upon_creation=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    params=form(RollbackConfig),
    tags=["mnist", "rollback"],
    doc_md=__doc__,
):
    # The promoter verifies the final, records the decision, moves the champion.
    rollback = EcsWorkOperator(task_id="rollback", **ON_PROMOTER, work=wish, outlets=[RELEASED], post_execute=announce)

    @task
    def email_rollback(*, dag_run: Any = None) -> bool:
        """Tell the deployment's recipients what was moved and why, once; returns whether this try sent it."""
        from mnist_tasks import report

        slug = slug_of(dag_run)
        run = {"dag_id": dag_run.dag_id, "run_id": dag_run.run_id, "airflow_url": SETTINGS.airflow_url}
        return send_once(report.compose_rollback_mail(chain_of_decisions(), slug, **run), slug=slug, kind="rollback")

    @task(trigger_rule=TriggerRule.ONE_FAILED)
    def email_failure(*, dag_run: Any = None, ti: Any = None) -> str:
        """Mail what failed and why."""
        return send_failure(ti, dag_run)

    rollback >> [email_rollback(), email_failure()]
