"""The cloud dies under each step of a run and comes back: its containers are lost, its objects are not."""

import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

import localcloud
from mnist_tasks import checkpoints
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.layout import Layout, final_name
from tests.e2e.airflow import eventually

LAYOUT = Layout(MNIST)
STEPS = ["download", "validate", "plan", "train", "pick_best", "promote", "report", "email_report"]
# A restart takes longer than the shortest steps: whichever step was over before it was struck has another run.
RUNS = 8
# Training lasts long enough for a machine that is busy: it must not be over before it is struck.
CONF = {"candidates": 1, "seed": 7, "epochs": 30}
# So long that a slow restart does not eat all three tries of a step.
RETRY_SECONDS = "8"


@pytest.fixture(scope="module")
def pipeline(supplied):
    return supplied


def kill(pipeline):
    """SIGKILL for every part; returns when that was."""
    state = json.loads((pipeline.laptop.cloud.home / "state.json").read_text())
    for part in ("supervisor", "emulator"):
        os.kill(state[part]["pid"], signal.SIGKILL)
    return datetime.now(UTC)


def restart(pipeline):
    """On the same ports."""
    assert localcloud.up(pipeline.laptop.cloud.home).environment == pipeline.laptop.cloud.environment


class Log:
    """What `airflow dags test` has written so far."""

    def __init__(self, pipeline):
        self.path = pipeline.home / "build" / "run.log"
        self.path.unlink(missing_ok=True)

    def first(self, event, step):
        """When a step first started or ended; None if it has not."""
        text = self.path.read_text() if self.path.exists() else ""
        found = re.search(rf"^(\S+Z) .*\[DAG TEST\] {event} task_id={step} ", text, re.MULTILINE)
        return found and datetime.fromisoformat(found[1])


def strike(pipeline, log, step, wait):
    """Let the cloud die once the step has started and `wait` has returned; whether it had not yet ended then."""
    eventually(lambda: log.first("starting", step), f"the start of {step}")
    wait()
    killed = kill(pipeline)
    restart(pipeline)
    ended = log.first("end task", step)
    return ended is None or killed < ended


def test_a_run_outlives_a_cloud_that_dies_during_each_of_its_steps(pipeline):
    """Steps are tried again until it is back; training goes on after its last whole epoch."""
    missing, lost = list(STEPS), []
    waits = {"train": lambda: lost.append(training(pipeline, known))}
    for _ in range(RUNS):
        known = pipeline.all_keys()
        log = Log(pipeline)
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(pipeline.run, CONF, MNIST_RETRY_SECONDS=RETRY_SECONDS, **root(pipeline))
            struck = [step for step in missing if strike(pipeline, log, step, waits.get(step, lambda: None))]
            outcome = run.result()
        check(pipeline, outcome, resumed="train" in struck)
        missing = [step for step in missing if step not in struck]
        if not missing:
            assert "TerminationNotice" in {task["stopCode"] for task in described(pipeline, lost)}
            return
    pytest.fail(f"{', '.join(missing)} ended before the cloud did in each of {RUNS} runs")


def root(pipeline):
    """The account's own keys: a killed emulator forgets the sessions of roles, which AWS never does."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return {name: pipeline.laptop.cloud.environment[name] for name in names}


def training(pipeline, known):
    """The ECS task that trains, once there is an epoch to go on from."""
    eventually(lambda: any("/resume/" in key for key in pipeline.all_keys() - known), "the first epoch's end")
    (arn,) = running(pipeline)
    return arn


def check(pipeline, outcome, *, resumed):
    """One decision, one mail, nothing that runs on.

    The mail may come again under its Message-ID: with the cloud, the mail server dies, before or after it has taken it.
    There is one at most for each of the step's three tries; that all have one Message-ID proves that it is one mail.
    """
    assert outcome.status == 0, outcome.log[-3000:]
    (job,) = pipeline.storage.get(LAYOUT.run(outcome.slug, "plan.json")).json()["jobs"]
    manifest = checkpoints.read(pipeline.storage, LAYOUT, job["candidate"])
    assert manifest.resumed_after or not resumed  # a strike that came too late for another step may have met training
    (decision,) = [record for record in pipeline.decisions() if record["run"] == outcome.slug]
    assert decision["final"] == final_name(job["candidate"])
    mails = pipeline.mails(outcome.slug)
    assert len({mail["Message-ID"] for mail in mails}) == 1
    assert len(mails) <= 3
    assert "promoted" in mails[0]["Subject"]
    assert running(pipeline) == []


def running(pipeline):
    ecs, cluster = pipeline.client("ecs"), pipeline.laptop.cloud.environment["MNIST_CLUSTER"]
    return ecs.list_tasks(cluster=cluster, desiredStatus="RUNNING")["taskArns"]


def described(pipeline, arns):
    cluster = pipeline.laptop.cloud.environment["MNIST_CLUSTER"]
    return pipeline.client("ecs").describe_tasks(cluster=cluster, tasks=arns)["tasks"]
