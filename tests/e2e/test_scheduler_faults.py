"""Faults and people in the scheduler's neighbourhood: a host that is lost, steps that are cleared, runs that are failed
by hand. Whatever happens, a run ends with one decision and one report, and leaves no ECS task running.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mnist_tasks import checkpoints
from mnist_tasks.definitions.mnist import MNIST, REBUILT_FILE
from mnist_tasks.layout import Layout, run_slug
from tests.e2e.airflow import DAG, Airflow, eventually, states, switched_on
from tests.ecs_tasks import follows
from tests.faults import listing

LAYOUT = Layout(MNIST)
STEPS = [
    "download",
    "validate",
    "plan",
    "train",
    "pick_best",
    "approve",
    "promote",
    "report",
    "email_report",
    "email_failure",
]
GREEN = {(step, -1 if step != "train" else 0): "success" for step in STEPS}
GREEN |= {("approve", -1): "skipped", ("email_failure", -1): "skipped"}
# A training that is not over before a person has done something to it, however busy the machine is.
LONG = 60

# Airflow's own patience is made for clusters: five minutes until the tasks of a lost scheduler are taken up again.
IMPATIENT = {
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "8",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "1",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
}


@pytest.fixture(scope="module")
def pipeline(supplied):
    return supplied


@pytest.fixture(scope="module")
def airflow(pipeline):
    with switched_on(pipeline, **IMPATIENT) as running:
        yield running


@dataclass
class Run:
    """One run with one candidate."""

    airflow: Airflow
    pipeline: Any
    run_id: str

    @property
    def path(self):
        return f"/api/v2/dags/{DAG}/dagRuns/{self.run_id}"

    @property
    def slug(self):
        return run_slug(DAG, self.run_id)

    @property
    def candidate(self):
        (job,) = self.pipeline.storage.get(LAYOUT.run(self.slug, "plan.json")).json()["jobs"]
        return job["candidate"]

    @property
    def manifest(self):
        return checkpoints.read(self.pipeline.storage, LAYOUT, self.candidate)

    @property
    def decisions(self):
        return [record for record in self.pipeline.decisions() if record["run"] == self.slug]

    @property
    def subjects(self):
        return [mail["Subject"] for mail in self.pipeline.mails(self.slug)]

    def end(self):
        """Its end state and that of each step."""
        run, tasks = self.airflow.api.await_run(self.run_id)
        return run["state"], states(tasks)

    def tries(self):
        tasks = self.airflow.api.get(f"{self.path}/taskInstances")["task_instances"]
        return {task["task_id"]: task["try_number"] for task in tasks}

    def trainings(self):
        """The run's ECS tasks that train, oldest first."""
        ecs, cluster = self.pipeline.client("ecs"), self.pipeline.laptop.cloud.environment["MNIST_CLUSTER"]
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in ecs.list_tasks(cluster=cluster, desiredStatus=status)["taskArns"]
        ]
        tasks = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
        own = [t for t in tasks if t["startedBy"] == self.slug and "/mnist-trainer:" in t["taskDefinitionArn"]]
        return sorted(own, key=lambda task: task["createdAt"])

    def await_training(self):
        """Return when there is an epoch to go on from."""
        plan = LAYOUT.run(self.slug, "plan.json")
        eventually(lambda: self.pipeline.storage.exists(plan), "the plan")
        state = LAYOUT.resume(self.slug, self.candidate)
        eventually(lambda: self.pipeline.storage.exists(state), "the first epoch's end")

    def clear(self, steps=None):
        """As the UI's button does, for some steps or for all."""
        body = {"dry_run": False, "only_failed": False, "dag_run_id": self.run_id}
        self.airflow.api.post(f"/api/v2/dags/{DAG}/clearTaskInstances", body | ({"task_ids": steps} if steps else {}))


@pytest.fixture(scope="module")
def trigger(airflow, pipeline):
    def triggered(epochs=10):
        return Run(airflow, pipeline, airflow.api.trigger({"candidates": 1, "seed": 7, "epochs": epochs}))

    return triggered


@pytest.fixture(autouse=True)
def nothing_is_left_running(pipeline):
    yield
    ecs, cluster = pipeline.client("ecs"), pipeline.laptop.cloud.environment["MNIST_CLUSTER"]
    assert ecs.list_tasks(cluster=cluster, desiredStatus="RUNNING")["taskArns"] == []


@pytest.fixture(scope="module")
def finished(trigger):
    """A run that nothing disturbed."""
    run = trigger()
    assert run.end() == ("success", GREEN)
    return run


@pytest.mark.parametrize("steps", [*([step] for step in STEPS), None], ids=[*STEPS, "all at once"])
def test_a_finished_run_that_is_cleared_does_nothing_twice(finished, pipeline, steps):
    """No second ECS task, decision or mail; the same champion; not a byte in the bucket differs."""
    before, tries = listing(pipeline.storage), finished.tries()

    finished.clear(steps)

    assert finished.end() == ("success", GREEN)
    again = {step for step, number in finished.tries().items() if number > tries[step]}
    assert again == set(steps or STEPS) - {"email_failure"}  # it is skipped without a try
    assert listing(pipeline.storage) == before
    assert (len(finished.trainings()), len(finished.decisions), len(finished.subjects)) == (1, 1, 1)


def test_a_host_that_is_lost_with_scheduler_and_workers_costs_neither_the_task_nor_the_run(trigger, airflow):
    run = trigger(epochs=30)
    run.await_training()

    airflow.kill("scheduler")
    airflow.start()

    assert run.end() == ("success", GREEN)
    assert run.tries()["train"] == 2
    assert (len(run.trainings()), len(run.decisions), len(run.subjects)) == (1, 1, 1)
    assert run.manifest.resumed_after == ()


def test_a_training_that_is_cleared_while_it_runs_stops_its_task_and_goes_on_from_there(trigger):
    run = trigger(epochs=LONG)
    run.await_training()

    run.clear(["train"])

    assert run.end() == ("success", GREEN)
    first, second = run.trainings()
    assert follows(second, first)
    assert run.manifest.resumed_after != ()
    assert (len(run.decisions), len(run.subjects)) == (1, 1)


def test_a_run_marked_failed_by_hand_stops_its_task_and_goes_on_from_there_when_it_is_cleared(trigger, airflow):
    """No mail tells of it: a person did it, and Airflow skips what has not started, the mail's step among it."""
    run = trigger(epochs=LONG)
    run.await_training()

    airflow.api.patch(run.path, {"state": "failed"})

    eventually(lambda: all(task["lastStatus"] == "STOPPED" for task in run.trainings()), "the end of its task")
    state, steps = run.end()
    assert (state, steps["train", 0], steps["pick_best", -1]) == ("failed", "failed", "skipped")
    assert (run.decisions, run.subjects) == ([], [])

    run.clear()

    assert run.end() == ("success", GREEN)
    first, second = run.trainings()
    assert follows(second, first)
    assert run.manifest.resumed_after != ()
    assert (len(run.decisions), len(run.subjects)) == (1, 1)


@pytest.fixture
def spoil(pipeline):
    """The data set changed in the bucket, until it is called with False."""
    key = LAYOUT.dataset(REBUILT_FILE.sha256)
    good = pipeline.storage.get(key).body

    def spoil(spoilt):
        pipeline.storage.put(key, b"changed" if spoilt else good)

    yield spoil
    spoil(False)


def test_the_command_in_the_failure_mail_goes_on_with_the_run_and_mails_a_second_failure(trigger, pipeline, spoil):
    spoil(True)
    run = trigger()
    assert run.end()[0] == "failed"
    (mail,) = pipeline.mails(run.slug)
    (command,) = re.findall(r"^\s*(airflow dags clear .*)$", mail.get_body(("plain",)).get_content(), re.MULTILINE)

    paste(run, command)
    assert run.end()[0] == "failed"
    assert len(run.subjects) == 2

    spoil(False)
    paste(run, command)
    assert run.end() == ("success", GREEN)
    assert [subject.partition(":")[2].split()[0] for subject in run.subjects] == ["failed", "failed", "recovered,"]
    assert (len(run.trainings()), len(run.decisions)) == (1, 1)


def paste(run, command):
    """As a person would who is logged in where Airflow runs."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = run.airflow.laptop.environment(PATH=path)
    subprocess.run(command, check=True, shell=True, env=environment, capture_output=True, timeout=120)
