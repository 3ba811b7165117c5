"""The sweep's eyes: what counts as the same, and what as lost or doubled."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mnist_tasks.notify import Mail, build_message
from tests.sweep.faults import SMTP_COMMANDS, Call
from tests.sweep.pipeline import Ending
from tests.sweep.points import Point, points
from tests.sweep.traces import Names, Trace, compare, trace
from tests.sweep.world import Object

FIRST = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
LATER = FIRST + timedelta(minutes=5)
NAMES = Names.of([FIRST, LATER])
CANDIDATE = "checkpoints/mnist_model_20261124_020000"


def stored(body: bytes, content_type: str = "application/json", **tags: str) -> Object:
    return Object(body, hashlib.md5(body).hexdigest(), content_type, tuple(tags.items()))


def mail(text: str = "hello", message_id: str = "<a@b>", date: datetime = FIRST) -> bytes:
    content = Mail("subject", text, f"<p>{text}</p>")
    return build_message(
        content, sender="a@example.com", recipients=["b@example.com"], message_id=message_id, date=date
    ).as_bytes()


def task(code: int | None = 0, status: str = "STOPPED") -> dict[str, Any]:
    return {"lastStatus": status, "containers": [{"exitCode": code}]}


def left(*mails: bytes, tasks: tuple[Any, ...] = (), ending: Ending | None = None, **objects: Object) -> Trace:
    return trace(objects, mails, tasks, ending or Ending("success", "value"), NAMES)


def test_what_is_equal_is_the_same() -> None:
    assert compare(left(mail(), a=stored(b"{}")), left(mail(), a=stored(b"{}"))).word == "same"


@pytest.mark.parametrize(
    "found",
    [
        left(),
        left(a=stored(b"[]")),
        left(a=stored(b"{}", "text/plain")),
        left(a=stored(b"{}", stage="candidate")),
        left(a=stored(b"{}"), ending=Ending("failed", error="TemporaryError: no")),
        left(a=stored(b"{}"), ending=Ending("success", "value", ("an event",))),
    ],
    ids=["missing", "content", "content type", "tags", "failed", "event"],
)
def test_whatever_a_reader_could_notice_is_lost_when_it_differs(found: Trace) -> None:
    assert compare(left(a=stored(b"{}")), found).word == "lost"


def test_an_object_a_mail_or_a_task_more_is_doubled() -> None:
    reference = left(mail(), tasks=(task(),))

    assert compare(reference, left(mail(), tasks=(task(),), a=stored(b""))).word == "doubled"
    assert compare(reference, left(mail(), mail(message_id="<c@d>"), tasks=(task(),))).word == "doubled"
    assert compare(reference, left(mail(), tasks=(task(), task()))).word == "doubled"
    assert compare(reference, left(mail(), tasks=(task(), task(None, "RUNNING")))).word == "doubled"


def test_a_mail_that_never_came_is_lost_and_the_same_one_twice_is_told_apart() -> None:
    assert compare(left(mail()), left()).word == "lost"
    again = left(mail(), mail(date=LATER))
    assert compare(left(mail()), again, may_repeat_a_mail=True).word == "repeated_mail_same_message_id"
    assert compare(left(mail()), again).word == "doubled"
    assert compare(left(mail()), left(mail(), mail(), mail()), may_repeat_a_mail=True).word == "doubled"
    assert compare(left(mail()), left(mail(), mail("other words")), may_repeat_a_mail=True).word == "doubled"


def test_a_container_that_was_struck_may_be_replaced_once_or_have_been_done_already() -> None:
    reference, replaced = left(tasks=(task(),)), left(tasks=(task(137), task()))

    assert compare(reference, replaced, struck_containers=1).word == "same"
    assert compare(reference, left(tasks=(task(137),)), struck_containers=1).word == "same"
    assert compare(reference, replaced).word == "doubled"
    assert compare(reference, left(tasks=(task(), task())), struck_containers=1).word == "doubled"
    assert compare(reference, left(tasks=(task(137), task(137), task())), struck_containers=1).word == "doubled"
    assert compare(reference, left(tasks=(task(137),))).word == "lost"


def test_the_moments_of_the_tries_are_read_as_one_and_no_other_time_is() -> None:
    def at(moment: datetime) -> Trace:
        return left(a=stored(json.dumps({"created": moment.isoformat()}).encode()))

    assert compare(at(FIRST), at(LATER)).word == "same"
    assert compare(at(FIRST), at(LATER + timedelta(seconds=1))).word == "lost"


def test_a_hash_is_read_as_the_object_that_it_is_of() -> None:
    def chain(moment: datetime) -> Trace:
        record = stored(moment.isoformat().encode())
        return left(record=record, head=stored(record.sha256.encode()))

    assert compare(chain(FIRST), chain(LATER)).word == "same"
    wrong = left(record=stored(FIRST.isoformat().encode()), head=stored(b"0" * 64))
    assert compare(chain(FIRST), wrong).word == "lost"


def test_of_a_ciphertext_counts_what_it_holds_and_is_bound_to() -> None:
    def at(body: bytes, opened: str) -> Trace:
        return left(weights=replace(stored(body), opened=opened))

    assert compare(at(b"one ciphertext", "weights"), at(b"another one", "weights")).word == "same"
    assert compare(at(b"one ciphertext", "weights"), at(b"one ciphertext", "other weights")).word == "lost"


def test_measured_values_are_left_out_of_training_records_and_of_nothing_else() -> None:
    def at(key: str, seconds: float) -> Trace:
        return left(**{key: stored(json.dumps({"seconds": seconds, "loss": 0.5}).encode())})

    for key in (f"{CANDIDATE}/metrics.json", "runs/a-run/progress/mnist_model_20261124_020000.json"):
        assert compare(at(key, 1), at(key, 2)).word == "same"
    assert compare(at("checkpoints/champion.json", 1), at("checkpoints/champion.json", 2)).word == "lost"


@pytest.mark.parametrize("about", ["", "runs/*/mail.json"])
def test_a_point_is_known_by_its_name(about: str) -> None:
    (point, *_) = points("email_failure of a rollback", "worker", [Call("s3.PutObject", about, 12)])
    assert Point.named(point.name) == point


def test_a_mail_may_come_again_only_where_nobody_could_hear_or_keep_that_it_was_taken() -> None:
    calls = [
        *(Call(f"smtp.{command}", "", 1) for command in SMTP_COMMANDS),
        *(Call("s3.PutObject", f"runs/*/{name}.json", 1) for name in ("mail", "mail-approval", "report")),
        Call("s3.HeadObject", "runs/*/mail.json", 1),
    ]

    found = points("email_report", "worker", calls)

    assert [(str(point.call), point.kind) for point in found if point.may_repeat_a_mail] == [
        ("smtp.data 1", "killed-after"),
        ("smtp.data 1", "unanswered"),
        ("smtp.quit 1", "killed-before"),
        ("smtp.quit 1", "killed-after"),
        *(
            (f"s3.PutObject runs/*/{name}.json 1", kind)
            for name in ("mail", "mail-approval")
            for kind in ("killed-before", "throttled", "failed")
        ),
    ]


def test_calls_that_repeat_themselves_are_struck_at_three_of_them() -> None:
    calls = [Call("ecs.RunTask", "", 1), *(Call("ecs.DescribeTasks", "", number) for number in range(1, 11))]

    struck = {point.call for point in points("train", "worker", calls)}

    assert struck == {calls[0], calls[1], calls[4], calls[6]}


def signed(payload: bytes, signature: str) -> Object:
    envelope = {"payload": b64encode(payload).decode(), "signatures": [{"keyid": "k", "sig": signature}]}
    return stored(json.dumps(envelope).encode())


def test_of_a_signed_decision_what_is_signed_counts() -> None:
    key, reference = "decisions/00000001.json", signed(b"released", "one")

    assert compare(left(**{key: reference}), left(**{key: signed(b"released", "two")})).word == "same"
    assert compare(left(**{key: reference}), left(**{key: signed(b"rejected", "one")})).word == "lost"
