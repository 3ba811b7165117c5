"""Each kind of stored object x each manipulation: the next reader finds it, or nothing comes of it.

What is neither is by design protected by no hash and no signature; docs/security.md has a table of those, with what can
come of it. What ciphertexts are protected by besides has a matrix of its own (`test_encryption.py`).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest

from mnist_tasks import layout
from mnist_tasks.cli.verify import verify
from mnist_tasks.dataset import Dataset
from mnist_tasks.encryption import Encryption
from mnist_tasks.errors import DataError, IntegrityError, NotFoundError, SignatureRefused
from mnist_tasks.layout import Layout
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.statement import believe
from mnist_tasks.storage import Storage, to_json
from tests.deployment import FIRST_FINAL, LAYOUT, SLUGS, decide_nights
from tests.signatures import SoftwareSigner, decision_in, payload
from tests.tampering import KINDS, Kind, MailRecord, World, furnish, read_final_whole, read_resume

ROOT = Path(__file__).resolve().parents[3]
STRANGER = SoftwareSigner()
FOUND = (IntegrityError, NotFoundError, DataError)


@pytest.fixture(scope="module")
def world(
    aws: Callable[[str], Any],
    chain_of: Callable[[Storage], Chain],
    encryption: Encryption,
    mnist: Dataset,
    mnist_file: bytes,
) -> World:
    storage = Storage(aws("s3"), f"test-{uuid.uuid4().hex}")
    storage.client.create_bucket(Bucket=storage.bucket)
    made = World(chain_of(storage), encryption)
    decide_nights(made.chain, encryption, mnist, mnist_file)
    furnish(made)
    return made


Manipulation = Callable[[World, Kind, bytes], bytes | None]


def flip(_: World, __: Kind, body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def older(world: World, kind: Kind, _: bytes) -> bytes:
    assert kind.older
    return kind.older(world)


def change(_: World, kind: Kind, body: bytes) -> bytes:
    content = json.loads(body)
    if kind.change:
        name, value = kind.change
        return to_json(content | {name: value})
    signed = json.loads(payload(body))
    signed["predicate"]["decision"]["reason"] = "because I say so"
    return to_json(content | {"payload": encoded(to_json(signed))})


def encoded(body: bytes) -> str:
    envelope: dict[str, str] = json.loads(STRANGER.seal(body))
    return envelope["payload"]


def unknown_field(_: World, __: Kind, body: bytes) -> bytes:
    return to_json(json.loads(body) | {"nobody knows": "this field"})


def duplicate_key(_: World, __: Kind, body: bytes) -> bytes:
    """The first name once more: the reader who takes the last of two sees no difference."""
    name, value = next(iter(json.loads(body).items()))
    doubled = b"{" + json.dumps(name).encode() + b": " + json.dumps(value).encode() + b"," + body.lstrip()[1:]
    assert json.loads(doubled) == json.loads(body)
    return doubled


def sign_anew(_: World, __: Kind, body: bytes) -> bytes:
    return STRANGER.seal(payload(body))


def unsign(_: World, __: Kind, body: bytes) -> bytes:
    """As records looked before they were signed."""
    return to_json(decision_in(body))


def without_signatures(_: World, __: Kind, body: bytes) -> bytes:
    return to_json(json.loads(body) | {"signatures": []})


OF_ANY: dict[str, Manipulation] = {
    "a flipped bit": flip,
    "cut off": lambda _, __, body: body[: len(body) // 2],
    "emptied": lambda *_: b"",
    "deleted": lambda *_: None,
    "another valid one": lambda world, kind, _: kind.other(world),
}
OF_VERSIONED: dict[str, Manipulation] = {"an older version": older}
OF_JSON: dict[str, Manipulation] = {
    "a changed value": change,
    "an unknown field": unknown_field,
    "a duplicate key": duplicate_key,
    "no JSON": lambda *_: b"no JSON",
}
OF_SIGNED: dict[str, Manipulation] = {
    "signed by another key": sign_anew,
    "unsigned": unsign,
    "signatures left out": without_signatures,
}
MANIPULATIONS = OF_ANY | OF_VERSIONED | OF_JSON | OF_SIGNED


def manipulations_of(kind: Kind) -> dict[str, Manipulation]:
    versioned = OF_VERSIONED if kind.older else {}
    return OF_ANY | versioned | (OF_JSON if kind.is_json else {}) | (OF_SIGNED if kind.signed else {})


CASES = [(name, what) for name, kind in KINDS.items() for what in manipulations_of(kind)]

# The reader's answer is the same.
HARMLESS = {
    # Behind or gone, the newest signed record says who is in service.
    *(("champion.json", what) for what in ("deleted", "an older version")),
    # A hint: what cannot be read, or is behind, costs a longer walk.
    *(("head.json", what) for what in MANIPULATIONS if what not in {"a flipped bit", "a changed value"}),
    # The mail reads nothing of it but which pictures there are, and their hashes.
    *(("report.json", what) for what in ("a changed value", "an unknown field")),
    # That it is there is all that anybody asks.
    *((name, what) for name in get_args(MailRecord) for what in MANIPULATIONS if what != "deleted"),
}
# The reader believes it, and what it answers is another thing: nothing but roles protects these. For each kind that
# docs/security.md lists, the manipulations that are not found.
BELIEVED: dict[str, set[str]] = {
    "accepted.json": {"deleted", "another valid one", "an older version", "a changed value"},
    "candidate's manifest": {"a changed value"},
    "plan.json before the decision": {"deleted", "a changed value"},
    "validation.json before the decision": {"another valid one", "an older version", "a changed value"},
    "decision_base.json": {"deleted", "another valid one"},
    "report.html": {*OF_ANY, *OF_VERSIONED},
    "answer.json": {"deleted", "another valid one", "a changed value"},
    **{name: {"deleted"} for name in get_args(MailRecord)},
    "claim of a name": {"deleted", "another valid one", "a changed value"},
    "resume state": {*OF_ANY, *OF_VERSIONED},
    "progress": {"deleted", "another valid one", "an older version", "a changed value"},
    "attempts": {"deleted", "another valid one", "an older version", "a changed value"},
}
# A bit in the middle of JSON without a hash: it is no JSON any more, or another value, or one that nobody asks for.
EITHER = {
    (kind, "a flipped bit")
    for kind in (*BELIEVED, "head.json", "report.json")
    if kind not in {"report.html", "resume state"}
}


@pytest.mark.parametrize(("name", "what"), CASES)
def test_each_manipulation_is_found_or_harmless_or_written_down(world: World, name: str, what: str) -> None:
    kind = KINDS[name]
    key, before = kind.key(world), kind.read(world)
    original = world.body(key)
    changed = MANIPULATIONS[what](world, kind, original)
    assert changed != original
    if changed is None:
        world.storage.delete(key)
    else:
        world.storage.put(key, changed)
    try:
        check(world, name, what, before)
    finally:
        world.storage.put(key, original)


def check(world: World, name: str, what: str, before: Any) -> None:
    read = KINDS[name].read
    if (name, what) in HARMLESS:
        assert read(world) == before
    elif (name, what) in EITHER:
        with suppress(*FOUND):
            read(world)
    elif what in BELIEVED.get(name, ()):
        assert read(world) != before
    else:
        expected = SignatureRefused if what in OF_SIGNED else FOUND
        with pytest.raises(expected) as found:
            read(world)
        assert found.value.mend


def test_the_matrix_covers_every_kind_of_object_that_the_layout_can_name() -> None:
    """A new rule, or a new object of a run, fails here until it stands in the table."""
    prefixes, names = {"runs", "claims", "attempts", "datasets"}, {"candidate_name"}
    rules = {name for name in vars(Layout) if not name.startswith("_")} - {"checkpoints", "run"} - prefixes - names
    assert {kind.rule for kind in KINDS.values()} == rules | set(get_args(layout.RunObject))


def test_every_object_that_is_left_in_a_bucket_is_of_a_kind_of_the_matrix(world: World) -> None:
    """Whatever writes past the layout shows here."""
    known = {shape(kind.key(world)) for kind in KINDS.values()}
    assert {shape(key) for key in world.storage.keys("")} <= known


def shape(key: str) -> str:
    """What is the same in the keys of all objects of a kind."""
    key = re.sub(r"mnist_model_\d{8}_\d{6}", "NAME", key)
    key = re.sub(r"^runs/(?!names/)[^/]+", "runs/RUN", key)
    key = re.sub(r"plots/[a-z]+", "plots/PLOT", key)
    key = re.sub(r"attempts/[^/]+/\d+", "attempts/JOB/1", key)
    return re.sub(r"[0-9a-f]{64}|(?<=decisions/)\d{8}", "ID", key)


def test_the_document_has_a_row_for_each_object_that_nothing_protects_and_for_no_other() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    table = text.partition("## What neither a hash nor a signature protects\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert rows[0] == "object"
    assert set(rows[1:]) == set(BELIEVED)


def test_a_resume_state_that_was_tampered_with_means_that_training_starts_anew(world: World) -> None:
    """An older one means an earlier epoch of the same job, from which training ends in the same bits."""
    kind = KINDS["resume state"]
    key, original = kind.key(world), world.body(kind.key(world))
    answers = {}
    for what in manipulations_of(kind):
        changed = MANIPULATIONS[what](world, kind, original)
        if changed is None:
            world.storage.delete(key)
        else:
            world.storage.put(key, changed)
        answers[what] = read_resume(world)
    world.storage.put(key, original)
    assert answers == dict.fromkeys(OF_ANY) | {"an older version": 1}


def test_a_final_that_nobody_has_promoted_is_refused_however_well_its_parts_fit(world: World) -> None:
    """Whoever may write objects and use the key of finals, and cannot sign."""
    storage, key = world.storage, LAYOUT.final_decision(FIRST_FINAL)
    original = storage.get(key).body
    forged = believe(original, keys=world.chain.keys, where=key).model_copy(update={"reason": "believe me"})
    storage.put(key, STRANGER.decision(forged))
    try:
        with pytest.raises(SignatureRefused, match="no valid signature"):
            read_final_whole(world)
    finally:
        storage.put(key, original)


@pytest.mark.parametrize("name", ["plan.json", "validation.json"])
def test_a_final_stays_valid_when_its_runs_records_have_expired(world: World, name: Any) -> None:
    key = LAYOUT.run(SLUGS["first"], name)
    original = world.body(key)
    world.storage.delete(key)
    try:
        verified = verify(world.chain, FIRST_FINAL)
        assert verified.status == 0
        assert verified.checks[-1].said.startswith("gone")
    finally:
        world.storage.put(key, original)
