"""The DAGs' own steps, called as Airflow's task runner calls them, without Airflow's database.

What the runner gives a task is made here from Airflow's own classes where they need no server, and else from stand-ins
that a process can be killed in the middle of: task state in a file, the run's other tasks as they ended.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import localcloud
from tests.container import ROOT
from tests.sweep.clock import stopped_clock
from tests.sweep.faults import Wire
from tests.tries import FileState

# The stack's own: no role reaches another one.
BUCKET = "contract-management-bucket-bkvww1ps"
_READ_SETTINGS = ("mnist_wiring", "mnist_ecs", "mnist_approval", "mnist_dags")
# Short enough for a point to take seconds; both are only how often somebody looks.
_POLL_SECONDS = 0.3
# What a step that asks a person hears.
ANSWER = {
    "chosen_options": ["Approve"],
    "params_input": {},
    "responded_at": datetime(2026, 11, 24, 8, tzinfo=UTC),
    "responded_by_user": {"id": "1", "name": "admin"},
}


def environment(cloud: localcloud.Cloud, home: Path, dataset: Path) -> dict[str, str]:
    """What Airflow's processes have in their environment, beside that of this process: the worker's role, among it."""
    smtp = {
        "conn_type": "smtp",
        "host": cloud.environment["SMTP_HOST"],
        "port": int(cloud.environment["SMTP_PORT"]),
        "extra": {"disable_ssl": True, "disable_tls": True, "timeout": 60},
    }
    return {
        **cloud.as_role("worker"),
        "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(smtp),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "MNIST_BUCKET": BUCKET,
        "MNIST_POLL_SECONDS": "1",
        "MNIST_DATASET_URL": dataset.as_uri(),
    }


def enter(environment: Mapping[str, str]) -> None:
    """Make this environment that of this process, and parse the DAGs in it: they read their settings but once."""
    os.environ.update(environment)
    for module in _READ_SETTINGS:
        sys.modules.pop(module, None)
    dags.cache_clear()
    dags()


@cache
def dags() -> Mapping[str, Any]:
    """Both DAGs, parsed as Airflow parses them, and what their steps import: every try is then a fork of all that."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags"))
    assert not bag.import_errors, bag.import_errors
    import h5py  # noqa: F401
    from airflow.sdk.execution_time.context import OutletEventAccessors  # noqa: F401
    from matplotlib import figure  # noqa: F401

    import mnist_tasks.dataset
    import mnist_tasks.outbox
    import mnist_tasks.promotion.promote
    import mnist_tasks.report
    import mnist_tasks.validation  # noqa: F401

    _warm_up()
    return bag.dags


def _warm_up() -> None:
    """Make each kind of client once: what that reads from disk is a third of a try, and the same every time."""
    from airflow.providers.amazon.aws.hooks.ecs import EcsHook
    from airflow.providers.amazon.aws.hooks.logs import AwsLogsHook
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore import loaders

    shared = loaders.create_loader()
    loaders.create_loader = lambda _path=None: shared
    for hook in (S3Hook, EcsHook, AwsLogsHook):
        assert hook(aws_conn_id="aws_default").conn


@dataclass(frozen=True)
class Run:
    """A DAG run, as much of it as steps look at."""

    dag_id: str
    run_id: str
    conf: Mapping[str, Any]
    run_after: datetime
    clear_number: int = 0


@dataclass(frozen=True)
class Step:
    """One task of a run: `arguments` are what the steps before it returned, `mapped` the job of `train`.

    `ended` is what the run's other tasks ended in: task, map index, state, and the cause that they left.
    """

    run: Run
    task_id: str
    arguments: tuple[Any, ...] = ()
    mapped: Mapping[str, Any] | None = None
    ended: tuple[Mapping[str, Any], ...] = ()

    @property
    def task(self) -> Any:
        """The DAG's own task."""
        task = dags()[self.run.dag_id].get_task(self.task_id)
        return task if self.mapped is None else task.unmap({"job": dict(self.mapped)})


@dataclass
class TaskInstance:
    """What tasks ask of the task instance."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    max_tries: int
    stats_tags: Mapping[str, str] = field(default_factory=dict)
    ended: tuple[Mapping[str, Any], ...] = ()
    pushed: dict[str, Any] = field(default_factory=dict)
    id: UUID = field(default_factory=uuid4)

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def xcom_pull(self, *, task_ids: Iterable[str], key: str) -> list[Any]:
        return [task[key] for task in self.ended if task["task_id"] in set(task_ids) and key in task]

    def get_task_breadcrumbs(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        known = ("task_id", "map_index", "state", "operator", "duration")
        return [{name: task.get(name) for name in known} for task in self.ended]


@dataclass(frozen=True)
class TaskStateStore:
    """Airflow's task state, with the wire in between: a process may die before it is written, and after."""

    values: FileState
    wire: Wire

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        with self.wire.mortal("airflow.SetTaskState", key):
            self.values.set(key, value)

    def delete(self, key: str) -> None:
        with self.wire.mortal("airflow.DeleteTaskState", key):
            self.values.delete(key)


@dataclass(frozen=True)
class Ending:
    """How a try ended: `state` is success, retry or failed, as Airflow would call the task's next state."""

    state: str
    value: Any = None
    events: tuple[str, ...] = ()
    error: str = ""
    cause: Any = None


def execute(step: Step, try_number: int, now: datetime, store: TaskStateStore) -> Ending:
    """Run one try of a step in this process, at the moment `now`, and say what Airflow would do next."""
    from airflow.sdk.execution_time.context import OutletEventAccessors

    task, run = step.task, step.run
    instance = TaskInstance(
        run.dag_id,
        run.run_id,
        step.task_id,
        map_index=-1 if step.mapped is None else 0,
        try_number=try_number,
        max_tries=task.retries,
        ended=step.ended,
    )
    context = {
        "ti": instance,
        "task": task,
        "task_instance": instance,
        "run_id": run.run_id,
        "dag_run": run,
        "params": _params(task.dag) | run.conf,
        "outlet_events": OutletEventAccessors(),
        "task_state_store": store,
    }
    try:
        value = _call(task, step.arguments, context, now, store.wire)
    except Exception as error:  # noqa: BLE001 - whatever it is, Airflow would have to decide
        return _failure(task, error, instance, context)
    return Ending("success", value, tuple(sorted(map(repr, context["outlet_events"]._dict.values()))))


def _params(dag: Any) -> dict[str, Any]:
    return {name: dag.params.get_param(name).value for name in dag.params}


def _call(task: Any, arguments: tuple[Any, ...], context: dict[str, Any], now: datetime, wire: Wire) -> Any:
    import mnist_wiring
    from mnist_approval import AskOperator

    mnist_wiring.datetime = stopped_clock(now)  # type: ignore[attr-defined]
    if isinstance(task, AskOperator):
        return _ask(task, context, wire)
    function = getattr(task, "python_callable", None)
    if function is None:
        task.waiter_delay = _POLL_SECONDS
        task.awslogs_fetch_interval = timedelta(seconds=_POLL_SECONDS)
        value = task.execute(context)
        # As the task runner does after a success.
        if (announce := task._post_execute_hook) is not None:
            announce(context, value)
        return value
    function.__globals__["datetime"] = stopped_clock(now)
    wanted = {name: context[name] for name in signature(function).parameters if name in context}
    return function(*arguments, **wanted)


def _ask(task: Any, context: dict[str, Any], wire: Wire) -> Any:
    """Both halves of a step that asks a person, who approves at once.

    Airflow runs them in two processes; to die in the second one starts the step again from its first, as here.
    """
    from airflow.providers.standard.operators import hitl
    from airflow.sdk.exceptions import TaskAwaitingInput

    def request(**_request: Any) -> None:
        with wire.mortal("airflow.CreateHITLDetail", ""):
            pass

    hitl.upsert_hitl_detail = request
    try:
        return task.execute(context)
    except TaskAwaitingInput as waiting:
        return getattr(task, waiting.method_name)(context, ANSWER)


def _failure(task: Any, error: Exception, instance: TaskInstance, context: dict[str, Any]) -> Ending:
    """Airflow's own decision, by the task's own policy."""
    from airflow.sdk.definitions.retry_policy import RetryAction
    from airflow.sdk.exceptions import AirflowFailException

    decision = task.retry_policy.evaluate(error, instance.try_number, instance.max_tries, None)
    final = decision.action == RetryAction.FAIL or isinstance(error, AirflowFailException)
    said = f"{type(error).__name__}: {error}"
    if not final and instance.try_number <= instance.max_tries:
        return Ending("retry", error=said)
    for callback in _listed(task.on_failure_callback):
        callback({**context, "exception": error})
    return Ending("failed", error=said, cause=instance.pushed.get("failure"))


def _listed(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
