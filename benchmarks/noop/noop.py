"""A DAG of as many tasks as `mnist_training`, with the same operators, that does nothing: what Airflow itself costs."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.providers.amazon.aws.operators.ecs import EcsRunTaskOperator
from airflow.sdk import DAG, TriggerRule, chain, task
from airflow.sdk.exceptions import AirflowSkipException

SKIPPED = "skipped"
POLL_SECONDS = float(os.environ["MNIST_POLL_SECONDS"])
CONTAINER: dict[str, Any] = {
    "cluster": os.environ["MNIST_CLUSTER"],
    "task_definition": "noop",
    "launch_type": "FARGATE",
    "network_configuration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
    "container_name": "trainer",
    "awslogs_group": os.environ["MNIST_LOG_GROUP"],
    "awslogs_stream_prefix": "trainer/trainer",
    "awslogs_fetch_interval": timedelta(seconds=POLL_SECONDS),
    "waiter_delay": POLL_SECONDS,
    "waiter_max_attempts": 1000,
    "do_xcom_push": False,
}


def overrides(what: str) -> dict[str, Any]:
    """A variable of the container's, as a job is handed over."""
    return {"containerOverrides": [{"name": "trainer", "environment": [{"name": "WHAT", "value": what}]}]}


with DAG(dag_id="noop", schedule=None):

    @task
    def nothing(what: Any = None) -> Any:
        """Hand on what came."""
        if what == SKIPPED:
            raise AirflowSkipException
        return what

    def step(task_id: str, what: Any = None, **options: Any) -> Any:
        """A step of the name that `mnist_training` gives it."""
        return nothing.override(task_id=task_id, **options)(what)

    @task
    def plan(what: str) -> list[dict[str, Any]]:
        """One candidate."""
        return [{"overrides": overrides(what)}]

    downloaded = step("download", "nothing")
    validated = step("validate", downloaded)
    planned = plan(validated)
    trained = EcsRunTaskOperator.partial(task_id="train", **CONTAINER).expand_kwargs(planned)
    approved = step("approve", SKIPPED)
    best, reported = step("pick_best"), step("report")
    promoted = EcsRunTaskOperator(
        task_id="promote", overrides=overrides("promote"), trigger_rule=TriggerRule.NONE_FAILED, **CONTAINER
    )
    chain(trained, best, approved, promoted, reported, step("email_report"))
    failed = step("email_failure", trigger_rule=TriggerRule.ONE_FAILED)
    [downloaded, validated, planned, trained, best, approved, promoted, reported] >> failed
