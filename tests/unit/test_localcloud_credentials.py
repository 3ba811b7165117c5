"""Keys that the one-machine cloud hands out: one set for each task, for as long as it counts."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from localcloud.front import credentials
from localcloud.front.credentials import Credentials, environment

SECRET = b"a secret"


class Sts:
    """Makes keys that count for `life`."""

    def __init__(self) -> None:
        self.life = timedelta(hours=1)
        self._numbers = itertools.count()

    def assume_role(self, **_: str) -> dict[str, Any]:
        number = next(self._numbers)
        keys = {name: f"{name} {number}" for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}
        return {"Credentials": {**keys, "Expiration": datetime.now(UTC) + self.life}}


@pytest.fixture
def sts() -> Sts:
    return Sts()


@pytest.fixture
def handed_out(sts: Sts) -> Credentials:
    return Credentials(lambda _service: sts, "000000000000", SECRET)


def ask(handed_out: Credentials, task: str) -> str:
    variables = environment(SECRET, "http://cloud", "arn:aws:iam::000000000000:role/trainer", task)
    path = variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"].removeprefix("http://cloud")
    head: Any = SimpleNamespace(path=path, headers={"authorization": variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"]})
    return str(handed_out.answer(head).value["AccessKeyId"])


def test_a_task_gets_the_same_keys_until_they_are_about_to_end(handed_out: Credentials, sts: Sts) -> None:
    sts.life = credentials._MARGIN - timedelta(minutes=1)
    first = ask(handed_out, "a")
    sts.life = timedelta(hours=1)
    second = ask(handed_out, "a")

    assert first != second == ask(handed_out, "a")
    assert handed_out.role_of(first) == handed_out.role_of(second) == "trainer"


def test_keys_that_have_ended_are_forgotten(handed_out: Credentials, sts: Sts) -> None:
    sts.life = timedelta(seconds=-1)
    ended = [ask(handed_out, f"task {number}") for number in range(3)]
    sts.life = timedelta(hours=1)
    ask(handed_out, "another")

    assert [handed_out.role_of(key) for key in ended] == [""] * 3
    assert len(handed_out._kept) == 1
