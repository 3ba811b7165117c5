"""The front's parts that need no server: HTTP's framing, what is remembered of tasks, what ECS says of them."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.front.descriptions import describe, describe_retry
from localcloud.front.http import Answer, BadRequestError, Head, body_of, read_body, read_head
from localcloud.front.ledger import Ledger
from localcloud.front.records import RunRecord, Stop, TaskRecord, TokenKey, fingerprint

ARN = "arn:aws:ecs:us-east-1:000000000000:task/mnist/1"
KEY = TokenKey("000000000000", "us-east-1", "mnist", "token")
HOUR = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Ledger:
    return Ledger(tmp_path / "tasks", clock)


def task(arn: str = ARN, status: str = "RUNNING", **members: Any) -> dict[str, Any]:
    container = {"name": "main", "lastStatus": status}
    described = {"taskArn": arn, "lastStatus": status, "desiredStatus": status, "stopCode": "", "stoppedReason": ""}
    return described | {"containers": [container], "createdAt": 5.0} | members


def reader(data: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(data))


# --- HTTP


def test_a_head_keeps_its_bytes_and_knows_its_headers_by_any_case() -> None:
    raw = b"PUT /b/k?x=1 HTTP/1.1\r\nHost: a\r\nX-AMZ-Target:  T \r\n\r\n"

    head = read_head(reader(raw + b"body"))

    assert head == Head(raw, "PUT", "/b/k?x=1", {"host": "a", "x-amz-target": "T"})
    assert read_head(reader(b"")) is None


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5), st.binary(max_size=20))
def test_a_chunked_body_is_handed_on_to_its_last_byte_and_no_further(pieces: list[bytes], rest: bytes) -> None:
    body = b"".join(b"%x;extension\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nTrailer: x\r\n\r\n"
    stream = reader(body + rest)

    assert b"".join(body_of(Head(b"", "PUT", "/", {"transfer-encoding": "Chunked"}), stream)) == body
    assert stream.read() == rest


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_a_body_of_known_length_is_handed_on_to_its_last_byte_and_no_further(body: bytes, rest: bytes) -> None:
    stream = reader(body + rest)

    assert b"".join(body_of(Head(b"", "PUT", "/", {"content-length": str(len(body))}), stream)) == body
    assert stream.read() == rest


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        ({"content-length": "5"}, b"1234"),
        ({"content-length": "+5"}, b"12345"),
        ({"transfer-encoding": "chunked"}, b"5\r\n123"),
        ({"transfer-encoding": "chunked"}, b"five\r\n"),
        ({"transfer-encoding": "chunked"}, b""),
    ],
)
def test_a_body_that_ends_early_or_has_no_length_is_refused(headers: dict[str, str], data: bytes) -> None:
    with pytest.raises(BadRequestError):
        list(body_of(Head(b"", "PUT", "/", headers), reader(data)))


def test_who_waits_for_100_continue_gets_it_once_its_body_is_wanted() -> None:
    sent: list[bytes] = []
    head = Head(b"", "POST", "/", {"content-length": "2", "expect": "100-Continue"})

    assert read_body(head, reader(b"{}"), sent.append) == b"{}"
    assert sent == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_an_answer_travels_with_its_length() -> None:
    head, _, body = Answer(400, {"a": "ü"}).encode().partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"
    assert json.loads(body) == {"a": "ü"}


# --- what is remembered


def test_parameters_are_the_same_in_any_order_and_without_token_and_cluster() -> None:
    one = {"count": 1, "overrides": {"a": 1, "b": 2}, "clientToken": "x", "cluster": "c"}
    other = {"overrides": {"b": 2, "a": 1}, "count": 1, "cluster": "arn:aws:ecs:us-east-1:0:cluster/c"}

    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one) != fingerprint(one | {"count": 2})


def test_a_record_survives_json() -> None:
    stopped = TaskRecord(task(), {"main": 143}, Stop("UserInitiated", "enough", 7.0), 8.0)
    run = RunRecord(KEY, "f", 5.0, (TaskRecord(task()), stopped))

    assert RunRecord.from_json(run.to_json()) == run


def test_a_token_counts_for_24_hours_while_its_task_runs(ledger: Ledger, clock: Clock) -> None:
    ledger.add(KEY, "f", [task()])
    run = ledger.find(KEY)
    assert run

    assert run.token_counts(clock.now + 24 * HOUR - 1)
    assert not run.token_counts(clock.now + 24 * HOUR)
    assert not run.is_forgotten(clock.now + 100 * HOUR)


def test_a_token_counts_until_an_hour_after_the_last_of_its_tasks_stopped(ledger: Ledger, clock: Clock) -> None:
    ledger.add(KEY, "f", [task(ARN), task(ARN + "2")])
    ledger.note_stopped(ARN, task(status="STOPPED", stoppedAt=clock.now + 10))
    clock.now += 5 * HOUR
    ledger.note_stopped(ARN + "2", task(ARN + "2", status="STOPPED", stoppedAt=clock.now))
    run = ledger.find(KEY)
    assert run

    assert run.token_counts(clock.now + HOUR - 1)
    assert not run.token_counts(clock.now + HOUR)


def test_what_is_forgotten_leaves_no_file(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    ledger.add(KEY, "f", [task(ARN), task(ARN + "2")])
    for arn in (ARN, ARN + "2"):
        ledger.note_stopped(arn, task(arn, status="STOPPED"))
    clock.now += HOUR
    assert not ledger.knows(ARN)

    ledger.add(TokenKey("a", "r", "c", "t"), "f", [task(ARN + "3")])

    assert [path.name for path in (tmp_path / "tasks").iterdir()] == ["13.json"]
    assert ledger.find(KEY) is None


def test_the_latest_request_with_a_token_is_the_one_that_counts(ledger: Ledger, clock: Clock) -> None:
    ledger.add(KEY, "first", [task(ARN)])
    clock.now += 25 * HOUR
    ledger.add(KEY, "second", [task(ARN + "2")])

    run = ledger.find(KEY)

    assert run
    assert run.fingerprint == "second"
    assert ledger.knows(ARN)


def test_a_new_ledger_knows_what_the_last_one_knew_and_that_what_ran_is_lost(
    ledger: Ledger, clock: Clock, tmp_path: Path
) -> None:
    ledger.add(KEY, "f", [task(ARN), task(ARN + "2"), task(ARN + "3")])
    ledger.note_exit(ARN + "2", "main", 0)
    ledger.note_stop(ARN + "3", "UserInitiated", "enough")
    clock.now += 60

    again = Ledger(tmp_path / "tasks", clock)

    codes = [again.task(arn).stop for arn in (ARN, ARN + "2", ARN + "3")]
    assert [stop.code for stop in codes if stop] == ["TerminationNotice", "EssentialContainerExited", "UserInitiated"]
    assert {again.task(arn).stopped_at for arn in (ARN, ARN + "2", ARN + "3")} == {clock.now}


def test_a_damaged_file_costs_its_own_tasks_only(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    ledger.add(KEY, "f", [task()])
    for name, text in {"a.json": "", "b.json": "[]", "c.json": '{"key": {}}', "d.partial": "{"}.items():
        (tmp_path / "tasks" / name).write_text(text)

    assert Ledger(tmp_path / "tasks", clock).knows(ARN)


def test_a_container_may_start_once_its_task_is_on_record(ledger: Ledger) -> None:
    with pytest.raises(OSError, match="not on record"):
        ledger.await_task(ARN, 0.01)
    waiting = threading.Thread(target=ledger.await_task, args=(ARN, 20))
    waiting.start()
    ledger.add(KEY, "f", [task()])
    waiting.join(10)

    assert not waiting.is_alive()


def test_a_task_that_was_stopped_meanwhile_does_not_start(ledger: Ledger) -> None:
    ledger.add(KEY, "f", [task()])
    ledger.note_stop(ARN, "UserInitiated", "enough")

    with pytest.raises(OSError, match="stopped before it started"):
        ledger.await_task(ARN, 1)


def test_the_end_of_an_unknown_task_is_nothing(ledger: Ledger) -> None:
    ledger.note_exit("", "", 0)
    ledger.note_stopped(ARN, task())

    assert not ledger.knows(ARN)


def test_what_could_not_be_written_is_not_remembered(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "tasks").rmdir()

    with pytest.raises(OSError, match="tasks"):
        ledger.add(KEY, "f", [task()])

    assert not ledger.knows(ARN)
    assert ledger.find(KEY) is None


# --- what ECS says


def test_a_running_task_is_what_the_emulator_says_but_for_exit_codes() -> None:
    seen = task(containers=[{"name": "main", "lastStatus": "RUNNING", "exitCode": None}])

    assert describe(TaskRecord(task()), seen) == task()


@pytest.mark.parametrize(("status", "shown"), [("RUNNING", "RUNNING"), ("PENDING", "PENDING"), ("STOPPED", "STOPPING")])
def test_a_task_that_is_to_stop_has_not_stopped_while_its_container_runs(status: str, shown: str) -> None:
    record = TaskRecord(task(), stop=Stop("UserInitiated", "enough", 7.0))
    seen = task(status=status, stoppedAt=7.0, executionStoppedAt=7.0)
    seen["containers"][0]["exitCode"] = 0

    described = describe(record, seen)

    assert (described["lastStatus"], described["desiredStatus"]) == (shown, "STOPPED")
    assert (described["stopCode"], described["stoppedReason"], described["stoppingAt"]) == (
        "UserInitiated", "enough", 7.0,
    )  # fmt: skip
    assert not {"stoppedAt", "executionStoppedAt"} & described.keys()
    assert described["containers"] == [{"name": "main", "lastStatus": "PENDING" if shown == "PENDING" else "RUNNING"}]


@pytest.mark.parametrize("seen", [None, task(status="STOPPED", stopCode="UserInitiated", stoppedReason="?")])
def test_a_stopped_task_is_what_is_on_record_whatever_the_emulator_remembers(seen: dict[str, Any] | None) -> None:
    record = TaskRecord(task(), {"main": 143}, Stop("SpotInterruption", "taken back", 7.0), 8.0)

    described = describe(record, seen)

    assert (described["lastStatus"], described["stopCode"]) == ("STOPPED", "SpotInterruption")
    assert (described["stoppedReason"], described["stoppedAt"]) == ("taken back", 8.0)
    assert described["containers"] == [{"name": "main", "lastStatus": "STOPPED", "exitCode": 143}]
    assert describe_retry(record, seen) == {"taskArn": ARN, "lastStatus": "STOPPED", "desiredStatus": "STOPPED"}
