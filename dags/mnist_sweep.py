"""Stops tasks on ECS that nobody waits for any more.

The step that starts a task also stops it, whatever ends the step; only a worker that is killed when no retry is left
cannot. This DAG finds such tasks every hour: those whose run has ended, and those that outlived their own time limit.
Tasks of runs that this Airflow does not know (another one may share the cluster) are left to their time limit. So are
those of a rollback, because runs are known by their plans, and it has none: it takes seconds, and trains nothing.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, CronTriggerTimetable, TriggerRule, task

from mnist_tasks.definitions.mnist import MNIST
from mnist_wiring import DEFAULT_ARGS, SETTINGS, run_is_over, send_failure

# The longest MNIST_TIME_LIMIT_SECONDS of the template, and time for an image to arrive and a container to end.
LONGEST = timedelta(hours=2)

with DAG(
    dag_id="mnist_sweep",
    description="Stops ECS tasks that nobody waits for",
    schedule=CronTriggerTimetable("17 * * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,  # a net that somebody has to switch on first catches nothing
    default_args=DEFAULT_ARGS,
    tags=["mnist", "sweep"],
    doc_md=__doc__,
):

    @task
    def stop_leftovers(*, ti: Any = None) -> list[str]:
        """Returns the jobs whose tasks were stopped: candidates, `promote`, `rollback`."""
        from airflow.providers.amazon.aws.hooks.ecs import EcsHook

        from mnist_tasks import leftovers

        return leftovers.stop_leftovers(
            EcsHook(aws_conn_id="aws_default").conn,
            cluster=SETTINGS.cluster,
            task_definitions=(SETTINGS.task_definition, SETTINGS.promoter_task_definition),
            is_over=lambda slug: run_is_over(ti, slug),
            now=datetime.now(UTC),
            longest=LONGEST,
        )

    @task(trigger_rule=TriggerRule.ONE_FAILED)
    def email_failure(*, dag_run: Any = None, ti: Any = None) -> str:
        """Mail that the net has a hole, and why: to MNIST's recipients, whoever's tasks they are."""
        return send_failure(MNIST.deployed(os.environ), ti, dag_run)

    # With the mail as the only leaf, its success would turn a failed run green.
    stop_leftovers() >> [EmptyOperator(task_id="swept"), email_failure()]
