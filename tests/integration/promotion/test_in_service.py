"""The way from the pointer to the weights: each step is checked, and none is taken for another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mnist_tasks import checkpoints
from mnist_tasks.errors import IntegrityError, NotFoundError, SignatureRefused
from mnist_tasks.promotion import decisions
from mnist_tasks.promotion.in_service import read_in_service
from mnist_tasks.promotion.statement import sign
from mnist_tasks.storage import to_json
from tests.faults import listing, mortal
from tests.signatures import SoftwareSigner


@pytest.fixture
def three(world: Any) -> Any:
    """Three nights: released, released, kept."""
    world.night(1, "fair")
    world.night(2, "good")
    world.night(3, "close")
    return world


def change(world: Any, key: str, **changes: object) -> None:
    """Write other values into a JSON object."""
    world.storage.put(key, to_json(world.storage.get(key).json() | changes))


def test_before_the_first_release_nothing_is_in_service(world: Any) -> None:
    assert read_in_service(world.chain) is None
    assert world.chain.find_newest() is None


def test_the_champion_comes_with_the_decision_and_the_final_that_it_is(three: Any) -> None:
    found = read_in_service(three.chain)

    assert found is not None
    assert found.champion.name == found.final.name == found.decision.final == three.champion()
    assert (found.decision.sequence, found.decision.outcome) == (2, "released")
    assert checkpoints.load_weights(three.storage, three.encryption, found.final)


def test_a_pointer_that_says_something_else_than_its_decision_is_refused(three: Any) -> None:
    change(three, three.layout.champion, accuracy=0.999)

    with pytest.raises(IntegrityError, match=r"champion\.json says that decision 2 .* no signed decision does"):
        read_in_service(three.chain)


def test_a_pointer_to_a_decision_that_is_gone_is_refused(three: Any) -> None:
    three.storage.delete(three.layout.decision(2))

    with pytest.raises(IntegrityError, match=r"00000002\.json is gone"):
        read_in_service(three.chain)


@pytest.mark.parametrize("left", ["an earlier one", "none"])
def test_a_pointer_that_stayed_behind_is_no_error_and_the_decisions_count(three: Any, left: str) -> None:
    """Between a decision and its pointer a process may die; and who puts an old pointer back changes nothing here."""
    if left == "none":
        three.storage.delete(three.layout.champion)
    else:
        three.storage.put(three.layout.champion, to_json(three.chain.read(1).decision.champion.model_dump(mode="json")))

    assert read_in_service(three.chain).decision.sequence == 2


def test_pointer_and_decision_changed_together_are_given_away_by_the_signature(three: Any) -> None:
    decision = three.chain.read(2).decision
    champion = decision.champion.model_copy(update={"accuracy": 0.999})
    three.storage.put(three.layout.champion, to_json(champion.model_dump(mode="json")))
    forged = SoftwareSigner().decision(decision.model_copy(update={"champion": champion}))
    three.storage.put(three.layout.decision(2), forged)

    with pytest.raises(SignatureRefused, match=r"00000002\.json carries no valid signature"):
        read_in_service(three.chain)


def test_a_final_with_other_weights_is_refused(three: Any) -> None:
    key = three.layout.manifest(three.champion())
    weights = three.storage.get(key).json()["weights"] | {"plaintext_sha256": "0" * 64}
    change(three, key, weights=weights)

    with pytest.raises(IntegrityError, match=r"manifest\.json has SHA-256"):
        read_in_service(three.chain)


def test_a_final_that_is_gone_is_named(three: Any) -> None:
    champion = three.champion()
    three.storage.delete(three.layout.manifest(champion))

    with pytest.raises(NotFoundError, match=champion):
        read_in_service(three.chain)


def test_backwards_come_all_records_newest_first_and_a_changed_one_is_noticed(three: Any) -> None:
    layout = three.layout
    newest = three.chain.find_newest()
    assert [link.head.sequence for link in three.chain.backwards(newest)] == [3, 2, 1]

    other = three.chain.read(1).decision.model_copy(update={"reason": "another one"})
    three.storage.put(layout.decision(1), sign(other, signer=three.chain.signer, keys=three.chain.keys))

    with pytest.raises(IntegrityError, match=r"00000001\.json has SHA-256"):
        list(three.chain.backwards(newest))


def test_looking_for_the_newest_record_writes_nothing_even_where_the_hint_is_behind(three: Any) -> None:
    storage, layout = three.storage, three.layout
    storage.delete(layout.decisions_head)
    before = listing(storage)

    found = three.chain.find_newest()

    assert found is not None
    assert found.head.sequence == 3
    assert listing(storage) == before


def test_within_bounds_only_so_many_records_are_looked_at(three: Any) -> None:
    """A run that noted where the chain ended and was killed there never decided."""
    storage, layout = three.storage, three.layout
    storage.put(layout.run("killed", "decision_base.json"), to_json({"sequence": 0, "sha256": None}))

    counting: Any = mortal(storage)
    assert decisions.find_of_run(replace(three.chain, storage=counting), "killed", within=2) is None
    assert len(counting.client.calls) == 3
    assert decisions.find_of_run(three.chain, three.train(3, "close")[0].run, within=1) is not None
