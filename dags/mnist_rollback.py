"""Put an earlier final back into service, by hand and with a reason.

Trigger it with the name of a final (`mnist_model_..._final`; reports and decisions list them) and a reason. The final
is read and verified first; the move is a decision in the same chain as every promotion, and its mail goes to the
deployment's recipients. A step that is run again moves nothing a second time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, TriggerRule, task
from mnist_wiring import (
    CHAMPION,
    DEFAULT_ARGS,
    LAYOUT,
    RELEASED,
    SETTINGS,
    encryption,
    form,
    send_failure,
    send_once,
    slug_of,
    storage,
)

from mnist_tasks.config import RollbackConfig

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

    @task(outlets=[RELEASED])
    def rollback(*, params: Any = None, dag_run: Any = None, outlet_events: Any = None) -> dict[str, Any]:
        """Verify the final, record the decision, move the champion."""
        from mnist_tasks.promotion import release

        wish = RollbackConfig.from_params(params, dag_run.conf)
        decision = release.rollback(
            storage(),
            encryption(),
            LAYOUT,
            to=wish.to,
            reason=wish.reason,
            slug=slug_of(dag_run),
            now=datetime.now(UTC),
        )
        outlet_events[RELEASED].add(CHAMPION, extra=decision.summary())
        return decision.summary()

    @task
    def email_rollback(*, dag_run: Any = None) -> bool:
        """Tell the deployment's recipients what was moved and why, once; returns whether this try sent it."""
        from mnist_tasks import report

        slug = slug_of(dag_run)
        run = {"dag_id": dag_run.dag_id, "run_id": dag_run.run_id, "airflow_url": SETTINGS.airflow_url}
        return send_once(report.compose_rollback_mail(storage(), LAYOUT, slug, **run), slug=slug, kind="rollback")

    @task(trigger_rule=TriggerRule.ONE_FAILED)
    def email_failure(*, dag_run: Any = None, ti: Any = None) -> str:
        """Mail what failed and why."""
        return send_failure(ti, dag_run)

    moved = rollback()
    moved >> email_rollback()
    moved >> email_failure()
