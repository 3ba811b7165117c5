"""The cloud dies under a run, twice, and comes back: its containers are lost, its objects are not."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

import localcloud
from mnist_tasks import checkpoints
from mnist_tasks.dataset import REBUILT_FILE
from mnist_tasks.layout import Layout, final_name
from tests.e2e.airflow import eventually

LAYOUT = Layout()


@pytest.fixture(scope="module")
def pipeline(start_pipeline, mnist_file):
    """A cloud of the module's own, which has the data set already."""
    with start_pipeline() as pipeline:
        pipeline.storage.put(LAYOUT.dataset(REBUILT_FILE.sha256), mnist_file)
        yield pipeline


def restart(pipeline):
    """SIGKILL for every part, then a new start on the same ports."""
    home = pipeline.laptop.cloud.home
    state = json.loads((home / "state.json").read_text())
    for part in ("supervisor", "emulator"):
        os.kill(state[part]["pid"], signal.SIGKILL)
    assert localcloud.up(home).environment == pipeline.laptop.cloud.environment


def test_a_run_outlives_the_cloud_that_dies_during_training_and_again_during_promotion(pipeline):
    """Steps are tried again until it is back; training goes on after its last whole epoch."""

    def found(pattern):
        return next((key for key in pipeline.all_keys() if pattern in key), None)

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(pipeline.run, {"candidates": 1, "seed": 7}, MNIST_RETRY_SECONDS="10")
        eventually(lambda: found("/resume/"), "the first epoch's end")
        (running,) = ecs_tasks(pipeline)
        restart(pipeline)
        eventually(lambda: found("_final/weights"), "the beginning of the promotion")
        restart(pipeline)
        outcome = run.result()

    assert outcome.status == 0, outcome.log[-3000:]
    (job,) = pipeline.storage.get(LAYOUT.run(outcome.slug, "plan.json")).json()["jobs"]
    manifest = checkpoints.read(pipeline.storage, LAYOUT, job["candidate"])
    assert len(manifest.resumed_after) == 1
    (decision,) = pipeline.decisions()
    assert (decision["outcome"], decision["final"]) == ("released", final_name(job["candidate"]))
    (mail,) = pipeline.mails(outcome.slug)
    assert "promoted and released" in mail["Subject"]
    assert ecs_tasks(pipeline) == []
    (lost,) = pipeline.client("ecs").describe_tasks(cluster=cluster_of(pipeline), tasks=[running])["tasks"]
    assert (lost["lastStatus"], lost["stopCode"]) == ("STOPPED", "TerminationNotice")


def cluster_of(pipeline):
    return pipeline.laptop.cloud.environment["MNIST_CLUSTER"]


def ecs_tasks(pipeline):
    """Those that run."""
    return pipeline.client("ecs").list_tasks(cluster=cluster_of(pipeline), desiredStatus="RUNNING")["taskArns"]
