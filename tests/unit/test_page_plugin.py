"""What the page costs where nobody looks at it: plugins are loaded in every process of Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LOAD = """
import json, sys
from airflow import plugins_manager

plugins, errors = plugins_manager._get_plugins()
(page,) = [plugin for plugin in plugins if plugin.name == "mnist_page"]
print(json.dumps({
    "errors": errors,
    "modules": sorted(sys.modules),
    "views": page.external_views,
    "apps": [[app["name"], app["url_prefix"]] for app in page.fastapi_apps],
}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The plugins as any process of Airflow loads them."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    command = [sys.executable, "-c", LOAD]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def test_every_plugin_loads(loaded):
    assert loaded["errors"] == {}


@pytest.mark.parametrize("module", ["mnist_dags", "mnist_ecs", "mnist_approval", "mnist_wiring", "boto3"])
def test_what_dags_need_is_not_loaded_where_nobody_parses_them(loaded, module):
    assert [name for name in loaded["modules"] if name == module or name.startswith(f"{module}.")] == []


@pytest.mark.parametrize("module", ["fastapi", "starlette", "mnist_page_routes", "mnist_tasks.page"])
def test_the_page_is_made_when_it_is_asked_for_and_not_before(loaded, module):
    assert [name for name in loaded["modules"] if name == module or name.startswith(f"{module}.")] == []


def test_it_is_a_tab_of_the_dag_and_of_a_run_below_whatever_path_airflow_is_served(loaded):
    assert [view["destination"] for view in loaded["views"]] == ["dag", "dag_run"]
    assert all(view["href"].startswith("mnist/?") for view in loaded["views"])
    assert {view["name"] for view in loaded["views"]} == {"Model"}  # every classifier's DAGs have it
    assert [view["url_route"] for view in loaded["views"]] == ["mnist", "mnist_run"]  # mails lead there
    assert loaded["apps"] == [["MNIST page", "/mnist"]]
