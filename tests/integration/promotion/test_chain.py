"""The chain of decisions: what changes in it is noticed, and its hint is only a hint."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from examples.contracts.classifier import CONTRACTS
from mnist_tasks.errors import IntegrityError
from mnist_tasks.layout import Layout
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.promotion.statement import sign
from mnist_tasks.storage import Storage, sha256_of, to_json
from tests.signatures import decision_in


@pytest.fixture
def three(world: Any) -> Any:
    """Three nights: released, released, kept."""
    world.night(1, "fair")
    world.night(2, "good")
    world.night(3, "close")
    return world


def record(world: Any, sequence: int) -> Any:
    return decision_in(world.storage.get(world.layout.decision(sequence)).body)


def write(storage: Storage, key: str, value: Any) -> None:
    storage.put(key, to_json(value))


def write_signed(world: Any, sequence: int, value: Any) -> None:
    """As who has the key could."""
    body = sign(Decision.model_validate(value), signer=world.chain.signer, keys=world.chain.keys)
    world.storage.put(world.layout.decision(sequence), body)


def delete(world: Any, key: str) -> None:
    world.storage.client.delete_object(Bucket=world.storage.bucket, Key=key)


def verify(world: Any) -> int:
    count: int = world.chain.verify()
    return count


def hint(world: Any) -> Any:
    return json.loads(world.storage.get(world.layout.decisions_head).body)


def test_an_empty_chain_is_in_order(world: Any) -> None:
    assert verify(world) == 0
    assert world.chain.newest() is None


def test_each_record_carries_the_hash_of_the_one_before(three: Any) -> None:
    assert verify(three) == 3
    bodies = [three.storage.get(three.layout.decision(sequence)).body for sequence in (1, 2, 3)]
    found = [decision_in(body)["previous_sha256"] for body in bodies]
    assert found == [None, sha256_of(bodies[0]), sha256_of(bodies[1])]


def test_the_hint_points_to_the_newest_record(three: Any) -> None:
    assert hint(three) == {"sequence": 3, "sha256": sha256_of(three.storage.get(three.layout.decision(3)).body)}


def test_a_record_of_another_classifier_is_refused_though_the_same_key_has_signed_it(three: Any) -> None:
    """As who may write there could move it: one key signs for all classifiers."""
    layout = Layout(CONTRACTS)
    three.storage.put(layout.decision(1), three.storage.get(three.layout.decision(1)).body)
    with pytest.raises(IntegrityError, match="is no checkpoint of contracts"):
        replace(three.chain, layout=layout).newest()


@pytest.mark.parametrize("sequence", [1, 2, 3])
def test_a_record_that_was_changed_and_signed_anew_is_found(three: Any, sequence: int) -> None:
    changed = record(three, sequence) | {"reason": "because I say so"}
    write_signed(three, sequence, changed)
    with pytest.raises(IntegrityError, match="chain of decisions is damaged"):
        verify(three)


@pytest.mark.parametrize("sequence", [1, 2, 3])
def test_a_record_that_was_removed_is_found(three: Any, sequence: int) -> None:
    delete(three, three.layout.decision(sequence))
    with pytest.raises(IntegrityError, match=f"0000000{sequence}.json is gone"):
        verify(three)


def test_a_record_that_was_put_in_anothers_place_is_found(three: Any) -> None:
    write_signed(three, 2, record(three, 1))
    with pytest.raises(IntegrityError, match="calls itself number 1"):
        verify(three)


def test_a_well_hashed_record_that_invents_a_champion_is_found(three: Any) -> None:
    """Its author could write records, and sign them: neither hashes nor signatures tell."""
    forged = record(three, 3) | {"champion_before": "mnist_model_20200101_000000_final"}
    forged["champion"] = forged["champion"] | {"name": "mnist_model_20200101_000000_final"}
    write_signed(three, 3, forged)
    delete(three, three.layout.decisions_head)
    with pytest.raises(IntegrityError, match="says that the champion before it was mnist_model_20200101_000000_final"):
        verify(three)


def test_a_kept_champion_whose_weights_were_exchanged_in_the_record_is_found(three: Any) -> None:
    forged = record(three, 3)
    forged["champion"]["weights_sha256"] = "0" * 64
    write_signed(three, 3, forged)
    delete(three, three.layout.decisions_head)
    with pytest.raises(IntegrityError, match="tells something else about it"):
        verify(three)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"nonsense", b'{"sequence": -1}', b'{"sequence": 2}'])
def test_a_hint_that_cannot_be_read_is_written_anew(three: Any, body: bytes) -> None:
    right = hint(three)
    three.storage.put(three.layout.decisions_head, body)
    assert three.chain.newest().head.sequence == 3
    assert hint(three) == right


def test_a_hint_that_is_missing_is_written_anew(three: Any) -> None:
    right = hint(three)
    delete(three, three.layout.decisions_head)
    assert three.night(4, "fair").sequence == 4
    assert hint(three)["sequence"] == 4
    assert verify(three) == 4
    assert right["sequence"] == 3


def test_a_hint_that_stayed_behind_is_moved_on(three: Any) -> None:
    right = hint(three)
    first = {"sequence": 1, "sha256": sha256_of(three.storage.get(three.layout.decision(1)).body)}
    write(three.storage, three.layout.decisions_head, first)
    assert three.chain.newest().head.sequence == 3
    assert hint(three) == right


def test_a_hint_at_a_record_that_is_not_there_says_that_it_is_gone(three: Any) -> None:
    write(three.storage, three.layout.decisions_head, {"sequence": 7, "sha256": "a" * 64})
    with pytest.raises(IntegrityError, match=r"00000007\.json is gone"):
        three.chain.newest()
    with pytest.raises(IntegrityError, match=r"00000007\.json is gone"):
        verify(three)


def test_a_hint_with_another_hash_than_its_record_is_refused(three: Any) -> None:
    write(three.storage, three.layout.decisions_head, {"sequence": 3, "sha256": "a" * 64})
    with pytest.raises(IntegrityError, match="expected aaaa"):
        three.chain.newest()


def test_nothing_is_decided_on_top_of_a_damaged_chain(three: Any) -> None:
    write_signed(three, 3, record(three, 3) | {"reason": "because I say so"})
    plan, _ = three.train(4, "good")
    with pytest.raises(IntegrityError, match="chain of decisions is damaged"):
        three.promote(plan)
    assert not three.storage.exists(three.layout.decision(4))


@pytest.mark.parametrize("body", [b"nonsense", b"[]", b'{"sequence": "x"}'])
def test_a_note_of_the_chains_end_that_was_changed_is_refused(three: Any, body: bytes) -> None:
    plan, _ = three.train(4, "good")
    three.storage.put(three.layout.run(plan.run, "decision_base.json"), body)
    with pytest.raises(IntegrityError, match=r"decision_base\.json"):
        three.promote(plan)
