"""What a restart keeps, in order or after a SIGKILL: objects, client tokens, how tasks ended; and no task twice.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

import localcloud
from tests.ecs_tasks import IMAGE, Tasks, is_alive, poll

Connect = Callable[[localcloud.Cloud], Callable[[str], Any]]
HOUR_SECONDS = 3600
PARTS = ["supervisor", "emulator"]
# Leaves with 0 when it is asked to stop: a careless container, whose task must not read as a success.
CODE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(os.getpid(), flush=True)
while True:
    time.sleep(0.01)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    localcloud.down(tmp_path / "home")


@pytest.fixture
def tasks_of(connect: Connect) -> Callable[[localcloud.Cloud], Tasks]:
    def tasks(cloud: localcloud.Cloud) -> Tasks:
        return Tasks(connect(cloud)("ecs"), connect(cloud)("logs"), cloud.environment)

    return tasks


def kill(home: Path, *parts: str) -> None:
    """Returns when everything of this home has ended."""
    state = json.loads((home / "state.json").read_text())
    pids = {part: state[part]["pid"] for part in PARTS}
    for part in parts:
        os.kill(pids[part], signal.SIGKILL)
    poll(lambda: not any(map(is_alive, pids.values())))


def end(home: Path, how: str) -> None:
    if how == "down":
        localcloud.down(home)
    else:
        kill(home, *(PARTS if how == "both" else [how]))


def age(home: Path, task: str, **seconds: float) -> None:
    """Make a record older, in a home whose cloud does not run."""
    path = home / "tasks" / f"{task.rpartition('/')[2]}.json"
    record = json.loads(path.read_text())
    for name, by in seconds.items():
        holder = record if name in record else record["tasks"][0]
        holder[name] -= by
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("how", ["down", *PARTS, "both"])
def test_a_running_task_ends_with_the_cloud_and_its_token_is_remembered(
    home: Path, tasks_of: Callable[[localcloud.Cloud], Tasks], connect: Connect, how: str
) -> None:
    cloud = localcloud.up(home)
    bucket = cloud.environment["MNIST_BUCKET"]
    connect(cloud)("s3").put_object(Bucket=bucket, Key="a", Body=b"kept")
    tasks = tasks_of(cloud)
    definition = tasks.register(image=IMAGE, command=["python", "-c", CODE])
    task = tasks.run_definition(definition, clientToken="t")
    pid = int(poll(lambda: tasks.lines(task))[0])

    end(home, how)
    poll(lambda: not is_alive(pid))
    again = localcloud.up(home)

    assert again.environment == cloud.environment
    assert connect(again)("s3").get_object(Bucket=bucket, Key="a")["Body"].read() == b"kept"
    tasks = tasks_of(again)
    lost = tasks.describe(task)
    assert (lost["lastStatus"], lost["desiredStatus"], lost["stopCode"]) == ("STOPPED", "STOPPED", "TerminationNotice")
    assert lost["stoppedReason"] == "The one-machine cloud ended while the task ran."
    assert lost["createdAt"] < lost["stoppedAt"]
    assert tasks.listed() == []
    # The task definition, too, is lost with the emulator; a retry does not need it.
    answer = tasks.start(definition, clientToken="t")
    assert answer["tasks"] == [{"taskArn": task, "lastStatus": "STOPPED", "desiredStatus": "STOPPED"}]
    with pytest.raises(ClientError, match="ConflictException"):
        tasks.start(definition, clientToken="t", startedBy="somebody else")


@pytest.mark.parametrize("how", ["down", "both"])
def test_how_tasks_ended_is_remembered(home: Path, tasks_of: Callable[[localcloud.Cloud], Tasks], how: str) -> None:
    tasks = tasks_of(localcloud.up(home))
    exited, stopped = tasks.run("raise SystemExit(7)"), tasks.run("import time; time.sleep(300)")
    failed = tasks.run(image="registry.example/no-such-image:9")
    poll(lambda: tasks.describe(stopped)["lastStatus"] == "RUNNING")
    tasks.stop(stopped, "enough")
    before = [tasks.finish(task) for task in (exited, stopped, failed)]

    end(home, how)
    tasks = tasks_of(localcloud.up(home))

    after = [tasks.describe(task) for task in (exited, stopped, failed)]
    codes = [(task["stopCode"], task["containers"][0].get("exitCode")) for task in after]
    assert codes == [("EssentialContainerExited", 7), ("UserInitiated", 143), ("TaskFailedToStart", None)]
    kept = ("stoppedReason", "stoppedAt", "lastStatus", "desiredStatus", "taskDefinitionArn")
    assert [[task[name] for name in kept] for task in after] == [[task[name] for name in kept] for task in before]


def test_a_task_that_ended_unseen_before_a_sigkill_keeps_its_exit_code(
    home: Path, tasks_of: Callable[[localcloud.Cloud], Tasks]
) -> None:
    tasks = tasks_of(localcloud.up(home))
    task = tasks.run("print('done')")
    record = home / "tasks" / f"{task.rpartition('/')[2]}.json"
    poll(lambda: json.loads(record.read_text())["tasks"][0]["exit_codes"] == {"main": 0})

    kill(home, *PARTS)

    ended = tasks_of(localcloud.up(home)).describe(task)
    assert (ended["stopCode"], ended["containers"][0]["exitCode"]) == ("EssentialContainerExited", 0)


def test_a_token_is_forgotten_after_24_hours_or_an_hour_after_its_task_stopped_and_then_the_task_is_too(
    home: Path, tasks_of: Callable[[localcloud.Cloud], Tasks]
) -> None:
    tasks = tasks_of(localcloud.up(home))
    definition = tasks.register(image=IMAGE, command=["true"])
    recent, gone, old = (tasks.run_definition(definition, clientToken=token) for token in ("recent", "gone", "old"))
    for task in (recent, gone, old):
        tasks.finish(task)
    localcloud.down(home)

    age(home, recent, stopped_at=HOUR_SECONDS - 300, created_at=24 * HOUR_SECONDS - 300)
    age(home, gone, stopped_at=HOUR_SECONDS)
    age(home, old, created_at=24 * HOUR_SECONDS)
    tasks = tasks_of(localcloud.up(home))

    answer = tasks.ecs.describe_tasks(cluster=tasks.environment["MNIST_CLUSTER"], tasks=[recent, gone, old])
    assert [task["taskArn"] for task in answer["tasks"]] == [recent, old]
    assert answer["failures"] == [{"arn": gone, "reason": "MISSING"}]
    assert tasks.run_definition(definition, clientToken="recent") == recent
    assert tasks.run_definition(definition, clientToken="gone") != gone
    other = tasks.run_definition(definition, clientToken="old")
    assert other != old
    assert tasks.run_definition(definition, clientToken="old") == other


@pytest.mark.parametrize("how", [*PARTS, "both"])
def test_no_token_starts_two_processes_wherever_a_sigkill_falls(
    home: Path, connect: Connect, tmp_path: Path, how: str
) -> None:
    """Requests are under way when it happens; each one is repeated afterwards, as a client does that got no answer."""
    starts = tmp_path / "starts"
    cloud = localcloud.up(home)
    register_counting(connect(cloud)("ecs"), starts)
    tokens: list[str] = []
    clients = [threading.Thread(target=run_until_it_breaks, args=(cloud, connect, tokens)) for _ in range(3)]
    for client in clients:
        client.start()
    poll(lambda: len(tokens) > 12)

    kill(home, *(PARTS if how == "both" else [how]))
    for client in clients:
        client.join()
    ecs = connect(localcloud.up(home))("ecs")
    register_counting(ecs, starts)  # again: a killed emulator has lost it

    arns = [run_counting(ecs, token) for token in tokens]
    assert len(set(arns)) == len(tokens)
    ended = [poll(lambda arn=arn: stopped(ecs, arn)) for arn in arns]
    lines = starts.read_text().split()
    assert len(lines) == len(set(lines))
    succeeded = {token for token, task in zip(tokens, ended, strict=True) if task["containers"][0].get("exitCode") == 0}
    assert succeeded <= set(lines) <= set(tokens)


def register_counting(ecs: Any, starts: Path) -> None:
    """Each process of this task leaves its request's token in a file."""
    code = "import os; open(os.environ['STARTS'], 'a').write(os.environ['TOKEN'] + '\\n')"
    container = {
        "name": "main",
        "image": IMAGE,
        "command": ["python", "-S", "-c", code],
        "environment": [{"name": "STARTS", "value": str(starts)}],
    }
    ecs.register_task_definition(family="counting", containerDefinitions=[container])


def run_counting(ecs: Any, token: str) -> str:
    environment = [{"name": "TOKEN", "value": token}]
    answer = ecs.run_task(
        cluster="mnist", taskDefinition="counting", launchType="FARGATE", clientToken=token,
        overrides={"containerOverrides": [{"name": "main", "environment": environment}]},
    )  # fmt: skip
    return answer["tasks"][0]["taskArn"]


def stopped(ecs: Any, arn: str) -> dict[str, Any] | None:
    task = ecs.describe_tasks(cluster="mnist", tasks=[arn])["tasks"][0]
    return task if task["lastStatus"] == "STOPPED" else None


def run_until_it_breaks(cloud: localcloud.Cloud, connect: Connect, tokens: list[str]) -> None:
    ecs = connect(cloud)("ecs")
    with contextlib.suppress(BotoCoreError, ClientError):
        while True:
            token = uuid.uuid4().hex
            tokens.append(token)
            run_counting(ecs, token)
