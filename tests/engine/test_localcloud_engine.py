"""The one-machine cloud with a real engine passes the tests of the one whose containers are processes.

They are the same functions, with other fixtures. Left out is what looks at a process or at a file of this machine,
which a container shares with nobody, and what kills itself, which a container's first process cannot do; the tests
below take their place.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ecs_tasks import CONTAINER, Tasks, poll
from tests.engine.conftest import docker
from tests.integration.test_localcloud_client_token import (  # noqa: F401
    test_a_request_that_was_refused_or_found_no_capacity_is_not_remembered,
    test_another_cluster_account_or_region_is_a_separate_request,
    test_concurrent_requests_with_different_tokens_do_not_disturb_each_other,
    test_of_a_task_that_has_stopped_a_retry_gets_arn_last_status_and_desired_status,
    test_several_tasks_of_one_request_are_given_again_all,
    token,
)
from tests.integration.test_localcloud_ecs import (  # noqa: F401
    test_a_burst_of_tasks_all_start_and_no_line_is_lost,
    test_a_command_that_does_not_exist_fails_with_a_message_that_names_it,
    test_a_task_runs_under_its_roles_credentials,
    test_a_task_without_a_role_has_no_credentials_at_all,
    test_an_unknown_image_fails_with_a_message_that_names_it,
    test_exit_code_7_is_reported_by_describe_tasks,
    test_lines_are_in_cloudwatch_while_the_task_runs_and_none_is_lost_at_its_end,
    test_overrides_change_command_and_environment,
    test_standard_error_and_a_last_line_without_newline_are_logged,
    test_two_tasks_run_at_the_same_time,
)
from tests.integration.test_localcloud_stops import (  # noqa: F401
    test_a_stop_after_the_end_does_not_change_what_the_task_says,
    test_a_task_that_is_stopped_while_it_starts_ends_without_an_exit_code_or_with_a_true_one,
    test_missing_capacity_fails_as_many_requests_to_spot_as_asked_and_none_on_demand,
    test_to_stop_an_unknown_task_is_an_error,
)


@pytest.fixture
def definition(tasks: Tasks) -> Any:
    """A task that runs until it is stopped, which the end of the test does."""
    yield tasks.register(image=tasks.image, command=["python", "-c", "import time; time.sleep(300)"])
    for task in tasks.listed():
        tasks.stop(task)


def container_of(task: str, *options: str) -> str:
    """The engine's id of a task's container; empty when there is none."""
    return docker("ps", "--quiet", "--filter", f"label=com.amazonaws.ecs.task-arn={task}", *options).stdout.strip()


def test_stop_task_sends_sigterm_then_sigkill_and_reports_the_containers_own_exit_code(tasks: Tasks) -> None:
    polite = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(143)); print(1); time.sleep(300)"
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(300)"
    both = [tasks.run(polite), tasks.run(deaf, stop_timeout=1)]
    poll(lambda: all(tasks.lines(task) == ["1"] for task in both))

    for task in both:
        tasks.stop(task)

    assert [tasks.finish(task)["containers"][0]["exitCode"] for task in both] == [143, 137]


def test_one_token_starts_one_container(tasks: Tasks, definition: str, token: str) -> None:  # noqa: F811
    arns = {tasks.run_definition(definition, clientToken=token) for _ in range(5)}

    assert len(arns) == 1
    poll(lambda: container_of(next(iter(arns))))
    assert len(container_of(next(iter(arns)), "--all").split()) == 1


def test_a_container_is_removed_when_its_task_has_ended(tasks: Tasks) -> None:
    task = tasks.run("print('the end')")
    tasks.finish(task)

    assert tasks.await_lines(task) == ["the end"]
    assert container_of(task, "--all") == ""


def test_the_task_definitions_memory_cpu_and_read_only_root_hold(tasks: Tasks) -> None:
    options = {"image": tasks.image, "command": ["python", "-c", "import time; time.sleep(300)"]}
    definition = tasks.ecs.register_task_definition(
        family="limited", networkMode="awsvpc", cpu="256", memory="512",
        containerDefinitions=[{"name": CONTAINER, "readonlyRootFilesystem": True, **options}],
    )["taskDefinition"]["taskDefinitionArn"]  # fmt: skip
    task = tasks.run_definition(definition)
    container = poll(lambda: container_of(task))

    limits = json.loads(docker("inspect", "--format", "{{json .HostConfig}}", container).stdout)
    tasks.stop(task)

    assert (limits["Memory"], limits["NanoCpus"], limits["ReadonlyRootfs"]) == (512 * 2**20, 250_000_000, True)
    assert limits["SecurityOpt"] == ["no-new-privileges"]
