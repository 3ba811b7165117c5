"""The container runtime without its socket: Docker's rules for images, names, commands, exits and logs."""

from __future__ import annotations

import io
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from localcloud.images import Image
from localcloud.runtime.child import ChildProcesses
from localcloud.runtime.container import FORWARDED_OUTPUT_SECONDS, UNREAD_OUTPUT_SECONDS, Container, NotFoundError
from localcloud.runtime.engine import ConflictError, CreateRequest, Engine, TaskSettings
from localcloud.runtime.logs import MAX_LINE_BYTES, STDERR, STDOUT, Line, Log
from localcloud.runtime.routes import EMULATOR_HOSTNAME, dispatch
from localcloud.runtime.tasks import CLUSTER_LABEL, NAME_LABEL, TASK_LABEL, EcsTasks

PYTHON = Image(command=(sys.executable,), environment={"FROM_IMAGE": "1", "BOTH": "image"})
TOOL = Image(entrypoint=(sys.executable, "-c"), command=("print('default')",))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(
        ChildProcesses({"python": PYTHON, "tool": TOOL}, tmp_path), lambda request: TaskSettings(request.environment)
    )
    yield made
    made.shut_down(grace_seconds=0)


def request(**changes: Any) -> CreateRequest:
    defaults = {
        "name": "one", "image": "python", "entrypoint": None, "command": None, "environment": {}, "working_dir": None,
        "labels": {},
    }  # fmt: skip
    return CreateRequest(**(defaults | changes))


def python(code: str, **changes: Any) -> CreateRequest:
    return request(command=(sys.executable, "-u", "-c", code), **changes)


def output(engine: Engine, wanted: CreateRequest) -> bytes:
    container = engine.create(wanted)
    container.start()
    return b"".join(line.data for line in container.log.read(follow=True))


def call(engine: Engine, method: str, path: str, body: dict[str, Any] | None = None, **query: str) -> Any:
    return dispatch(engine, method, path, query, body or {})


def test_a_command_follows_the_images_entry_point(engine: Engine) -> None:
    assert output(engine, request(image="tool")) == b"default\n"
    assert output(engine, request(name="two", image="tool", command=("print('mine')",))) == b"mine\n"


def test_an_entry_point_of_ones_own_drops_the_images_command(engine: Engine) -> None:
    container = engine.create(request(image="tool", entrypoint=("true",)))

    assert container.spec.argv == ("true",)


def test_a_container_without_any_command_is_refused(tmp_path: Path) -> None:
    engine = Engine(ChildProcesses({"empty": Image()}, tmp_path), lambda wanted: TaskSettings(wanted.environment))

    with pytest.raises(ValueError, match="no command specified"):
        engine.create(request(image="empty"))


def test_the_containers_environment_wins_over_the_images(engine: Engine) -> None:
    code = "import os; print(os.environ['FROM_IMAGE'], os.environ['BOTH'])"

    assert output(engine, python(code, environment={"BOTH": "container"})) == b"1 container\n"


def test_credentials_never_show_in_a_specifications_text(engine: Engine) -> None:
    container = engine.create(request(environment={"AWS_SECRET_ACCESS_KEY": "hush"}))

    assert "hush" not in repr(container.spec)
    assert "hush" not in json.dumps(call(engine, "GET", f"/containers/{container.id}/json")[1])


def test_an_unknown_image_is_refused_in_dockers_words(engine: Engine) -> None:
    with pytest.raises(NotFoundError, match=r"^No such image: nope:1$"):
        engine.create(request(image="nope:1"))
    with pytest.raises(NotFoundError, match=r"^No such image: nope:1$"):
        call(engine, "POST", "/images/create", fromImage="nope", tag="1")


def test_a_taken_name_is_a_conflict(engine: Engine) -> None:
    engine.create(request())

    with pytest.raises(ConflictError, match="already in use"):
        engine.create(request())


def test_a_container_is_found_by_id_short_id_and_name(engine: Engine) -> None:
    container = engine.create(request())

    assert engine.get(container.id) is engine.get(container.id[:12]) is engine.get("one") is container
    for unknown in ("", "0" * 64):
        with pytest.raises(NotFoundError, match="No such container"):
            engine.get(unknown)


def test_a_running_container_is_removed_by_force_only_and_its_files_go_with_it(engine: Engine, tmp_path: Path) -> None:
    container = engine.create(python("import time; time.sleep(60)"))
    container.start()

    with pytest.raises(ConflictError, match="cannot remove a running container"):
        engine.remove("one", force=False)
    engine.remove("one", force=True)

    assert container.wait(0) == 128 + signal.SIGKILL or container.wait(0) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFoundError):
        engine.get("one")


def test_a_command_that_cannot_be_executed_leaves_no_folder(engine: Engine, tmp_path: Path) -> None:
    container = engine.create(request(command=("no-such-command",)))

    with pytest.raises(FileNotFoundError, match="no-such-command"):
        container.start()

    assert list(tmp_path.iterdir()) == []
    assert container.status == "created"


def test_an_exit_shows_at_once_when_the_output_was_read_and_a_little_later_when_nobody_comes(engine: Engine) -> None:
    read, unread = engine.create(python("print(1)", name="read")), engine.create(python("print(1)", name="unread"))
    for container in (read, unread):
        container.start()
    assert [line.data for line in read.log.read(follow=True)] == [b"1\n"]
    assert read.wait(10) == 0
    assert read.status == "exited"
    assert unread.wait(10) == 0
    assert unread.status == "running"

    deadline = time.monotonic() + 10
    while unread.status != "exited":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_output_that_goes_to_a_log_is_kept_for_longer_than_one_that_nobody_may_want(tmp_path: Path) -> None:
    engine = Engine(
        ChildProcesses({"python": PYTHON}, tmp_path), lambda wanted: TaskSettings(wanted.environment, forwarded=True)
    )
    container = engine.create(python("print(1)"))
    container.start()
    assert container.wait(10) == 0

    time.sleep(UNREAD_OUTPUT_SECONDS + 0.1)
    assert container.status == "running"
    assert [line.data for line in container.log.read(follow=True)] == [b"1\n"]
    assert container.status == "exited"


def test_a_stop_does_not_wait_for_a_log_that_nobody_has_begun_to_fetch(tmp_path: Path) -> None:
    """The emulator sends nobody when it was told to stop the task before it had started the container."""
    engine = Engine(
        ChildProcesses({"python": PYTHON}, tmp_path), lambda wanted: TaskSettings(wanted.environment, forwarded=True)
    )
    engine.create(python("import time; time.sleep(60)")).start()
    started = time.monotonic()

    engine.stop("one", timeout=10)

    assert time.monotonic() - started < FORWARDED_OUTPUT_SECONDS / 2


@pytest.mark.parametrize(
    ("log", "forwarded"),
    [
        ({"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/g"}}}, True),
        ({"logConfiguration": {"logDriver": "awslogs"}}, False),
        ({"logConfiguration": {"logDriver": "json-file", "options": {"awslogs-group": "/g"}}}, False),
        ({}, False),
    ],
)
def test_the_output_goes_to_a_log_if_the_tasks_definition_names_one(log: dict[str, Any], forwarded: bool) -> None:
    ecs = SimpleNamespace(
        describe_tasks=lambda **_: {"tasks": [{"taskArn": "a/task", "taskDefinitionArn": "d"}]},
        describe_task_definition=lambda **_: {"taskDefinition": {"containerDefinitions": [{"name": "main", **log}]}},
    )
    tasks = EcsTasks(lambda _service: ecs, "us-east-1", "http://127.0.0.1:1", lambda _arn, _s: None, lambda _r, _n: {})
    labels = {TASK_LABEL: "a/task", CLUSTER_LABEL: "a", NAME_LABEL: "main"}

    assert tasks.settings(request(labels=labels)).forwarded is forwarded
    assert tasks.settings(request()).forwarded is False


def test_a_stop_leaves_time_to_fetch_the_last_words(engine: Engine) -> None:
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit('bye')); print(1); time.sleep(60)"
    )
    container = engine.create(python(code))
    container.start()
    lines = container.log.read(follow=True)
    next(lines)
    stopping = threading.Thread(target=engine.stop, args=("one", 10))
    stopping.start()
    assert container.wait(10) == 1

    assert stopping.is_alive()
    assert [line.data for line in lines] == [b"bye\n"]
    stopping.join(0.5)
    assert not stopping.is_alive()


@pytest.mark.parametrize(("own", "counts"), [(1, 1), (8, 8), (None, 5)])
def test_a_tasks_own_stop_timeout_counts_whether_it_is_shorter_or_longer_than_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: int | None, counts: int
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(Container, "stop", lambda _, timeout: asked.append(timeout))
    engine = Engine(ChildProcesses({"python": PYTHON}, tmp_path), lambda wanted: TaskSettings(wanted.environment, own))
    output(engine, python("pass"))

    engine.stop("one", 5)

    assert asked == [counts]


def test_shutting_down_ends_every_container_side_by_side(engine: Engine) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(60)"
    containers = [engine.create(python(code, name=str(number))) for number in range(3)]
    for container in containers:
        container.start()
        next(container.log.read(follow=True))
    started = time.monotonic()

    engine.shut_down(grace_seconds=3)

    assert time.monotonic() - started < 8  # one after another, it would take nine seconds
    assert [container.exit_code for container in containers] == [137, 137, 137]


def test_lists_filter_by_label_and_leave_out_what_does_not_run(engine: Engine) -> None:
    engine.create(request(name="a", labels={"owner": "x"}))
    engine.create(request(name="b", labels={"owner": "y"}))

    def names(**query: str) -> list[str]:
        return [name for entry in call(engine, "GET", "/containers/json", **query)[1] for name in entry["Names"]]

    assert names() == []
    assert names(all="1") == ["/a", "/b"]
    assert names(all="1", filters=json.dumps({"label": ["owner=y"]})) == ["/b"]
    assert names(all="1", filters=json.dumps({"label": ["owner"]})) == ["/a", "/b"]
    assert names(all="1", filters=json.dumps({"label": ["stranger"]})) == []


def test_the_emulator_finds_itself_on_loopback(engine: Engine) -> None:
    status, body = call(engine, "GET", f"/containers/{EMULATOR_HOSTNAME}/json")

    assert status == HTTPStatus.OK
    assert [network["IPAddress"] for network in body["NetworkSettings"]["Networks"].values()] == ["127.0.0.1"]


@pytest.mark.parametrize("request_line", ["GET /info", "PUT /containers/create", "GET /containers/a/b/json"])
def test_any_other_request_is_not_found(engine: Engine, request_line: str) -> None:
    method, path = request_line.split()

    with pytest.raises(NotFoundError, match="page not found"):
        call(engine, method, path)


def test_a_frame_is_stream_three_zeros_length_payload() -> None:
    assert Line(STDERR, b"ab\n").frame() == b"\x02\x00\x00\x00\x00\x00\x00\x03ab\n"


def test_a_follower_gets_early_and_late_lines_and_then_the_end() -> None:
    log = Log(streams=2)
    log.copy_from(io.BytesIO(b"early\n"), STDOUT)
    lines = log.read(follow=True)
    assert next(lines) == Line(STDOUT, b"early\n")
    assert list(log.read(follow=False)) == [Line(STDOUT, b"early\n")]
    late = threading.Timer(0.05, log.copy_from, (io.BytesIO(b"late\nno newline"), STDERR))
    late.start()

    assert list(lines) == [Line(STDERR, b"late\n"), Line(STDERR, b"no newline")]
    assert log.was_read()
    late.join()


def test_an_endless_line_arrives_in_pieces() -> None:
    log = Log(streams=1)
    log.copy_from(io.BytesIO(b"x" * (MAX_LINE_BYTES + 1)), STDOUT)

    assert [len(line.data) for line in log.read(follow=True)] == [MAX_LINE_BYTES, 1]
