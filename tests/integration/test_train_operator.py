"""The training operator through every kind of end, against ECS tasks that really run.

What the stock operator does wrong is tested with it as well: those tests are expected to fail, strictly. When a new
version of the provider passes one, the suite says so, and the part of `mnist_ecs` that it made unnecessary can go.
"""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import localcloud
from mnist_tasks import attempts
from mnist_tasks.config import TrainingJob
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.encryption import Encryption
from mnist_tasks.layout import Layout
from mnist_tasks.progress import Progress
from mnist_tasks.storage import Storage, to_json
from tests.candidates import history
from tests.container import commit_anything, job_for
from tests.ecs_tasks import control
from tests.tries import CallOff, Fail, Forget, Interrupt, KillAfter, Operator, RefuseCheckpoints, Try, Unknown

DEADLINE_SECONDS = 120.0

# A container that says that it is there, waits for its exit code, and takes SIGTERM as the trainer does (or ignores
# its meaning, and exits with 0).
CONTAINER = """
import pathlib, signal, sys, time
folder = pathlib.Path({folder!r})
signal.signal(signal.SIGTERM, lambda *_: sys.exit({on_sigterm}))
print("the container is there", flush=True)
(folder / "started").touch()
while not (folder / "exit").exists():
    time.sleep(0.02)
sys.exit(int((folder / "exit").read_text()))
"""


def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := look()):
        assert time.monotonic() < deadline, f"still {value!r} after {DEADLINE_SECONDS:.0f} s"
        time.sleep(0.02)
    return value


@dataclass
class Step:
    """The step `train` of one candidate, with a container that does what the test says."""

    job: TrainingJob
    storage: Storage
    encryption: Encryption
    ecs: Any
    cluster: str
    log_group: str
    folder: Path
    family: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:8]}")

    def register(self, *, image: str = "python:3.11-slim", on_sigterm: int = 143) -> None:
        options = {
            "awslogs-group": self.log_group,
            "awslogs-region": "us-east-1",
            "awslogs-stream-prefix": "trainer",
        }
        code = CONTAINER.format(folder=str(self.folder), on_sigterm=on_sigterm)
        self.ecs.register_task_definition(
            family=self.family,
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            containerDefinitions=[
                {
                    "name": "trainer",
                    "image": image,
                    "command": ["python", "-c", code],
                    "logConfiguration": {"logDriver": "awslogs", "options": options},
                }
            ],
        )

    def attempt(self, operator: Operator = "ours", **options: Any) -> Try:
        request = {
            "cluster": self.cluster,
            "task_definition": self.family,
            "container_name": "trainer",
            "awslogs_group": self.log_group,
            "awslogs_stream_prefix": "trainer",
            "job": self.job.model_dump(mode="json"),
        }
        return Try(operator, request, self.folder, **options)

    def await_container(self) -> None:
        eventually((self.folder / "started").exists)

    def end(self, code: int = 0, *, commit: bool = False) -> None:
        """Let the container end; `commit`: after its checkpoint is in S3."""
        if commit:
            commit_anything(self.storage, self.encryption, self.job)
        (self.folder / "exit").write_text(str(code))

    def tasks(self) -> list[dict[str, Any]]:
        """Every ECS task of this step, oldest first."""
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in self.ecs.list_tasks(cluster=self.cluster, family=self.family, desiredStatus=status)["taskArns"]
        ]
        if not arns:
            return []
        found = self.ecs.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"]
        return sorted(found, key=lambda task: task["createdAt"])

    def await_stopped(self) -> None:
        eventually(lambda: all(task["lastStatus"] == "STOPPED" for task in self.tasks()))


@pytest.fixture
def step(
    workers: None, cloud: localcloud.Cloud, encryption: Encryption, aws: Callable[[str], Any], tmp_path: Path
) -> Iterator[Step]:
    # The operator looks for the manifest in the deployment's bucket, so the candidate's name has to be this test's.
    bucket = cloud.environment["MNIST_BUCKET"]
    number = uuid.uuid4().int % 10**6
    job = job_for(bucket, run=f"run-{uuid.uuid4().hex[:8]}", candidate=f"mnist_model_20260101_{number:06}")
    made = Step(
        job,
        Storage(aws("s3"), bucket),
        encryption,
        aws("ecs"),
        cloud.environment["MNIST_CLUSTER"],
        cloud.environment["MNIST_LOG_GROUP"],
        tmp_path,
    )
    made.register()
    yield made
    made.end()
    made.await_stopped()


OURS_ALONE = [
    pytest.param("ours"),
    pytest.param("stock", marks=pytest.mark.xfail(strict=True, reason="a defect of the stock operator")),
]


def killed(attempt: Try, step: Step) -> None:
    """The worker dies while the container runs."""
    process = attempt.start()
    step.await_container()
    if attempt.fault is None:
        # However far it has come by now, the next try has to find its way.
        process.kill()
    process.join()


def attached(step: Step) -> None:
    """The worker of the first try dies once it waits for its task."""
    attempt = step.attempt()
    process = attempt.start()
    step.await_container()
    eventually(lambda: attempt.state.get("ecs_task"))
    process.kill()
    process.join()


def tell_progress(step: Step) -> None:
    told = Progress(job=step.job, updated=datetime.now(UTC), history=history(accuracy=0.9712))
    step.storage.put(Layout(MNIST).progress(step.job.run, step.job.candidate), to_json(told.model_dump(mode="json")))


@pytest.mark.parametrize("operator", OURS_ALONE)
def test_a_retry_finds_the_task_that_finished_while_no_worker_was_there(step: Step, operator: Operator) -> None:
    killed(step.attempt(operator), step)
    step.end(commit=True)
    step.await_stopped()

    outcome = step.attempt(operator, number=2).run()

    assert outcome["error"] is None
    assert len(step.tasks()) == 1


def test_a_retry_attaches_to_the_task_that_still_runs(step: Step) -> None:
    killed(step.attempt(), step)
    process = step.attempt(number=2).start()
    step.end(commit=True)
    process.join(DEADLINE_SECONDS)

    assert step.attempt().outcome()["error"] is None
    assert len(step.tasks()) == 1


@pytest.mark.parametrize("fault", [Fail("DescribeTasks", "ThrottlingException", times=30), Unknown(times=5)])
def test_a_retry_whose_first_looks_show_no_task_attaches_as_well_and_tells_its_progress(
    step: Step, fault: Callable[[], None]
) -> None:
    tell_progress(step)
    attached(step)
    retry = step.attempt(number=2, fault=fault)
    retry.state.delete("progress")

    process = retry.start()
    eventually(lambda: retry.state.get("progress") or not process.is_alive())
    step.end(commit=True)
    process.join(DEADLINE_SECONDS)

    assert retry.outcome()["error"] is None
    assert retry.state.get("progress")
    assert len(step.tasks()) == 1


def test_a_retry_that_may_not_look_at_the_task_stops_it(step: Step) -> None:
    attached(step)

    outcome = step.attempt(number=2, fault=Fail("DescribeTasks", "AccessDeniedException")).run()

    assert outcome["error"] == "ConfigurationError"
    assert [task["desiredStatus"] for task in step.tasks()] == ["STOPPED"]


@pytest.mark.parametrize("code", ["InvalidParameterException", "ClusterNotFoundException"])
def test_a_retry_whose_task_was_of_another_cluster_or_account_starts_one_of_its_own(step: Step, code: str) -> None:
    """A run may outlive the deployment that began it, and is cleared under the next one."""
    attached(step)
    step.end(143)
    step.await_stopped()
    (step.folder / "exit").unlink()
    (step.folder / "started").unlink()

    process = step.attempt(number=2, fault=Fail("DescribeTasks", code, times=20)).start()
    step.await_container()
    step.end(commit=True)
    process.join(DEADLINE_SECONDS)

    assert step.attempt().outcome()["error"] is None
    assert len(step.tasks()) == 2


def test_a_retry_that_is_called_off_while_it_attaches_stops_the_task_and_starts_no_other(step: Step) -> None:
    attached(step)

    outcome = step.attempt(number=2, fault=CallOff("DescribeTasks")).run()

    assert outcome["error"] == "TemporaryError"
    assert [task["desiredStatus"] for task in step.tasks()] == ["STOPPED"]


def test_a_retry_that_is_given_no_job_stops_the_task(step: Step) -> None:
    attached(step)
    retry = step.attempt(number=2)

    outcome = replace(retry, request={**retry.request, "job": {}}).run()

    assert outcome["error"] == "ConfigurationError"
    assert [task["desiredStatus"] for task in step.tasks()] == ["STOPPED"]


def test_a_retry_that_may_not_look_into_the_bucket_stops_the_task(step: Step) -> None:
    attached(step)

    outcome = step.attempt(number=2, fault=RefuseCheckpoints()).run()

    assert outcome["error"] == "ConfigurationError"
    assert [task["desiredStatus"] for task in step.tasks()] == ["STOPPED"]


def test_a_task_of_which_airflow_cannot_be_told_is_stopped(step: Step) -> None:
    outcome = step.attempt(fault=Forget("ecs_task")).run()

    assert outcome["error"] == "ConnectionError"
    assert [task["desiredStatus"] for task in step.tasks()] == ["STOPPED"]


def test_a_kill_while_the_request_is_on_its_way_stops_what_comes_of_it(step: Step) -> None:
    outcome = step.attempt(fault=KillAfter("RunTask", by=signal.SIGTERM)).run()

    assert outcome["error"] == "TemporaryError"
    assert [task["desiredStatus"] for task in step.tasks()] == ["STOPPED"]


@pytest.mark.parametrize("operator", OURS_ALONE)
def test_a_worker_that_died_before_it_learnt_the_arn_is_followed_by_no_second_task(
    step: Step, operator: Operator
) -> None:
    """The container of the first try is gone before the second one looks for it."""
    killed(step.attempt(operator, fault=KillAfter("RunTask")), step)
    step.end(143)
    step.await_stopped()

    outcome = step.attempt(operator, number=2).run()

    assert len(step.tasks()) == 1
    assert outcome["error"] is not None


def test_after_a_task_that_failed_the_next_try_starts_another_one(step: Step) -> None:
    process = step.attempt().start()
    step.await_container()
    step.end(143)
    process.join()
    assert step.attempt().outcome()["error"] == "TemporaryError"
    (step.folder / "exit").unlink()
    (step.folder / "started").unlink()

    process = step.attempt(number=2).start()
    step.await_container()
    step.end(commit=True)
    process.join()

    assert step.attempt().outcome()["error"] is None
    assert len(step.tasks()) == 2


def test_a_candidate_that_is_committed_is_not_trained_again(step: Step) -> None:
    """That is what clearing a step that has succeeded means."""
    commit_anything(step.storage, step.encryption, step.job)

    assert step.attempt(number=4, max_tries=5).run()["error"] is None
    assert step.tasks() == []


@pytest.mark.parametrize("operator", OURS_ALONE)
def test_a_task_that_was_stopped_is_no_success_though_it_exits_with_0(step: Step, operator: Operator) -> None:
    step.register(on_sigterm=0)
    process = step.attempt(operator).start()
    step.await_container()
    (task,) = step.tasks()
    step.ecs.stop_task(cluster=step.cluster, task=task["taskArn"], reason="somebody wanted it")
    process.join(DEADLINE_SECONDS)

    assert step.attempt().outcome()["error"] is not None


def test_an_exit_code_of_0_without_a_checkpoint_is_no_success(step: Step) -> None:
    process = step.attempt().start()
    step.await_container()
    step.end(0)
    process.join(DEADLINE_SECONDS)

    outcome = step.attempt().outcome()
    assert outcome["error"] == "ContainerFailed"
    assert "not committed" in outcome["message"]


@pytest.mark.parametrize("operator", OURS_ALONE)
def test_an_ecs_that_is_busy_while_training_runs_fails_nothing(step: Step, operator: Operator) -> None:
    """Thirty refused looks are more than botocore itself tries."""
    process = step.attempt(operator, fault=Fail("DescribeTasks", "ThrottlingException", times=30)).start()
    step.await_container()
    step.end(commit=True)
    process.join(DEADLINE_SECONDS)

    assert step.attempt().outcome()["error"] is None
    assert len(step.tasks()) == 1


@pytest.mark.parametrize("operator", OURS_ALONE)
def test_a_log_that_cannot_be_read_does_not_hide_the_verdict(step: Step, operator: Operator) -> None:
    process = step.attempt(operator, fault=Fail("GetLogEvents", "AccessDeniedException")).start()
    step.await_container()
    step.end(143)
    process.join(DEADLINE_SECONDS)

    outcome = step.attempt().outcome()
    assert outcome["error"] is not None
    assert "AccessDenied" not in outcome["message"]


def test_a_kill_stops_the_task(step: Step) -> None:
    """As Airflow does when a run is marked failed, cleared or timed out: SIGTERM, and the step ends by itself."""
    attempt = step.attempt()
    process = attempt.start()
    step.await_container()
    eventually(lambda: attempt.state.get("ecs_task"))
    process.terminate()
    process.join(DEADLINE_SECONDS)

    step.await_stopped()
    assert attempt.outcome()["error"] == "TemporaryError"


@pytest.mark.parametrize("operator", OURS_ALONE)
def test_any_other_exit_stops_the_task_as_well(step: Step, operator: Operator) -> None:
    attempt = step.attempt(operator, fault=Interrupt("DescribeTasks", after=step.folder / "started"))
    process = attempt.start()
    step.await_container()
    process.join(DEADLINE_SECONDS)

    assert attempt.outcome()["error"] == "KeyboardInterrupt"
    assert [task["desiredStatus"] for task in step.tasks()] == ["STOPPED"]


def test_an_access_that_is_refused_is_not_tried_again_and_stops_the_task(step: Step) -> None:
    attempt = step.attempt(fault=Fail("DescribeTasks", "AccessDeniedException"))

    outcome = attempt.run()

    assert outcome["error"] == "ConfigurationError"
    assert "aws_default" in outcome["message"]
    step.await_stopped()


def test_a_task_definition_that_does_not_exist_is_named(step: Step) -> None:
    outcome = replace(step.attempt(), request={**step.attempt().request, "task_definition": "no-such"}).run()

    assert outcome["error"] == "ConfigurationError"
    assert "no-such" in outcome["message"]


@pytest.mark.parametrize(("number", "capacity"), [(1, "FARGATE_SPOT"), (2, "FARGATE_SPOT"), (3, "FARGATE")])
def test_the_last_try_runs_on_demand(step: Step, number: int, capacity: str) -> None:
    process = step.attempt(number=number).start()
    step.await_container()
    step.end(commit=True)
    process.join()

    (task,) = step.tasks()
    assert task["capacityProviderName"] == capacity


def test_a_container_that_dies_after_its_commit_has_succeeded_and_leaves_no_resume_state(step: Step) -> None:
    resume = Layout(MNIST).resume(step.job.run, step.job.candidate)
    step.storage.put(resume, b"state of the last epoch")
    process = step.attempt().start()
    step.await_container()
    step.end(137, commit=True)
    process.join()

    assert step.attempt().outcome()["error"] is None
    assert not step.storage.exists(resume)


def test_without_capacity_on_spot_the_tries_go_on_and_the_last_one_is_on_demand(
    step: Step, cloud: localcloud.Cloud
) -> None:
    control(cloud, "capacity", failures=2)
    refused = [step.attempt(number=number).run() for number in (1, 2)]
    process = step.attempt(number=3).start()
    step.await_container()
    step.end(commit=True)
    process.join()

    assert [outcome["error"] for outcome in refused] == ["TemporaryError"] * 2
    assert "Capacity is unavailable" in refused[0]["message"]
    assert step.attempt().outcome()["error"] is None
    assert [task["capacityProviderName"] for task in step.tasks()] == ["FARGATE"]


def test_the_last_try_asks_for_capacity_on_demand_where_the_request_it_had_to_repeat_finds_none(
    step: Step, cloud: localcloud.Cloud
) -> None:
    """Whether the second try's request came through, nobody knows: it is sent again before another one is."""
    throttled = step.attempt(number=2, fault=Fail("RunTask", "ThrottlingException")).run()
    control(cloud, "capacity", failures=1)
    process = step.attempt(number=3).start()
    step.await_container()
    step.end(commit=True)
    process.join()

    assert throttled["error"] == "TemporaryError"
    assert step.attempt().outcome()["error"] is None
    assert [task["capacityProviderName"] for task in step.tasks()] == ["FARGATE"]


def test_progress_is_in_the_task_state_while_the_container_runs(step: Step) -> None:
    tell_progress(step)
    attempt = step.attempt()
    process = attempt.start()
    step.await_container()

    assert "val_accuracy 97.12%" in eventually(lambda: attempt.state.get("progress"))
    step.end(commit=True)
    process.join()


def test_what_each_of_its_tasks_took_is_kept_beside_the_run(step: Step) -> None:
    """One that was stopped, and the one that came after it: ECS forgets both within the hour."""
    process = step.attempt().start()
    step.await_container()
    step.end(143)
    process.join()
    (step.folder / "exit").unlink()
    (step.folder / "started").unlink()
    process = step.attempt(number=2).start()
    step.await_container()
    step.end(commit=True)
    process.join()

    kept = attempts.read_all(step.storage, Layout(MNIST), step.job.run)

    assert [(one.job, one.generation, one.exit_code) for one in kept] == [
        (step.job.candidate, 1, 143),
        (step.job.candidate, 2, 0),
    ]
    for one, task in zip(kept, step.tasks(), strict=True):
        assert one.stopped is not None
        assert one.started <= one.stopped == task["stoppedAt"]
