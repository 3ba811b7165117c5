"""A run that asks a person, under the real scheduler: called by mail, answered in the UI or by REST, or not at all."""

import re
import urllib.error
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.layout import Layout, run_slug
from tests.e2e.airflow import DAG, Api, eventually, states, switched_on
from tests.e2e.browser import Person, chromium

LAYOUT = Layout(MNIST)
PASSES = {"candidates": 1, "seed": 7}  # the gates
QUICK = {"candidates": 1, "epochs": 1}  # for a run whose candidate is not promoted anyway


@pytest.fixture(scope="module")
def pipeline(supplied):
    return supplied


@pytest.fixture(scope="module")
def airflow(pipeline):
    """`reader` may look at everything and change nothing."""
    settings = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,reader:viewer",
        "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "1",
    }
    with switched_on(pipeline, **settings) as running:
        yield running


def request_of(run_id):
    """Where Airflow's REST API takes the answer."""
    return f"/api/v2/dags/{DAG}/dagRuns/{quote(run_id)}/taskInstances/approve/-1/hitlDetails"


def asked(airflow, conf):
    """A run that has come to its question."""
    run_id = airflow.api.trigger({**conf, "approval_hours": 1})

    def waits():
        tasks = airflow.api.get(f"/api/v2/dags/{DAG}/dagRuns/{quote(run_id)}/taskInstances")["task_instances"]
        found = states(tasks)
        assert "failed" not in found.values(), found
        return found["approve", -1] == "awaiting_input"

    eventually(waits, "the question")
    eventually(lambda: let_go(airflow, run_id), "the scheduler to hear that the worker has let go")
    return run_id


def let_go(airflow, run_id):
    """An answer before that is lost (docs/reliability.md, "Approval"); only the scheduler's log tells when."""
    heard = "Received executor event with state success"
    about = f"task_id='approve', run_id='{run_id}'"
    log = (airflow.laptop.home / "scheduler.log").read_text()
    return any(heard in line and about in line for line in log.splitlines())


def decision_of(pipeline, run_id):
    (decision,) = (d for d in pipeline.decisions() if d["run"] == run_slug(DAG, run_id))
    return decision


@pytest.fixture(scope="module")
def approved(airflow, pipeline):
    """A person follows the link in the mail and approves; what the mails said, and how the run ended."""
    run_id = asked(airflow, PASSES)
    (call,) = pipeline.mails(run_slug(DAG, run_id))
    link = re.search(r"https?://\S+required_actions", call.get_body(("plain",)).get_content())[0]
    shown = airflow.api.get(request_of(run_id))
    with chromium() as browser:
        person = Person(browser, airflow.api.url, "admin", airflow.passwords["admin"])
        person.tab.goto(link)
        expect(person.tab.get_by_text("Best epoch")).to_be_visible()
        waiting = person.open_run_tab(run_id)
        expect(waiting.get_by_role("heading", level=1)).to_contain_text("Waiting for a person")
        person.tab.goto(link)
        person.tab.get_by_role("button", name="Approve", exact=True).click()
        run, tasks = airflow.api.await_run(run_id)
        page = person.open_run_tab(run_id)
        expect(page.get_by_text("Approved by admin, as Airflow states.")).to_be_visible()
    return {"id": run_id, "call": call, "shown": shown, "run": run, "tasks": tasks}


def test_an_approved_candidate_is_promoted_and_the_signed_decision_names_the_person(approved, pipeline):
    assert approved["run"]["state"] == "success", states(approved["tasks"])

    decision = decision_of(pipeline, approved["id"])
    assert (decision["outcome"], decision["evidence"]["approved_by"]) == ("released", "admin")
    report = pipeline.storage.get(f"runs/{run_slug(DAG, approved['id'])}/report.json").json()
    assert report["verification"]["approved_by"] == "admin"


def test_one_mail_calls_for_the_answer_and_another_one_reports(approved, pipeline):
    subjects = [mail["Subject"] for mail in pipeline.mails(run_slug(DAG, approved["id"]))]

    assert [subject.partition(":")[2].split()[0] for subject in subjects] == ["waits", "promoted"]


def test_airflow_shows_the_candidates_own_figures(approved, pipeline):
    (candidate,) = (t["rendered_map_index"] for t in approved["tasks"] if t["task_id"] == "train")
    manifest = pipeline.storage.get(f"checkpoints/{candidate}/manifest.json").json()

    assert candidate in approved["shown"]["subject"]
    assert f"{manifest['validation_accuracy']:.2%} accuracy" in approved["shown"]["body"]
    assert approved["shown"]["options"] == ["Approve", "Reject"]


def test_a_run_that_is_cleared_asks_nobody_again(approved, airflow, pipeline):
    path = f"/api/v2/dags/{DAG}/dagRuns/{quote(approved['id'])}"
    airflow.api.post(f"{path}/clear", {"dry_run": False})
    run, tasks = airflow.api.await_run(approved["id"])

    assert (run["state"], states(tasks)["approve", -1]) == ("success", "success")
    assert len(pipeline.mails(run_slug(DAG, approved["id"]))) == 2
    assert decision_of(pipeline, approved["id"])["evidence"]["approved_by"] == "admin"


@pytest.fixture(scope="module")
def rejected(airflow, pipeline, approved):
    """Somebody who may only look tries first, then an admin rejects it by REST."""
    run_id = asked(airflow, QUICK)
    reader = Api(airflow.api.url, airflow.passwords["reader"], "reader")
    with pytest.raises(urllib.error.HTTPError) as refused:
        reader.patch(request_of(run_id), {"chosen_options": ["Approve"], "params_input": {}})
    airflow.api.patch(request_of(run_id), {"chosen_options": ["Reject"], "params_input": {}})
    run, tasks = airflow.api.await_run(run_id)
    return {"id": run_id, "run": run, "tasks": tasks, "readers_status": refused.value.code}


@pytest.fixture(scope="module")
def unanswered(airflow, rejected):
    """Eighteen seconds, the shortest wait there is, and nobody looks."""
    run_id = airflow.api.trigger({**QUICK, "approval_hours": 0.005})
    run, tasks = airflow.api.await_run(run_id)
    return {"id": run_id, "run": run, "tasks": tasks}


@pytest.mark.parametrize(
    ("which", "reason"), [("rejected", "rejected by admin"), ("unanswered", "nobody answered in 0.005 hours")]
)
def test_without_an_approval_the_run_ends_well_and_the_champion_stays(which, reason, request, approved, pipeline):
    ended = request.getfixturevalue(which)
    assert ended["run"]["state"] == "success", states(ended["tasks"])

    decision, champion = decision_of(pipeline, ended["id"]), decision_of(pipeline, approved["id"])["final"]
    candidate = decision["candidate"]

    assert (decision["outcome"], decision["reason"], decision["final"]) == ("declined", reason, None)
    assert pipeline.storage.get(LAYOUT.champion).json()["name"] == champion
    assert not [key for key in pipeline.all_keys() if key.startswith(f"checkpoints/{candidate}_final/")]
    *_, mail = pipeline.mails(run_slug(DAG, ended["id"]))
    assert mail["Subject"] == f"MNIST: promoted nothing: {reason}"
    html = pipeline.storage.get(f"runs/{run_slug(DAG, ended['id'])}/report.html").body.decode()
    assert f"Promoted nothing: {reason}." in html


def test_who_may_only_look_cannot_answer(rejected):
    assert rejected["readers_status"] == 403
