"""Whatever bytes, JSON, variables or parameters come: each reader makes a valid value of them or refuses them.

Refused means our own error, in words that can be printed, logged and mailed: short, on their own lines, without
anything that a terminal acts upon. What hypothesis has found stands below as cases with names.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_tasks import checkpoints
from mnist_tasks.attempts import Attempt
from mnist_tasks.config import Frozen, PromotionJob, RollbackConfig, RunConfig, Settings, TrainingJob
from mnist_tasks.errors import ConfigurationError, IntegrityError, MnistError
from mnist_tasks.history import History
from mnist_tasks.plan import find_plan
from mnist_tasks.progress import Progress
from mnist_tasks.promotion.chain import Head
from mnist_tasks.promotion.records import Decision
from mnist_tasks.promotion.release import read_champion
from mnist_tasks.promotion.statement import believe
from mnist_tasks.promotion.surroundings import admitted
from mnist_tasks.runs import Claim
from mnist_tasks.storage import Storage, Stored, parse, to_json
from mnist_tasks.strictjson import from_json
from mnist_tasks.validation import Accepted, ValidationReport
from tests.decided_run import LAYOUT, NOW, RELEASED
from tests.signatures import SoftwareSigner, payload

EXAMPLES = settings(max_examples=60)
SIGNER = SoftwareSigner()
ENVELOPE = SIGNER.decision(RELEASED.decision)
JOB = RELEASED.plan.jobs[0]
HISTORY = RELEASED.histories[JOB.candidate]
CHAMPION = RELEASED.decision.champion
assert CHAMPION
assert RELEASED.final
_METRICS = RELEASED.final.metrics.model_copy(update={"key": LAYOUT.metrics(RELEASED.final.name)})
FINAL = RELEASED.final.model_copy(update={"metrics": _METRICS})
ATTEMPT = Attempt(
    job="promote", generation=1, capacity="FARGATE", vcpus=1, memory_gb=2, started=NOW, stopped=NOW, exit_code=0
)

Read = Callable[[bytes], Any]


@dataclass(frozen=True)
class Holding(Storage):
    """A bucket in which every key has the same content."""

    client: Any = None
    bucket: str = "a-bucket"
    body: bytes = b""

    def get(self, key: str) -> Stored:
        return Stored(key, self.body, etag="")


def stored(kind: type[Frozen]) -> Read:
    return lambda body: parse(kind, Holding(body=body), Stored("a/key", body, etag=""))


def manifest_of(name: str) -> Read:
    return lambda body: checkpoints.find(Holding(body=body), LAYOUT, name)


def signed(body: bytes) -> Decision:
    """Whoever holds the key, by theft or by mistake."""
    return believe(SIGNER.seal(body), keys=SIGNER.keys, where="s3://a-bucket/decisions/1")


def written(value: Frozen) -> bytes:
    return to_json(value.model_dump(mode="json"))


# Of each object that a stranger may have written: who reads it, and a valid one.
OBJECTS: dict[str, tuple[Read, bytes]] = {
    "manifest": (manifest_of(JOB.candidate), written(RELEASED.manifests[0])),
    "final's manifest": (manifest_of(FINAL.name), written(FINAL)),
    "metrics": (stored(History), written(HISTORY)),
    "plan": (lambda body: find_plan(Holding(body=body), LAYOUT, RELEASED.plan.run), written(RELEASED.plan)),
    "validation report": (stored(ValidationReport), written(RELEASED.validation)),
    "accepted data set": (
        stored(Accepted),
        written(Accepted(dataset_sha256="d" * 64, run="a-run", statistics=RELEASED.validation.statistics)),
    ),
    "champion": (lambda body: read_champion(Holding(body=body), LAYOUT), written(CHAMPION)),
    "hint at the newest decision": (stored(Head), written(Head(sequence=1, sha256="a" * 64))),
    "claim": (stored(Claim), written(Claim(run="a-run"))),
    "progress": (stored(Progress), written(Progress(job=JOB, updated=NOW, history=HISTORY))),
    "attempt": (stored(Attempt), written(ATTEMPT)),
    "envelope": (lambda body: believe(body, keys=SIGNER.keys, where="s3://a-bucket/decisions/1"), ENVELOPE),
    "signed statement": (signed, payload(ENVELOPE)),
}

NASTY: list[Any] = [
    *(None, True, False, 0, -1, 2**31, 2**63, 10**400, -(10**400), 1e308, 5e-324, -0.0, float("nan"), float("inf")),
    *("", "\ud800", "\0", "a\r\nBcc: b@example.com", "\u202edrowssap", "\u2028", "\x1b[2J", "x" * 100_000),
    *("../..", "{{ 7*7 }}", "<b>", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"),
    *([], {}, [[]], {"": 1}, {"a\nb\u202e": 1}, ["x"] * 1000, {"\ud800": 1}),
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(NASTY)
)
NAMES = st.text(st.characters(), max_size=9)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
EDITS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 9), st.binary(max_size=9)), min_size=1, max_size=4
)


def judge(read: Callable[[], Any]) -> None:
    """It is a value that can be written again, or our own error in words that can be passed on."""
    begun = time.process_time()  # what a busy machine does meanwhile does not count
    try:
        value = read()
    except MnistError as error:
        check_words(error)
    else:
        if isinstance(value, Frozen):
            to_json(value.model_dump(mode="json"))
    assert time.process_time() - begun < 5


def check_words(error: MnistError) -> None:
    text = str(error)
    assert error.problem
    assert text.encode()
    assert len(text) < 12_000
    assert all(line.isprintable() for line in text.split("\n"))
    assert text.count("\n") <= 1


def edited(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for where, removed, added in edits:
        at = int(where * len(data))
        data = data[:at] + added + data[at + removed :]
    return data


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each part of a JSON value; of a list, to its first part only."""
    found = [path]
    if isinstance(value, dict):
        for name in value:
            found += places(value[name], (*path, name))
    elif isinstance(value, list) and value:
        found += places(value[0], (*path, 0))
    return found


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("kind", OBJECTS)
def test_a_valid_one_is_read(kind: str) -> None:
    read, body = OBJECTS[kind]
    assert read(body) is not None


@pytest.mark.parametrize("kind", OBJECTS)
@EXAMPLES
@given(body=st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_and_any_json_are_refused_or_read(kind: str, body: bytes) -> None:
    judge(lambda: OBJECTS[kind][0](body))


@pytest.mark.parametrize("kind", OBJECTS)
@EXAMPLES
@given(edits=EDITS)
def test_an_edited_object_is_refused_or_read(kind: str, edits: list[tuple[float, int, bytes]]) -> None:
    read, body = OBJECTS[kind]
    judge(lambda: read(edited(body, edits)))


@pytest.mark.parametrize("kind", OBJECTS)
@settings(EXAMPLES, max_examples=150)
@given(data=st.data())
def test_an_object_with_any_value_in_any_place_is_refused_or_read(kind: str, data: st.DataObject) -> None:
    read, body = OBJECTS[kind]
    content = json.loads(body)
    path = data.draw(st.sampled_from(places(content)))
    new = data.draw(VALUES)
    judge(lambda: read(json.dumps(changed(content, path, new)).encode()))


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_object_with_a_nasty_value_in_any_place_is_refused_or_read(kind: str) -> None:
    read, body = OBJECTS[kind]
    content = json.loads(body)
    tried = [json.dumps(changed(content, path, new)).encode() for path in places(content) for new in NASTY]
    assert len(tried) >= 2 * len(NASTY)
    for one in tried:
        judge(partial(read, one))


@pytest.mark.parametrize("model", [RunConfig, RollbackConfig])
@settings(EXAMPLES, max_examples=200)
@given(data=st.data())
def test_any_parameters_and_any_conf_are_refused_or_read(model: Any, data: st.DataObject) -> None:
    names = st.sampled_from([*model.model_fields, "dataset_url", "mail_to"]) | st.text(st.characters(), max_size=9)
    chosen = st.dictionaries(names, VALUES, max_size=4)
    params, conf = data.draw(chosen), data.draw(st.none() | chosen)
    judge(lambda: model.from_params(params, conf))


TEXT = st.text(st.characters(exclude_characters="\0"), max_size=30)
JOB_NAMES = ("MNIST_BUCKET", "MNIST_CHECKPOINTS_PREFIX", "MNIST_RUN", "MNIST_TO", "MNIST_REASON", "MNIST_EPOCHS")


@settings(EXAMPLES, max_examples=200)
@given(
    arguments=st.lists(st.sampled_from(["promote", "rollback"]) | TEXT, max_size=2),
    environment=st.dictionaries(st.sampled_from([*JOB_NAMES, "AWS_ENDPOINT_URL", "AWS_X", "PATH"]) | TEXT, TEXT),
)
def test_any_arguments_and_any_environment_are_refused_or_make_a_job(
    arguments: list[str], environment: dict[str, str]
) -> None:
    judge(lambda: admitted(environment))
    judge(lambda: PromotionJob.from_container(arguments, environment))
    judge(lambda: TrainingJob.from_environment(environment))
    judge(lambda: Settings.from_environment(environment))


@settings(EXAMPLES, max_examples=200)
@given(data=st.data())
def test_any_xcom_is_refused_or_makes_a_job(data: st.DataObject) -> None:
    job = json.loads(written(JOB))
    path = data.draw(st.sampled_from(places(job)[1:]))
    judge(lambda: TrainingJob.checked(changed(job, path, data.draw(VALUES)), mend="clear the step"))


DEEP = b'{"a":' * 500 + b"1" + b"}" * 500
# What hypothesis has found, or a person has thought of: none of it is JSON that two readers understand alike.
AMBIGUOUS: dict[str, bytes] = {
    "a name that occurs twice": b'{"run": "a-run", "run": "another-run"}',
    "a name that occurs twice, once with an escape": b'{"run": "a-run", "r\\u0075n": "another-run"}',
    "a name that occurs twice deep inside": b'[{"a": {"b": 1, "b": 2}}]',
    "NaN": b'{"run": NaN}',
    "infinity": b"[-Infinity]",
    "a float that is infinite": b"[1e999]",
    "an integer of 5,000 digits": b"9" * 5000,
    "half a character": b'{"run": "\\ud800"}',
    "half a character in a name": b'{"\\udfff": 1}',
    "nested 500 deep": DEEP,
    "nested 100,000 deep": b"[" * 100_000,
    "nested 33 deep": b"[" * 33 + b"]" * 33,
    "UTF-16": '{"run": "a-run"}'.encode("utf-16"),
    "Latin-1": '{"run": "\xe9"}'.encode("latin-1"),
    "a byte order mark": b'\xef\xbb\xbf{"run": "a-run"}',
    "two values": b'{"run": "a-run"}{"run": "a-run"}',
    "nothing": b"",
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_json_that_could_be_understood_in_more_than_one_way_is_refused(case: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - there are as many messages as cases
        from_json(AMBIGUOUS[case])
    with pytest.raises(IntegrityError) as refused:
        stored(Claim)(AMBIGUOUS[case])
    check_words(refused.value)


def test_what_is_nested_as_deep_as_allowed_is_read() -> None:
    assert from_json(b"[" * 32 + b"]" * 32)
    assert from_json(b'{"name": "\\ud83d\\ude00"}') == {"name": "\U0001f600"}


def test_a_refusal_stays_short_however_much_is_wrong() -> None:
    body = json.dumps({f"field {number}" * 100: "x" * 10_000 for number in range(3000)}).encode()
    with pytest.raises(IntegrityError, match="and 2,985 more") as refused:
        stored(Claim)(body)
    check_words(refused.value)


def test_a_value_nested_to_the_limit_of_the_interpreter_is_refused_in_words() -> None:
    """A run's conf is parsed by Airflow, whose reader knows no such limit."""
    deep: Any = []
    for _ in range(sys.getrecursionlimit() - 50):
        deep = [deep]
    with pytest.raises(ConfigurationError) as refused:
        RunConfig.from_params({"epochs": deep})
    check_words(refused.value)


class Flooding:
    """An S3 that would send a terabyte to whoever begins to read."""

    def get_object(self, **_: str) -> dict[str, Any]:
        return {"ContentLength": 2**40, "ETag": "x", "Body": None}


def test_an_object_larger_than_any_of_ours_is_refused_before_it_is_read() -> None:
    with pytest.raises(IntegrityError, match="1,099,511,627,776 bytes"):
        Storage(Flooding(), "a-bucket").get("checkpoints/champion.json")  # type: ignore[arg-type]
