"""What a stopped ECS task means, by the forms that ECS documents."""

import json
import re

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from mnist_tasks import ecs, events
from mnist_tasks.config import PromotionJob, TrainingJob
from mnist_tasks.ecs import (
    Submission,
    conflicting_task,
    explained,
    is_out_of_reach,
    refusal_of,
    request,
)
from mnist_tasks.errors import ConfigurationError, ContainerFailed, TemporaryError, is_temporary
from mnist_tasks.events import JsonLines
from tests.jobs import JOB
from tests.told import told

# ECS refuses longer ones: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
MAXIMUM_OVERRIDES = 8192


PROMOTE = PromotionJob(action="promote", bucket="the-bucket", checkpoints_prefix="checkpoints", run="a-run")
ROLLBACK = PromotionJob(
    **{**PROMOTE.model_dump(), "action": "rollback"}
    | {"to": "mnist_model_20261124_020005_final", "reason": "a good reason"}
)
MISSING = "its checkpoint is not committed"


def failure_of(task, container, log=()):
    return ecs.failure_of(task, container, missing=MISSING, log=log)


def stopped(exit_code=None, *, reason="Essential container in task exited", stop_code="EssentialContainerExited"):
    container = {"name": "trainer", "lastStatus": "STOPPED"}
    if exit_code is not None:
        container["exitCode"] = exit_code
    return {"lastStatus": "STOPPED", "stopCode": stop_code, "stoppedReason": reason, "containers": [container]}


def test_the_container_gets_exactly_its_job():
    made = request(JOB, "trainer")

    (container,) = made["overrides"]["containerOverrides"]
    assert set(container) == {"name", "environment"}
    assert container["name"] == "trainer"
    assert TrainingJob.from_environment({e["name"]: e["value"] for e in container["environment"]}) == JOB
    assert set(made["overrides"]) == {"containerOverrides"}
    assert made["tags"] == {"mnist-run": JOB.run, "mnist-job": JOB.candidate}


@pytest.mark.parametrize("job", [PROMOTE, ROLLBACK])
def test_the_promoter_gets_its_action_as_the_only_argument_and_the_rest_as_variables(job):
    made = request(job, "promoter")

    (container,) = made["overrides"]["containerOverrides"]
    environment = {e["name"]: e["value"] for e in container["environment"]}
    assert container["command"] == [job.action]
    assert PromotionJob.from_container(container["command"], environment) == job
    assert made["tags"] == {"mnist-run": job.run, "mnist-job": job.action}


def test_the_overrides_fit_into_what_ecs_takes_even_with_the_longest_values():
    job = JOB.model_copy(update={"bucket": "b" * 63, "run": "r" * 100, "checkpoints_prefix": "c" * 100})

    longest = ROLLBACK.model_copy(update={"bucket": "b" * 63, "run": "r" * 100, "reason": "\N{CHECK MARK}" * 500})

    assert len(json.dumps(request(job, "c" * 255)["overrides"])) < MAXIMUM_OVERRIDES
    assert len(json.dumps(request(longest, "c" * 255)["overrides"])) < MAXIMUM_OVERRIDES


def test_exit_code_0_does_not_make_up_for_a_missing_checkpoint():
    error = failure_of(stopped(0), "trainer")

    assert isinstance(error, ContainerFailed)
    assert "not committed" in str(error)


@pytest.mark.parametrize(
    ("code", "said"), [(2, "configuration"), (3, "what it needs in S3"), (1, "log"), (7, "exited with 7")]
)
def test_an_exit_code_that_another_try_would_repeat_fails_for_good(code, said):
    error = failure_of(stopped(code), "trainer")

    assert isinstance(error, ContainerFailed)
    assert said in str(error)


def test_the_cause_is_told_in_the_words_of_the_containers_own_error():
    with told(JsonLines({})) as log:
        events.tell("decided", "decided nothing")
        events.fail(ConfigurationError("x is in service already,\nsince decision 7", mend="name another\none"))

    error = failure_of(stopped(2), "trainer", log)

    assert error.problem == "container trainer exited with 2: x is in service already,\nsince decision 7"
    assert error.mend == "name another\none"
    assert error.log == (
        "decided nothing", "error: x is in service already,", "since decision 7", "  To mend it: name another", "one",
    )  # fmt: skip


def test_of_several_errors_the_last_one_counts_and_it_needs_no_advice():
    with told(JsonLines({})) as log:
        events.fail(TemporaryError("the first", mend="wait"))
        events.fail(TemporaryError("the last"))

    error = failure_of(stopped(4), "trainer", log)

    assert is_temporary(error)
    assert error.problem.endswith("the last")
    assert error.mend


@pytest.mark.parametrize("code", [4, 137, 143])
def test_storage_trouble_memory_and_interruptions_deserve_another_try(code):
    assert is_temporary(failure_of(stopped(code), "trainer"))


@pytest.mark.parametrize("stop_code", ["SpotInterruption", "TerminationNotice", "UserInitiated"])
@pytest.mark.parametrize("exit_code", [0, 143])
def test_a_task_that_was_stopped_from_outside_is_no_success_whatever_its_exit_code(stop_code, exit_code):
    error = failure_of(stopped(exit_code, stop_code=stop_code), "trainer")

    assert isinstance(error, TemporaryError)
    assert "stopped before it was done" in str(error)


@pytest.mark.parametrize(
    "reason",
    [
        "CannotPullContainerError: pull access denied for nope:1",
        "CannotPullContainerError: failed to resolve ref nope:1: nope:1: not found",
        "CannotPullECRContainerError: AccessDeniedException: not authorized to perform ecr:BatchGetImage on nope:1",
        "CannotPullContainerError: Error response from daemon: manifest unknown: nope:1",
        "No such image: nope:1",
    ],
)
def test_an_image_that_does_not_exist_is_named_and_not_tried_again(reason):
    error = failure_of(stopped(reason=reason, stop_code="TaskFailedToStart"), "trainer")

    assert isinstance(error, ConfigurationError)
    assert "nope:1" in str(error)


@pytest.mark.parametrize(
    "reason",
    [
        "ResourceInitializationError: failed to validate logger args: The specified log group does not exist",
        "ResourceInitializationError: unable to pull secrets: AccessDeniedException: not authorized",
    ],
)
def test_what_else_a_task_lacks_to_start_is_not_tried_again_and_not_taken_for_its_image(reason):
    error = failure_of(stopped(reason=reason, stop_code="TaskFailedToStart"), "trainer")

    assert isinstance(error, ConfigurationError)
    assert reason in str(error)
    assert "image" not in str(error)


@pytest.mark.parametrize(
    "reason",
    [
        "Capacity is unavailable at this time",
        "CannotPullContainerError: failed to do request: net/http: request canceled while waiting for connection",
        "CannotPullContainerError: toomanyrequests: you have reached your pull rate limit",
        "CannotPullContainerError: dial tcp: i/o timeout",
        "ResourceInitializationError: unable to pull secrets or registry auth: context deadline exceeded",
    ],
)
def test_a_task_that_found_no_capacity_or_no_registry_is_tried_again(reason):
    error = failure_of(stopped(reason=reason, stop_code="TaskFailedToStart"), "trainer")

    assert isinstance(error, TemporaryError)


def test_a_task_without_our_container_is_no_success():
    assert "did not start" in str(failure_of(stopped(0), "another"))


FIRST = Submission(generation=1, capacity="FARGATE_SPOT")


def test_the_same_submission_has_the_same_client_token_of_a_form_that_ecs_takes():
    assert FIRST.client_token(JOB) == Submission(generation=1, capacity="FARGATE_SPOT").client_token(JOB)
    assert re.fullmatch("[!-~]{1,64}", FIRST.client_token(JOB))


@pytest.mark.parametrize(
    ("submission", "job"),
    [
        (Submission(generation=2, capacity="FARGATE_SPOT"), JOB),
        (Submission(generation=1, capacity="FARGATE"), JOB),
        (FIRST, JOB.model_copy(update={"candidate": "mnist_model_20261124_020006"})),
        (FIRST, JOB.model_copy(update={"run": "another-run"})),
        (FIRST, PROMOTE),
        (FIRST, ROLLBACK),
        (FIRST, JOB.model_copy(update={"bucket": "another-bucket"})),
    ],
)
def test_whatever_may_run_beside_it_has_another_client_token(submission, job):
    assert submission.client_token(job) != FIRST.client_token(JOB)


def test_a_run_task_without_capacity_is_tried_again_and_says_what_ecs_said():
    error = refusal_of([{"reason": "RESOURCE:CPU"}, {"reason": "Capacity is unavailable at this time"}])

    assert is_temporary(error)
    assert "RESOURCE:CPU" in str(error)
    assert "Capacity is unavailable" in str(error)


def client_error(code, status=400, message="m", **more):
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}, "RunTask"
    )


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (client_error("ThrottlingException"), True),
        (client_error("ServerException", 500), True),
        (client_error("Unknown", 503), True),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), True),
        (client_error("AccessDeniedException"), False),
        (client_error("ClusterNotFoundException"), False),
        (client_error("ClientException"), False),
        (client_error("InvalidParameterException"), False),
        (client_error("InvalidParameterException", message="(ErrorCode: RequestLimitExceeded)"), True),
    ],
)
def test_an_error_of_ecs_is_tried_again_if_it_may_pass(error, passes):
    assert is_temporary(explained(error)) is passes


TASK = "arn:aws:ecs:us-east-1:111122223333:task/mnist/0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("error", "cluster", "out_of_reach"),
    [
        (client_error("ClusterNotFoundException"), "mnist", True),
        (client_error("InvalidParameterException", message="Identifier is for account 1. Yours is 2"), "mnist", True),
        (client_error("AccessDeniedException"), "other", True),
        (client_error("AccessDeniedException"), "arn:aws:ecs:us-east-1:111122223333:cluster/other", True),
        (client_error("AccessDeniedException"), "mnist", False),
        (client_error("AccessDeniedException"), "arn:aws:ecs:us-east-1:111122223333:cluster/mnist", False),
        (client_error("ThrottlingException"), "other", False),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "other", False),
    ],
)
def test_a_task_that_is_not_of_this_deployment_is_told_from_one_that_may_not_be_looked_at(error, cluster, out_of_reach):
    assert is_out_of_reach(error, TASK, cluster) is out_of_reach


def test_a_token_that_ecs_has_with_other_parameters_leads_to_the_task_that_has_it():
    assert conflicting_task(client_error("ConflictException", resourceIds=["arn:of:the-task"])) == "arn:of:the-task"
    assert conflicting_task(client_error("ConflictException")) is None
    assert conflicting_task(client_error("ClientException", resourceIds=["arn"])) is None


@pytest.mark.parametrize("task", [stopped(7), stopped(0), stopped(143)])
def test_every_failure_carries_the_last_lines_of_its_container(task):
    assert failure_of(task, "trainer", ["one", "two"]).log == ("one", "two")
