"""What a stopped ECS task means, by the forms that ECS documents."""

import json

import pytest

from mnist_tasks.config import TrainingJob
from mnist_tasks.ecs import failure_of, training_request
from mnist_tasks.errors import ConfigurationError, ContainerFailed, TemporaryError, is_temporary
from tests.jobs import JOB

# ECS refuses longer ones: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
MAXIMUM_OVERRIDES = 8192


def stopped(exit_code=None, *, reason="Essential container in task exited", stop_code="EssentialContainerExited"):
    container = {"name": "trainer", "lastStatus": "STOPPED"}
    if exit_code is not None:
        container["exitCode"] = exit_code
    return {"lastStatus": "STOPPED", "stopCode": stop_code, "stoppedReason": reason, "containers": [container]}


def test_the_container_gets_exactly_its_job():
    request = training_request(JOB, "trainer")

    (container,) = request["overrides"]["containerOverrides"]
    assert container["name"] == "trainer"
    assert TrainingJob.from_environment({e["name"]: e["value"] for e in container["environment"]}) == JOB
    assert set(request["overrides"]) == {"containerOverrides"}
    assert request["tags"] == {"mnist-run": JOB.run, "mnist-candidate": JOB.candidate}


def test_the_overrides_fit_into_what_ecs_takes_even_with_the_longest_values():
    job = JOB.model_copy(update={"bucket": "b" * 63, "run": "r" * 100, "checkpoints_prefix": "c" * 100})

    assert len(json.dumps(training_request(job, "c" * 255)["overrides"])) < MAXIMUM_OVERRIDES


def test_exit_code_0_is_success():
    assert failure_of(stopped(0), "trainer") is None


@pytest.mark.parametrize(
    ("code", "said"), [(2, "configuration"), (3, "data set is missing"), (1, "log"), (7, "exited with 7")]
)
def test_an_exit_code_that_another_try_would_repeat_fails_for_good(code, said):
    error = failure_of(stopped(code), "trainer")

    assert isinstance(error, ContainerFailed)
    assert said in str(error)


@pytest.mark.parametrize("code", [4, 137, 143])
def test_storage_trouble_memory_and_interruptions_deserve_another_try(code):
    assert is_temporary(failure_of(stopped(code), "trainer"))


@pytest.mark.parametrize("stop_code", ["SpotInterruption", "TerminationNotice", "UserInitiated"])
@pytest.mark.parametrize("exit_code", [0, 143])
def test_a_task_that_was_stopped_from_outside_is_no_success_whatever_its_exit_code(stop_code, exit_code):
    error = failure_of(stopped(exit_code, stop_code=stop_code), "trainer")

    assert isinstance(error, TemporaryError)
    assert "stopped before it was done" in str(error)


def test_an_image_that_does_not_exist_is_named_and_not_tried_again():
    reason = "CannotPullContainerError: pull access denied for nope:1"

    error = failure_of(stopped(reason=reason, stop_code="TaskFailedToStart"), "trainer")

    assert isinstance(error, ConfigurationError)
    assert "nope:1" in str(error)


def test_a_task_that_found_no_capacity_is_tried_again():
    error = failure_of(stopped(reason="Capacity is unavailable at this time", stop_code="TaskFailedToStart"), "trainer")

    assert isinstance(error, TemporaryError)


def test_a_task_without_our_container_is_no_success():
    assert failure_of(stopped(0), "another") is not None
