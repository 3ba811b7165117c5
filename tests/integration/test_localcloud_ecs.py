"""ECS tasks of the one-machine cloud really run: real processes, a real SDK, the real CloudFormation template."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import localcloud
from tests.ecs_tasks import CONTAINER, Tasks, is_alive, poll


def overrides(**container: Any) -> dict[str, Any]:
    return {"containerOverrides": [{"name": CONTAINER, **container}]}


def test_exit_code_7_is_reported_by_describe_tasks(tasks: Tasks) -> None:
    ended = tasks.finish(tasks.run("raise SystemExit(7)"))

    assert ended["containers"][0]["exitCode"] == 7
    assert ended["stopCode"] == "EssentialContainerExited"


def test_a_process_that_a_signal_ends_reports_128_plus_its_number(tasks: Tasks) -> None:
    ended = tasks.finish(tasks.run("import os; os.kill(os.getpid(), 9)"))

    assert ended["containers"][0]["exitCode"] == 137


def test_overrides_change_command_and_environment(tasks: Tasks) -> None:
    definition = tasks.register(image=tasks.image, command=["false"], environment=[{"name": "KEPT", "value": "yes"}])
    code = "import os; print(os.environ['KEPT'], os.environ['ADDED'])"
    changes = overrides(command=["python", "-c", code], environment=[{"name": "ADDED", "value": "a = ü"}])

    task = tasks.run_definition(definition, overrides=changes)

    assert tasks.finish(task)["containers"][0]["exitCode"] == 0
    assert tasks.await_lines(task) == ["yes a = ü"]


def test_nothing_of_the_hosts_environment_reaches_a_task(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch, cloud: localcloud.Cloud
) -> None:
    task = tasks.run("import json, os; print(json.dumps(dict(os.environ)))")
    tasks.finish(task)

    seen = json.loads(tasks.await_lines(task)[0])

    host = {name for name in os.environ if os.environ[name] == seen.get(name)} - {"LANG", "LC_CTYPE"}
    assert host == set()
    assert set(seen) == {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED", "ECS_CONTAINER_METADATA_URI_V4", "HOME", "LANG", "PATH",
        "TMPDIR",
    }  # fmt: skip
    assert seen["AWS_ENDPOINT_URL"] == cloud.environment["AWS_ENDPOINT_URL"]


def test_lines_are_in_cloudwatch_while_the_task_runs_and_none_is_lost_at_its_end(tasks: Tasks) -> None:
    code = """
import sys, time
print("early")
while True:
    time.sleep(0.05)
"""
    task = tasks.run(code)
    poll(lambda: tasks.lines(task) == ["early"])
    assert tasks.describe(task)["lastStatus"] in {"ACTIVATING", "RUNNING"}
    tasks.stop(task)

    many = tasks.run("for number in range(2000): print('line', number)")
    tasks.finish(many)
    # CloudWatch answers up to 10,000 events at once.
    assert tasks.await_lines(many, 2000) == [f"line {number}" for number in range(2000)]


def test_standard_error_and_a_last_line_without_newline_are_logged(tasks: Tasks) -> None:
    task = tasks.run("import sys; sys.stderr.write('to stderr\\n'); sys.stderr.flush(); sys.stdout.write('the end')")
    tasks.finish(task)

    assert sorted(tasks.await_lines(task, 2)) == ["the end", "to stderr"]


def test_an_unknown_image_fails_with_a_message_that_names_it(tasks: Tasks) -> None:
    ended = tasks.finish(tasks.run(image="registry.example/no-such-image:9"))

    assert ended["stopCode"] == "TaskFailedToStart"
    assert "No such image: registry.example/no-such-image:9" in ended["stoppedReason"]
    assert "exitCode" not in ended["containers"][0]


def test_a_command_that_does_not_exist_fails_with_a_message_that_names_it(tasks: Tasks) -> None:
    definition = tasks.register(image=tasks.image, command=["no-such-command"])

    ended = tasks.finish(tasks.run_definition(definition))

    assert ended["stopCode"] == "TaskFailedToStart"
    assert "no-such-command" in ended["stoppedReason"]


def test_stop_task_sends_sigterm_and_the_last_words_are_logged(tasks: Tasks) -> None:
    code = """
import os, signal, sys, time
def leave(*_):
    print("saved")
    sys.exit(143)
signal.signal(signal.SIGTERM, leave)
print(os.getpid())
time.sleep(300)
"""
    task = tasks.run(code)
    pid = int(poll(lambda: tasks.lines(task))[0])

    tasks.stop(task)

    ended = tasks.finish(task)
    assert (ended["stopCode"], ended["stoppedReason"]) == ("UserInitiated", "the test is over")
    assert poll(lambda: tasks.lines(task)[1:]) == ["saved"]
    assert not is_alive(pid)


def test_a_task_that_ignores_sigterm_is_killed_with_its_children_after_its_own_stop_timeout(tasks: Tasks) -> None:
    code = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print(os.getpid(), child.pid)
time.sleep(300)
"""
    task = tasks.run(code, stop_timeout=8)
    pids = [int(pid) for pid in poll(lambda: tasks.lines(task))[0].split()]
    started = time.monotonic()

    tasks.stop(task)

    poll(lambda: not any(map(is_alive, pids)))
    # Neither after the five seconds that the emulator would give it, nor after the two minutes that Fargate allows.
    assert 8 <= time.monotonic() - started < 60


def test_a_container_ends_with_its_first_process(tasks: Tasks) -> None:
    code = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]).pid)
"""
    task = tasks.run(code)
    tasks.finish(task)

    child = int(tasks.await_lines(task)[0])
    poll(lambda: not is_alive(child))


def test_a_task_runs_under_its_roles_credentials(tasks: Tasks) -> None:
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    task = tasks.run(code)
    tasks.finish(task)

    role = tasks.trainer_role().rpartition("/")[2]
    assert f":assumed-role/{role}/{task.rpartition('/')[2]}" in tasks.await_lines(task)[-1]


def test_a_task_without_a_role_has_no_credentials_at_all(tasks: Tasks) -> None:
    code = "import boto3; print(boto3.session.Session().get_credentials())"
    task = tasks.run_definition(tasks.register(role=False, image=tasks.image, command=["python", "-c", code]))
    tasks.finish(task)

    assert tasks.await_lines(task) == ["None"]


def test_two_tasks_run_at_the_same_time(tasks: Tasks) -> None:
    code = "import time; print('started'); time.sleep(300)"
    both = [tasks.run(code), tasks.run(code)]
    try:
        poll(lambda: all(tasks.lines(task) == ["started"] for task in both))
        poll(lambda: [tasks.describe(task)["lastStatus"] for task in both] == ["RUNNING", "RUNNING"])
    finally:
        for task in both:
            tasks.stop(task)


def test_a_burst_of_tasks_all_start_and_no_line_is_lost(tasks: Tasks) -> None:
    definition = tasks.register(image=tasks.image, command=["python", "-c", "print(1); print(2)"])

    burst = [tasks.run_definition(definition) for _ in range(30)]

    assert {tasks.finish(task)["containers"][0].get("exitCode") for task in burst} == {0}
    assert {tuple(tasks.await_lines(task, 2)) for task in burst} == {("1", "2")}


def test_an_empty_task_takes_about_a_second(tasks: Tasks) -> None:
    """The best of five: a busy machine slows some of them down, and a slow cloud would be slow each time."""
    definition = tasks.register(image=tasks.image, command=["true"])
    seconds = []
    for _ in range(5):
        started = time.monotonic()
        tasks.finish(tasks.run_definition(definition))
        seconds.append(time.monotonic() - started)

    assert min(seconds) < 3  # 0.2 s on a quiet machine


def test_each_task_has_a_folder_of_its_own_to_write_to(tasks: Tasks) -> None:
    code = "import os, pathlib; pathlib.Path('scratch').touch(); print(os.getcwd(), os.listdir())"
    one, other = tasks.run(code), tasks.run(code)
    tasks.finish(one)
    tasks.finish(other)

    assert tasks.await_lines(one)[0].endswith("['scratch']")
    assert tasks.await_lines(one) != tasks.await_lines(other)


def test_the_trainers_task_definition_runs_the_trainers_module(tasks: Tasks, cloud: localcloud.Cloud) -> None:
    family = cloud.environment["MNIST_TASK_DEFINITION"]
    definition = tasks.ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]

    trainer = definition["containerDefinitions"][0]
    assert trainer["name"] == cloud.environment["MNIST_CONTAINER_NAME"]
    assert trainer["image"] in localcloud.default_images()
    assert trainer["stopTimeout"] == 120
    assert (
        trainer["logConfiguration"]["options"]["awslogs-stream-prefix"] == cloud.environment["MNIST_LOG_STREAM_PREFIX"]
    )
    assert "run_module('mnist_tasks.training'" in localcloud.default_images()[trainer["image"]].entrypoint[-1]


def test_tasks_end_with_the_cloud(tmp_path: Path, connect: Callable[[localcloud.Cloud], Any]) -> None:
    cloud = localcloud.up(tmp_path)
    try:
        clients = connect(cloud)
        tasks = Tasks(clients("ecs"), clients("logs"), cloud.environment)
        pids = []
        for _ in range(2):
            task = tasks.run("import os, time; print(os.getpid()); time.sleep(300)")
            pids.append(int(poll(lambda task=task: tasks.lines(task))[0]))
    finally:
        localcloud.down(tmp_path)

    assert not any(map(is_alive, pids))


def test_tasks_end_even_when_the_supervisor_is_killed(
    tmp_path: Path, connect: Callable[[localcloud.Cloud], Any]
) -> None:
    cloud = localcloud.up(tmp_path)
    try:
        clients = connect(cloud)
        tasks = Tasks(clients("ecs"), clients("logs"), cloud.environment)
        task = tasks.run("import os, time; print(os.getpid()); time.sleep(300)")
        pid = int(poll(lambda: tasks.lines(task))[0])
        recorded = json.loads((tmp_path / "state.json").read_text())

        os.kill(recorded["supervisor"]["pid"], signal.SIGKILL)

        poll(lambda: not is_alive(pid) and not is_alive(recorded["emulator"]["pid"]))
    finally:
        localcloud.down(tmp_path)
