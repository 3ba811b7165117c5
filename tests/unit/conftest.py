"""The DAG folder parsed as Airflow parses it, in a process of its own: parsing must not depend on what tests import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

PARSE = """
import json, sys
before = set(sys.modules)
import botocore.client
created = []
original = botocore.client.ClientCreator.create_client
def spy(self, service_name, *args, **kwargs):
    created.append(service_name)
    return original(self, service_name, *args, **kwargs)
botocore.client.ClientCreator.create_client = spy

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.definitions.mappedoperator import MappedOperator

bag = DagBag(sys.argv[1])
modules = set(sys.modules) - before

def described(task):
    own = task.partial_kwargs if isinstance(task, MappedOperator) else vars(task)
    policy = own.get("retry_policy")
    return {
        "downstream": sorted(task.downstream_task_ids),
        "trigger_rule": task.trigger_rule.value,
        "type": task.task_type,
        "mapped": isinstance(task, MappedOperator),
        "outlets": [asset.name for asset in task.outlets],
        "owner": task.owner,
        "retries": task.retries,
        "longest_wait": task.max_retry_delay and task.max_retry_delay.total_seconds(),
        "unrolled": bool(getattr(task, "multiple_outputs", False)),
        "rules": [[rule.exception_path, rule.action.value] for rule in policy.rules] if policy else [],
    }

print(json.dumps({
    "errors": bag.import_errors,
    "modules": sorted(modules),
    "clients": created,
    "dags": {
        dag_id: {
            "tasks": {task.task_id: described(task) for task in dag.tasks},
            "params": {name: {"default": p.value, "schema": p.schema, "description": p.description}
                       for name, p in ((n, dag.params.get_param(n)) for n in dag.params)},
            "catchup": dag.catchup,
            "paused_at_first": dag.is_paused_upon_creation,
            "start_date": dag.start_date,
            "max_active_runs": dag.max_active_runs,
            "schedule": getattr(dag.schedule, "expression", dag.schedule),
            "timezone": str(getattr(dag.schedule, "timezone", "")),
            "doc": dag.doc_md or "",
            "tags": sorted(dag.tags),
            "description": dag.description,
            "timeout": dag.dagrun_timeout.total_seconds() if dag.dagrun_timeout else None,
        }
        for dag_id, dag in bag.dags.items()
    },
}, default=str))
"""


@pytest.fixture(scope="session")
def parse(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """`parse(folder, NAME="value")`: what a DAG folder turns into, with the modules and AWS clients that it costs."""
    home = tmp_path_factory.mktemp("airflow")

    def parse(folder: Path, **variables: str) -> dict[str, Any]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AIRFLOW_HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            **variables,
        }
        command = [sys.executable, "-c", PARSE, str(folder)]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])

    return parse


@pytest.fixture(scope="session")
def parsed(parse: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The project's own DAG folder."""
    return parse(ROOT / "dags")
