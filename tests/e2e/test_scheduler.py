"""Under the scheduler: the nightly schedule and a trigger by REST with a JWT, with the same DAG file."""

import json
import os
import re
import subprocess
import sys
import urllib.error
from datetime import UTC, datetime, timedelta

import pytest

from mnist_tasks.layout import run_slug
from tests.e2e.airflow import DEADLINE_SECONDS, Api, eventually, started, states
from tools.laptop import ROOT, Laptop
from tools.mnist import surroundings

TRAINING = "/api/v2/dags/mnist_training"


@pytest.fixture(scope="module")
def airflow(pipeline):
    """API server, scheduler and DAG processor over the one-machine cloud."""
    laptop = Laptop(pipeline.home / ".airflow" / "up", pipeline.laptop.cloud)
    with started(laptop, MNIST_SCHEDULE="* * * * *") as running:  # the next "night" is at most a minute away
        yield running.api


@pytest.fixture(scope="module")
def switched_on(airflow):
    """When the DAG was taken out of its pause.

    Its next run is the one that the last parse computed, some time ago: that is not to be over already.
    """

    def ahead():
        run_after = airflow.get(TRAINING)["next_dagrun_run_after"]
        return run_after and datetime.fromisoformat(run_after) > datetime.now(UTC) + timedelta(seconds=5)

    eventually(ahead, "a parse that computes a run to come")
    now = datetime.now(UTC)
    airflow.patch(TRAINING, {"is_paused": False})
    return now


@pytest.fixture(scope="module")
def triggered(airflow, switched_on):
    """A run that was triggered by REST."""
    return airflow.await_run(airflow.trigger({"candidates": 1, "seed": 7}))


@pytest.fixture(scope="module")
def nightly(airflow, triggered):
    """The first run that the scheduler makes of its own accord. No other one moves the champion after it."""
    path = f"{TRAINING}/dagRuns?run_type=scheduled&order_by=run_after"
    runs = eventually(lambda: airflow.get(path)["dag_runs"], "a run that the scheduler started")
    ended = airflow.await_run(runs[0]["dag_run_id"])
    airflow.patch(TRAINING, {"is_paused": True})
    return ended


def test_a_trigger_by_rest_runs_with_its_parameters(triggered, pipeline):
    run, tasks = triggered

    assert run["run_type"] == "manual"
    assert run["state"] == "success", states(tasks)
    plan = pipeline.storage.get(f"runs/{run_slug('mnist_training', run['dag_run_id'])}/plan.json").json()
    assert (plan["seed"], len(plan["jobs"])) == (7, 1)


def test_the_schedule_runs_the_pipeline_at_its_minute_and_makes_up_for_none(nightly, switched_on):
    run, tasks = nightly
    slot = datetime.fromisoformat(run["logical_date"])

    assert run["state"] == "success", states(tasks)
    assert slot.second == 0
    assert slot > switched_on


def test_candidates_train_side_by_side(nightly):
    _, tasks = nightly
    first, second = sorted((task for task in tasks if task["task_id"] == "train"), key=lambda task: task["start_date"])

    assert second["start_date"] < first["end_date"]


def test_a_mapped_task_is_called_by_its_candidates_name(nightly):
    _, tasks = nightly

    assert all(task["rendered_map_index"].startswith("mnist_model_") for task in tasks if task["task_id"] == "train")


def test_the_containers_lines_are_in_the_airflow_task_log(airflow, nightly):
    run, _ = nightly
    path = f"/api/v2/dags/mnist_training/dagRuns/{run['dag_run_id']}/taskInstances/train/logs/1?map_index=0"

    assert "epoch 10/10" in json.dumps(airflow.get(path))


def extra_of_newest_event(airflow, name):
    events = [event for event in airflow.get("/api/v2/assets/events")["asset_events"] if event["name"].endswith(name)]
    return max(events, key=lambda event: event["timestamp"])["extra"]


def test_the_data_sets_asset_records_what_was_downloaded(airflow, nightly):
    assert re.fullmatch("[0-9a-f]{64}", extra_of_newest_event(airflow, "/datasets/mnist")["sha256"])


def test_the_nightly_report_is_mailed(pipeline, nightly):
    run, _ = nightly

    assert len(pipeline.mails(run_slug("mnist_training", run["dag_run_id"]))) == 1


def test_a_rollback_by_rest_moves_the_champion_and_updates_its_asset(airflow, nightly, pipeline):
    champion = pipeline.storage.get("checkpoints/champion.json").json()["name"]
    finals = {key.split("/")[1] for key in pipeline.all_keys() if key.endswith("_final/manifest.json")}
    target = max(finals - {champion})
    conf = {"to": target, "reason": "the end-to-end test wants it"}

    run, tasks = airflow.await_run(airflow.trigger(conf, "mnist_rollback"), "mnist_rollback")

    assert run["state"] == "success", states(tasks)
    assert pipeline.storage.get("checkpoints/champion.json").json()["name"] == target
    assert target in json.dumps(extra_of_newest_event(airflow, "/checkpoints/champion.json"))


def test_a_rollback_from_the_command_line_is_the_same_and_its_failure_tells_the_cause(airflow, nightly, pipeline):
    """As a person in the checkout calls it: `tools.mnist` finds Airflow's address and password by itself."""
    champion = pipeline.storage.get("checkpoints/champion.json").json()["name"]
    finals = {key.split("/")[1] for key in pipeline.all_keys() if key.endswith("_final/manifest.json")}
    target = max(finals - {champion})
    home = pipeline.home / ".airflow" / "up"
    cloud = pipeline.laptop.cloud.environment
    environment = {**os.environ, **cloud, **surroundings(cloud, airflow=home), "PYTHONPATH": str(ROOT)}

    def mnist(*words):
        command = [sys.executable, "-m", "mnist_tasks.cli", *words, "--json"]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
        )

    def rollback(*words):
        return mnist("rollback", "--to", target, "--reason", "a person at a terminal wants it", "--yes", *words)

    damaged = pipeline.storage.get(f"checkpoints/{target}/weights").body
    pipeline.storage.put(f"checkpoints/{target}/weights", b"changed")
    failed = rollback("--wait")
    pipeline.storage.put(f"checkpoints/{target}/weights", damaged)
    done = rollback("--wait")

    assert (failed.returncode, failed.stdout) == (1, "")
    assert "has SHA-256" in json.loads(failed.stderr)["error"]["problem"]
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["decision"]["champion"] == target
    assert json.loads(mnist("champion").stdout)["champion"]["name"] == target
    assert target in json.dumps(extra_of_newest_event(airflow, "/checkpoints/champion.json"))

    airflow.patch("/api/v2/dags/mnist_rollback", {"is_paused": True})
    target = champion
    paused = rollback()
    airflow.patch("/api/v2/dags/mnist_rollback", {"is_paused": False})
    assert paused.returncode == 2
    assert "is paused" in json.loads(paused.stderr)["error"]["problem"]


def test_a_value_outside_the_forms_bounds_is_refused_before_a_run_exists(airflow):
    with pytest.raises(urllib.error.HTTPError) as refused:
        airflow.trigger({"epochs": 0})

    assert refused.value.code in {400, 422}


def test_without_a_token_nothing_can_be_triggered(airflow):
    with pytest.raises(urllib.error.HTTPError) as refused:
        Api(airflow.url).trigger({})

    assert refused.value.code == 401
