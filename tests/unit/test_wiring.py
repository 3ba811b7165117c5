"""What the DAGs share, in a process of its own: importing it reads the environment's settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.jobs import JOB

ROOT = Path(__file__).resolve().parents[2]
FAILED = {"task_id": "promote", "map_index": -1, "state": "failed", "duration": 1.25}
OTHER = {"task_id": "train", "map_index": 1, "state": "failed", "duration": None}


def failure_ids(tmp_path: Path, *failures: list[dict[str, Any]]) -> list[str]:
    code = "import json, sys, mnist_wiring; print(json.dumps([*map(mnist_wiring.failure_id, json.load(sys.stdin))]))"
    found: list[str] = in_wiring(tmp_path, code, failures)
    return found


def in_wiring(tmp_path: Path, code: str, given: object = None) -> Any:
    """What the code prints last, as JSON."""
    environment = {
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_failure_has_one_id_at_every_try_to_mail_it_and_another_one_when_the_cleared_run_fails_again(
    tmp_path: Path,
) -> None:
    both, turned, again, less = failure_ids(
        tmp_path, [FAILED, OTHER], [OTHER, FAILED], [FAILED | {"duration": 1.5}, OTHER], [FAILED]
    )

    assert both == turned
    assert len({both, again, less}) == 3


def test_a_failed_step_leaves_the_end_of_its_log(tmp_path: Path) -> None:
    """Of its container, or of an error that nobody foresaw the traceback; a foreseen error says it all by itself."""
    code = """
import json
from mnist_tasks.errors import ContainerFailed, DataError
from mnist_wiring import log_tail

container = ContainerFailed("exited with 7")
container.log = tuple(f"line {number}\\x1b[2J" for number in range(40))
try:
    {}["nothing"]
except KeyError as error:
    unforeseen = error
print(json.dumps([log_tail(container), log_tail(unforeseen), log_tail(DataError("x")), log_tail(None)]))
"""
    container, unforeseen, foreseen, unknown = in_wiring(tmp_path, code)

    assert container == [f"line {number} [2J" for number in range(25, 40)]
    assert unforeseen[-1] == "KeyError: 'nothing'"
    assert foreseen == unknown == []


def test_an_earlier_failure_is_known_by_the_subject_that_its_mail_left(tmp_path: Path) -> None:
    code = """
import json
from types import SimpleNamespace
from mnist_wiring import earlier_failure

answers = [["MNIST: failed at validate"], [None], [], [{"not": "a subject"}], [7]]
print(json.dumps([earlier_failure(SimpleNamespace(xcom_pull=lambda a=a, **_: a)) for a in answers]))
"""
    assert in_wiring(tmp_path, code) == ["MNIST: failed at validate", "", "", "", ""]


def test_a_cause_that_somebody_else_has_written_into_xcom_is_no_cause_and_the_mail_goes_out(tmp_path: Path) -> None:
    code = """
import json
from types import SimpleNamespace
from mnist_wiring import failed_steps

left = [None, 7, "x", [], {}, {"step": "promote"}, {"step": ["promote"], "map_index": -1}, {"step": "promote", "x": 1}]
pulls = [SimpleNamespace(xcom_pull=lambda one=one, **_: [one]) for one in left]
failed = [{"task_id": "promote", "map_index": -1}]
print(json.dumps([step.problem for pull in pulls for step in failed_steps(pull, failed)]))
"""
    problems = in_wiring(tmp_path, code)

    assert problems.pop(5) == ""  # the one that is a cause, and says nothing
    assert set(problems) == {"the step ended without a word: its worker was lost or killed"}


def test_encryption_of_mails_is_off_where_the_connection_says_so_and_not_because_it_says_false(tmp_path: Path) -> None:
    code = """
import json, os, sys
from mnist_wiring import mail_server

def encryption(connection):
    os.environ["AIRFLOW_CONN_SMTP_DEFAULT"] = connection
    server = mail_server()
    return [server.ssl, server.starttls]

print(json.dumps([encryption(connection) for connection in json.load(sys.stdin)]))
"""
    uri, extras = "smtp://mail:587", {"conn_type": "smtp", "host": "mail"}
    expected = {
        uri: [True, False],
        f"{uri}?disable_ssl=true": [False, True],
        f"{uri}?disable_ssl=True&disable_tls=false": [False, True],
        f"{uri}?disable_ssl=yes&disable_tls=No": [False, True],
        f"{uri}?disable_ssl=1&disable_tls=0": [False, True],
        f"{uri}?disable_ssl=true&disable_tls=true": [False, False],
        f"{uri}?disable_ssl=never": [True, False],
        json.dumps(extras | {"extra": {"disable_ssl": True, "disable_tls": True}}): [False, False],
        json.dumps(extras | {"extra": {"disable_ssl": True, "disable_tls": False}}): [False, True],
        json.dumps(extras | {"extra": {"disable_ssl": None}}): [True, False],
    }

    assert in_wiring(tmp_path, code, list(expected)) == list(expected.values())


def test_a_time_limit_for_the_mail_server_that_is_no_number_of_seconds_is_refused(tmp_path: Path) -> None:
    code = """
import json, os, sys
from mnist_tasks.errors import ConfigurationError
from mnist_wiring import mail_server

def timeout(value):
    os.environ["AIRFLOW_CONN_SMTP_DEFAULT"] = json.dumps({"conn_type": "smtp", "extra": {"timeout": value}})
    try:
        return mail_server().timeout
    except ConfigurationError as error:
        return str(error)

print(json.dumps([timeout(value) for value in json.load(sys.stdin)]))
"""
    wrong = ["10 s", "", "nan", "inf", 0, -1, None, True, [10]]

    whole, fraction, *refused = in_wiring(tmp_path, code, [12, "2.5", *wrong])

    assert [whole, fraction] == [12.0, 2.5]
    for value, error in zip(wrong, refused, strict=True):
        assert f"smtp_default is {value!r}, and has to be a number of seconds above 0" in error


def test_a_run_that_is_cleared_when_its_records_may_have_expired_is_refused(tmp_path: Path) -> None:
    """By `plan` and by `rollback`, which would decide a second time; not what only bears an old date."""
    code = """
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from mnist_dags import rollback_dag, training_dag
from mnist_tasks.definitions import named
from mnist_tasks.errors import ConfigurationError
from mnist_wiring import check_is_remembered

def run(days, cleared):
    now = datetime.now(UTC)
    return SimpleNamespace(run_id="a-run", run_after=now - timedelta(days=days), clear_number=cleared, conf={})

def said(step):
    try:
        return step()
    except ConfigurationError as error:
        return str(error)

mnist = named("mnist")
old = run(90, 1)
plan = training_dag(mnist, doc="").get_task("plan").python_callable
rollback = rollback_dag(mnist, doc="").get_task("rollback").make_work
print(json.dumps([
    said(lambda: plan("0" * 64, params={}, dag_run=old)),
    said(lambda: rollback({"dag_run": old, "params": {}})),
    *(said(lambda: check_is_remembered(one)) for one in (run(89, 1), run(90, 0), run(900, None))),
]))
"""
    planned, rolled_back, *others = in_wiring(tmp_path, code)

    assert "the run a-run is 90 days old; its records are kept for 90" in planned
    assert planned == rolled_back
    assert others == [None, None, None]


def test_a_champion_is_announced_while_the_decision_that_made_it_is_in_service(tmp_path: Path) -> None:
    code = """
import json
from collections import defaultdict
from types import SimpleNamespace
from mnist_tasks.definitions import named
from mnist_wiring import announce

def announced(**decision):
    events = defaultdict(lambda: SimpleNamespace(add=lambda asset, extra: added.append(extra)))
    added = []
    announce(named("mnist"), {"outlet_events": events}, decision)
    return added

print(json.dumps([announced(decision=7, in_service=True), announced(decision=7, in_service=False)]))
"""
    assert in_wiring(tmp_path, code) == [[{"decision": 7, "in_service": True}], []]


def test_the_sweep_knows_the_runs_of_every_classifier(tmp_path: Path) -> None:
    """A task that nobody waits for any more is stopped whatever it trained."""
    code = """
import json, sys
from types import SimpleNamespace
import mnist_wiring
from mnist_tasks.storage import Stored

plans = json.load(sys.stdin)
records = SimpleNamespace(bucket="a-bucket", uri=str, find=lambda key: (
    Stored(key, json.dumps(plans[key]).encode(), "") if key in plans else None))
mnist_wiring.storage = lambda: records
ended = SimpleNamespace(get_dr_count=lambda dag_id, **_: int(dag_id in ("mnist_training", "contracts_training")))
print(json.dumps([mnist_wiring.run_is_over(ended, slug) for slug in ("a-run-12345678", "b-run-12345678", "none")]))
"""
    keys = {"mnist": "runs/a-run-12345678/plan.json", "contracts": "runs/contracts/b-run-12345678/plan.json"}
    plans = {key: plan(name, key.split("/")[-2]) for name, key in keys.items()}

    assert in_wiring(tmp_path, code, plans) == [True, True, False]


def plan(classifier: str, run: str) -> dict[str, Any]:
    job = JOB.model_dump(mode="json") | {
        "run": run,
        "classifier": classifier,
        "candidate": f"{classifier}_model_20261124_020005",
    }
    return {
        "run": run,
        "run_id": "manual__1",
        "dag_id": f"{classifier}_training",
        "created": "2026-11-24T02:00:00Z",
        "config": {},
        "dataset_sha256": JOB.dataset_sha256,
        "seed": 7,
        "jobs": [job],
    }


def test_parameters_that_do_not_fit_the_data_set_end_the_first_step(tmp_path: Path) -> None:
    """Before anything is downloaded: no storage is configured here, and none is asked for."""
    code = """
import json
from types import SimpleNamespace
from mnist_dags import training_dag
from mnist_tasks.definitions import named
from mnist_tasks.errors import ConfigurationError

download = training_dag(named("contracts"), doc="").get_task("download").python_callable
try:
    download(params={"validation_images": 30000}, dag_run=SimpleNamespace(conf={}), outlet_events={})
except ConfigurationError as error:
    print(json.dumps(str(error)))
"""
    assert "30,000 validation images leave none of the 5,000 training images" in in_wiring(tmp_path, code)
