"""Each object that a decision rests on x each manipulation: the next reader finds it, or nothing comes of it.

What encryption protects (keys, contexts, resume states) has a matrix of its own; here is what hashes and signatures
protect. `harmless` means that the reader's answer is the same, by design: `head.json` is a hint,
and `champion.json` behind or gone leaves the newest signed record in charge.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from mnist_tasks import checkpoints
from mnist_tasks.cli.verify import verify
from mnist_tasks.dataset import load
from mnist_tasks.definitions.mnist import REBUILT_FILE
from mnist_tasks.errors import DataError, IntegrityError, NotFoundError, SignatureRefused
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.in_service import read_in_service
from mnist_tasks.promotion.statement import believe
from mnist_tasks.storage import Storage, to_json
from tests.deployment import FIRST_FINAL, LAYOUT, SLUGS, Deployment
from tests.signatures import SoftwareSigner, decision_in, payload

STRANGER = SoftwareSigner()
FOUND = (IntegrityError, NotFoundError, DataError)


def other_final(chain: Chain) -> str:
    """The second one, which is as valid."""
    return str(chain.read(4).decision.final)


def read_final_whole(chain: Chain) -> Any:
    verified = verify(chain, FIRST_FINAL)
    if error := verified.checks[-1].error:
        raise error
    return verified


def read_data_set(chain: Chain) -> Any:
    return load(chain.storage, LAYOUT, REBUILT_FILE.sha256).x_test.sum()


def read_rejected_candidate(chain: Chain) -> Any:
    """What the signed rejection is about."""
    decision = chain.read(3).decision
    manifest = checkpoints.read_known(chain.storage, LAYOUT, decision.candidate or "", decision.manifest_sha256)
    return checkpoints.load_history(chain.storage, manifest)


def read_service(chain: Chain) -> Any:
    service = read_in_service(chain)
    return service and service.champion


Keys = Callable[[Chain], tuple[str, str]]
# For each kind: its key and that of another valid one of its kind, and who reads it next.
KINDS: dict[str, tuple[Keys, Callable[[Chain], Any]]] = {
    "final weights": (lambda c: (LAYOUT.weights(FIRST_FINAL), LAYOUT.weights(other_final(c))), read_final_whole),
    "final metrics": (lambda c: (LAYOUT.metrics(FIRST_FINAL), LAYOUT.metrics(other_final(c))), read_final_whole),
    "final manifest": (lambda c: (LAYOUT.manifest(FIRST_FINAL), LAYOUT.manifest(other_final(c))), read_final_whole),
    "final decision": (
        lambda c: (LAYOUT.final_decision(FIRST_FINAL), LAYOUT.final_decision(other_final(c))),
        read_final_whole,
    ),
    "rejected candidate's manifest": (
        lambda c: (LAYOUT.manifest(c.read(3).decision.candidate or ""), LAYOUT.manifest(FIRST_FINAL)),
        read_rejected_candidate,
    ),
    "rejected candidate's metrics": (
        lambda c: (LAYOUT.metrics(c.read(3).decision.candidate or ""), LAYOUT.metrics(other_final(c))),
        read_rejected_candidate,
    ),
    "first record": (lambda c: (LAYOUT.decision(1), LAYOUT.decision(2)), Chain.verify),
    "record in the middle": (lambda c: (LAYOUT.decision(3), LAYOUT.decision(2)), Chain.verify),
    "newest record": (lambda c: (LAYOUT.decision(5), LAYOUT.decision(4)), Chain.verify),
    "champion's record": (lambda c: (LAYOUT.decision(5), LAYOUT.decision(1)), read_service),
    "champion.json": (lambda c: (LAYOUT.champion, LAYOUT.run(SLUGS["kept"], "plan.json")), read_service),
    "head.json": (lambda c: (LAYOUT.decisions_head, LAYOUT.champion), read_service),
    "data set": (lambda c: (LAYOUT.dataset(REBUILT_FILE.sha256), LAYOUT.champion), read_data_set),
}


def flip(body: bytes, _: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def sign_anew(body: bytes, _: bytes) -> bytes:
    return STRANGER.seal(payload(body))


def unsign(body: bytes, _: bytes) -> bytes:
    """As records looked before they were signed."""
    return to_json(decision_in(body))


def without_signatures(body: bytes, _: bytes) -> bytes:
    return to_json(json.loads(body) | {"signatures": []})


Manipulation = Callable[[bytes, bytes], bytes | None]
ANY: dict[str, Manipulation] = {
    "a flipped bit": flip,
    "cut off": lambda body, _: body[: len(body) // 2],
    "empty": lambda *_: b"",
    "another valid one": lambda _, other: other,
    "deleted": lambda *_: None,
}
OF_SIGNED: dict[str, Manipulation] = {
    "signed by another key": sign_anew,
    "unsigned": unsign,
    "signatures left out": without_signatures,
}
SIGNED = {"final decision", "first record", "record in the middle", "newest record", "champion's record"}
HARMLESS = {
    ("champion.json", "deleted"),
    *(("head.json", what) for what in ANY if what != "a flipped bit"),
}
# What is left of it is a hint that cannot be read, or one at another record than the one in its place.
EITHER = {("head.json", "a flipped bit")}
CASES = [
    *((kind, what) for kind in KINDS for what in ANY),
    *((kind, what) for kind in sorted(SIGNED) for what in OF_SIGNED),
]


@pytest.fixture
def chain(nights: Deployment, chain_of: Callable[[Storage], Chain]) -> Chain:
    return chain_of(nights.storage)


@pytest.mark.parametrize(("kind", "what"), CASES)
def test_the_next_reader_finds_it_or_nothing_comes_of_it(chain: Chain, kind: str, what: str) -> None:
    keys, read = KINDS[kind]
    key, other = keys(chain)
    storage, before = chain.storage, read(chain)
    original = storage.get(key).body
    changed = {**ANY, **OF_SIGNED}[what](original, storage.get(other).body)
    if changed is None:
        storage.delete(key)
    else:
        storage.put(key, changed)
    try:
        if (kind, what) in HARMLESS:
            assert read(chain) == before
        elif (kind, what) in EITHER:
            with suppress(IntegrityError):
                assert read(chain) == before
        else:
            expected = SignatureRefused if what in OF_SIGNED else FOUND
            with pytest.raises(expected) as found:
                read(chain)
            assert found.value.mend
    finally:
        storage.put(key, original)


@pytest.mark.parametrize("kind", ["champion.json", "head.json"])
def test_an_older_version_put_back_changes_nothing(chain: Chain, kind: str) -> None:
    """Both are written over again and again; everything else has one version."""
    key, older = {
        "champion.json": (LAYOUT.champion, to_json(chain.read(1).decision.champion.model_dump(mode="json"))),  # type: ignore[union-attr]
        "head.json": (
            LAYOUT.decisions_head,
            to_json(chain.read_link(chain.read(1).head).head.model_dump(mode="json")),  # type: ignore[union-attr]
        ),
    }[kind]
    before, original = read_service(chain), chain.storage.get(key).body
    chain.storage.put(key, older)
    try:
        assert read_service(chain) == before
    finally:
        chain.storage.put(key, original)


def test_a_pointer_to_a_champion_that_never_was_is_found(chain: Chain) -> None:
    original = chain.storage.get(LAYOUT.champion).body
    chain.storage.put(LAYOUT.champion, to_json(json.loads(original) | {"accuracy": 0.9999}))
    try:
        with pytest.raises(IntegrityError, match="no signed decision does"):
            read_in_service(chain)
    finally:
        chain.storage.put(LAYOUT.champion, original)


def test_a_final_that_nobody_has_promoted_is_refused_however_well_its_parts_fit(chain: Chain) -> None:
    """Whoever may write objects and use the key of finals, and cannot sign."""
    storage, key = chain.storage, LAYOUT.final_decision(FIRST_FINAL)
    original = storage.get(key).body
    forged = believe(original, keys=chain.keys, where=key).model_copy(update={"reason": "believe me"})
    storage.put(key, STRANGER.decision(forged))
    try:
        with pytest.raises(SignatureRefused, match="no valid signature"):
            read_final_whole(chain)
    finally:
        storage.put(key, original)
