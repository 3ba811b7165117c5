"""How tasks end: by a person, by Spot, for want of capacity. As AWS documents it, where the emulator does otherwise.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html
"""

from __future__ import annotations

import json
import time
import urllib.error
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import localcloud
from tests.ecs_tasks import Tasks, control, poll

SPOT = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
ON_DEMAND = [{"capacityProvider": "FARGATE", "weight": 1}]
# Says when it runs, and on SIGTERM leaves with a code of its choice once a file is there.
CODE = """
import pathlib, signal, sys, time
def leave(*_):
    print("asked to stop", flush=True)
    while not pathlib.Path(sys.argv[1]).exists():
        time.sleep(0.01)
    print("saved", flush=True)
    sys.exit(int(sys.argv[2]))
signal.signal(signal.SIGTERM, leave)
print("running", flush=True)
while True:
    time.sleep(0.01)
"""


def running(tasks: Tasks, may_leave: Path, exit_code: int = 143, **request: Any) -> str:
    command = ["python", "-u", "-c", CODE, str(may_leave), str(exit_code)]
    # Without a stop timeout of its own, the emulator would have it killed after five seconds.
    definition = tasks.register(image=tasks.image, command=command, stopTimeout=120)
    task = tasks.run_definition(definition, **request)
    poll(lambda: tasks.lines(task) == ["running"] and tasks.describe(task)["lastStatus"] == "RUNNING")
    return task


def test_stop_task_answers_at_once_and_the_task_is_stopped_when_its_container_has_ended(
    tasks: Tasks, tmp_path: Path
) -> None:
    task = running(tasks, tmp_path / "may leave")
    asked = time.monotonic()

    answer = tasks.stop(task, "no longer needed")

    # Whoever waited for the container would wait for its whole stop timeout, two minutes: it does not leave yet.
    assert time.monotonic() - asked < 60
    assert (answer["lastStatus"], answer["desiredStatus"]) == ("RUNNING", "STOPPED")
    poll(lambda: "asked to stop" in tasks.lines(task))
    stopping = poll(lambda: tasks.describe(task), lambda described: described["lastStatus"] != "RUNNING")
    assert (stopping["lastStatus"], stopping["desiredStatus"]) == ("STOPPING", "STOPPED")
    assert "exitCode" not in stopping["containers"][0]
    assert stopping["containers"][0]["lastStatus"] == "RUNNING"
    assert "stoppedAt" not in stopping
    assert tasks.listed(desiredStatus="RUNNING", startedBy="") == []

    (tmp_path / "may leave").touch()

    stopped = tasks.finish(task)
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "no longer needed")
    assert stopped["containers"][0]["exitCode"] == 143
    assert stopped["containers"][0]["lastStatus"] == "STOPPED"
    assert stopped["createdAt"] < stopped["stoppingAt"] < stopped["stoppedAt"]
    assert tasks.await_lines(task, 3)[-1] == "saved"
    assert task in tasks.listed(desiredStatus="STOPPED")


def test_a_task_that_is_stopped_and_ends_well_has_exit_code_0(tasks: Tasks, tmp_path: Path) -> None:
    (tmp_path / "may leave").touch()
    task = running(tasks, tmp_path / "may leave", exit_code=0)

    tasks.stop(task)

    stopped = tasks.finish(task)
    assert (stopped["stopCode"], stopped["containers"][0]["exitCode"]) == ("UserInitiated", 0)


def test_a_task_that_has_to_be_killed_has_exit_code_137(tasks: Tasks, tmp_path: Path) -> None:
    command = ["python", "-u", "-c", CODE, str(tmp_path / "never"), "0"]
    task = tasks.run_definition(tasks.register(image=tasks.image, command=command, stopTimeout=1))
    poll(lambda: tasks.lines(task))

    tasks.stop(task)

    assert tasks.finish(task)["containers"][0]["exitCode"] == 137


def test_the_first_stop_counts_and_a_later_one_changes_nothing(tasks: Tasks, tmp_path: Path) -> None:
    task = running(tasks, tmp_path / "may leave")
    tasks.stop(task, "first")
    tasks.stop(task, "second")
    (tmp_path / "may leave").touch()
    tasks.finish(task)

    answer = tasks.stop(task, "third")

    assert (answer["lastStatus"], answer["stoppedReason"]) == ("STOPPED", "first")
    assert tasks.describe(task)["stoppedReason"] == "first"


def test_a_stop_without_a_reason_says_that_a_user_did_it(tasks: Tasks, tmp_path: Path) -> None:
    (tmp_path / "may leave").touch()
    task = running(tasks, tmp_path / "may leave")

    tasks.ecs.stop_task(cluster=tasks.environment["MNIST_CLUSTER"], task=task.rpartition("/")[2])

    assert tasks.finish(task)["stoppedReason"] == "Task stopped by user"


def test_a_stop_after_the_end_does_not_change_what_the_task_says(tasks: Tasks) -> None:
    task = tasks.run("raise SystemExit(3)")
    tasks.finish(task)

    answer = tasks.stop(task)

    assert answer["stopCode"] == "EssentialContainerExited"
    assert answer["containers"][0]["exitCode"] == 3


def test_a_task_that_is_stopped_while_it_starts_ends_without_an_exit_code_or_with_a_true_one(tasks: Tasks) -> None:
    definition = tasks.register(image=tasks.image, command=["python", "-c", "import time; time.sleep(300)"])
    for _ in range(10):
        task = tasks.run_definition(definition)
        tasks.stop(task)

        stopped = tasks.finish(task)

        assert stopped["stopCode"] == "UserInitiated"
        assert stopped["containers"][0].get("exitCode") in {None, 143, 137}


def test_to_stop_an_unknown_task_is_an_error(tasks: Tasks) -> None:
    with pytest.raises(ClientError, match=r"InvalidParameterException.*not found"):
        tasks.stop("0" * 32)


def test_a_spot_interruption_sends_sigterm_and_says_so(tasks: Tasks, cloud: localcloud.Cloud, tmp_path: Path) -> None:
    (tmp_path / "may leave").touch()
    task = running(tasks, tmp_path / "may leave", capacityProviderStrategy=SPOT)

    control(cloud, "spot-interruption", task=task)

    stopped = tasks.finish(task)
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("SpotInterruption", "Your Spot Task was interrupted.")
    assert stopped["containers"][0]["exitCode"] == 143
    assert tasks.await_lines(task, 3) == ["running", "asked to stop", "saved"]


def test_an_interrupted_task_that_ends_well_still_reads_interrupted(
    tasks: Tasks, cloud: localcloud.Cloud, tmp_path: Path
) -> None:
    (tmp_path / "may leave").touch()
    task = running(tasks, tmp_path / "may leave", exit_code=0, capacityProviderStrategy=SPOT)

    control(cloud, "spot-interruption", task=task)

    stopped = tasks.finish(task)
    assert (stopped["stopCode"], stopped["containers"][0]["exitCode"]) == ("SpotInterruption", 0)


def test_only_spot_tasks_are_interrupted(tasks: Tasks, cloud: localcloud.Cloud, tmp_path: Path) -> None:
    (tmp_path / "may leave").touch()
    for request in ({"capacityProviderStrategy": ON_DEMAND}, {}):
        task = running(tasks, tmp_path / "may leave", **request)
        with pytest.raises(urllib.error.HTTPError) as refused:
            control(cloud, "spot-interruption", task=task)
        assert "only FARGATE_SPOT is interrupted" in json.load(refused.value)["message"]
        assert tasks.describe(task)["lastStatus"] == "RUNNING"
        tasks.stop(task)

    with pytest.raises(urllib.error.HTTPError, match="404"):
        control(cloud, "spot-interruption", task="arn:aws:ecs:us-east-1:000000000000:task/mnist/no")


def test_missing_capacity_fails_as_many_requests_to_spot_as_asked_and_none_on_demand(
    tasks: Tasks, cloud: localcloud.Cloud
) -> None:
    definition = tasks.register(image=tasks.image, command=["true"])
    control(cloud, "capacity", failures=2)

    for _ in range(2):
        answer = tasks.start(definition, capacityProviderStrategy=SPOT)
        assert answer["tasks"] == []
        assert [failure["reason"] for failure in answer["failures"]] == [
            "Capacity is unavailable at this time. Please try again later or in a different availability zone"
        ]
        tasks.run_definition(definition, capacityProviderStrategy=ON_DEMAND)
        tasks.run_definition(definition)

    tasks.finish(tasks.run_definition(definition, capacityProviderStrategy=SPOT))


@pytest.mark.parametrize("request_", [{}, {"failures": "two"}, {"failures": 1, "provider": "MOON"}])
def test_a_wrong_order_for_missing_capacity_is_refused(cloud: localcloud.Cloud, request_: dict[str, Any]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        control(cloud, "capacity", **request_)

    assert refused.value.code == 400
    assert "FARGATE_SPOT" in json.load(refused.value)["message"]
