"""The champion pointer, and the way back to an earlier final."""

from __future__ import annotations

from typing import Any

import pytest

from mnist_tasks.errors import ConfigurationError, IntegrityError, NotFoundError
from mnist_tasks.promotion import release
from mnist_tasks.storage import to_json
from tests.candidates import random_weights, to_h5
from tests.faults import contents
from tests.signatures import decision_in

REASON = "the new one reads sevens as ones"


@pytest.fixture
def two(world: Any) -> Any:
    """Two nights, both released."""
    world.night(1, "fair")
    world.night(2, "good")
    return world


def final(world: Any, sequence: int) -> str:
    return str(world.chain.read(sequence).decision.final)


def test_a_rollback_puts_the_earlier_final_into_service(two: Any) -> None:
    decision = two.rollback(final(two, 1), reason=REASON)
    assert (decision.kind, decision.outcome, decision.sequence) == ("rollback", "rolled_back", 3)
    assert (decision.champion_before, decision.champion_after) == (final(two, 2), final(two, 1))
    assert two.champion() == final(two, 1)
    found = release.read_champion(two.storage, two.layout)
    assert (found.reason, found.run, found.decision) == (REASON, "rollback-1", 3)
    assert two.chain.verify() == 3


def test_only_the_decision_that_moved_the_champion_last_is_in_service(two: Any) -> None:
    """What a run that is cleared long afterwards may still tell others, and what not."""

    def in_service() -> list[bool]:
        runs = [two.chain.read(number).decision.run for number in range(1, two.chain.verify() + 1)]
        return [release.find_settled(two.chain, run).in_service for run in runs]

    assert in_service() == [False, True]
    two.night(3, "close")  # kept
    assert in_service() == [False, True, False]
    two.rollback(final(two, 1))
    assert in_service() == [False, False, False, True]


def test_a_champion_that_was_replaced_is_not_in_service_though_the_pointer_does_not_say_so_yet(two: Any) -> None:
    second = two.chain.read(2).decision.run
    pointer = two.storage.get(two.layout.champion).body
    two.rollback(final(two, 1))

    two.storage.put(two.layout.champion, pointer)  # as a promoter leaves it that died right after its decision

    assert not release.find_settled(two.chain, second).in_service


def test_a_rollback_measures_the_final_again(two: Any) -> None:
    first = decision_in(two.storage.get(two.layout.decision(1)).body)
    decision = two.rollback(final(two, 1))
    assert decision.evaluation.accuracy == first["evaluation"]["accuracy"]
    assert decision.dataset_sha256 == first["dataset_sha256"]


def test_the_next_night_is_compared_with_the_final_that_is_back(two: Any) -> None:
    two.rollback(final(two, 1))
    decision = two.night(3, "close")
    assert (decision.outcome, decision.champion_before) == ("released", final(two, 1))


def test_a_rollback_and_back_again_are_two_decisions(two: Any) -> None:
    two.rollback(final(two, 1))
    two.rollback(final(two, 2), slug="rollback-2")
    assert two.champion() == final(two, 2)
    assert two.chain.verify() == 4


def test_a_second_try_of_a_rollback_changes_nothing(two: Any) -> None:
    first = two.rollback(final(two, 1))
    before = contents(two.storage)
    assert two.rollback(final(two, 1), later=600) == first
    assert contents(two.storage) == before


def test_a_model_that_was_kept_back_can_be_put_into_service(world: Any) -> None:
    world.night(1, "good")
    kept = world.night(2, "close")
    world.rollback(kept.final)
    assert world.champion() == kept.final


def test_the_final_in_service_is_no_place_to_go_back_to(two: Any) -> None:
    before = two.chain.verify()
    with pytest.raises(ConfigurationError, match="is in service already, since decision 2"):
        two.rollback(final(two, 2))
    assert two.chain.verify() == before
    assert two.champion() == final(two, 2)


def test_a_final_that_does_not_exist_is_named(two: Any) -> None:
    with pytest.raises(NotFoundError, match="mnist_model_20200101_000000_final has no manifest"):
        two.rollback("mnist_model_20200101_000000_final")
    assert two.champion() == final(two, 2)


@pytest.mark.parametrize("name", ["", "champion", "mnist_model_20261125_020005", "../x_final"])
def test_only_a_final_can_be_put_into_service(two: Any, name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the name of a final"):
        two.rollback(name)


def test_a_final_that_has_changed_is_not_put_into_service(two: Any) -> None:
    two.storage.put(two.layout.weights(final(two, 1)), to_h5(random_weights(1)))
    with pytest.raises(IntegrityError):
        two.rollback(final(two, 1))
    assert two.champion() == final(two, 2)


def test_a_rollback_works_when_the_champions_own_final_is_damaged(two: Any) -> None:
    """That may be the very reason."""
    two.storage.put(two.layout.weights(final(two, 2)), b"damaged")
    two.rollback(final(two, 1))
    assert two.champion() == final(two, 1)


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"{}", b'{"name": "mnist_model_20200101_000000"}'])
def test_a_champion_pointer_that_is_none_is_refused_by_readers(two: Any, body: bytes) -> None:
    two.storage.put(two.layout.champion, body)
    with pytest.raises(IntegrityError, match=r"champion\.json"):
        release.read_champion(two.storage, two.layout)


@pytest.mark.parametrize("body", [b"nonsense", None, "an earlier one", "one from the future"])
def test_the_chain_puts_the_pointer_right_whatever_it_holds(two: Any, body: Any) -> None:
    right = two.storage.get(two.layout.champion).body
    earlier = decision_in(two.storage.get(two.layout.decision(1)).body)["champion"]
    match body:
        case None:
            two.storage.client.delete_object(Bucket=two.storage.bucket, Key=two.layout.champion)
        case "an earlier one":
            two.storage.put(two.layout.champion, to_json(earlier))
        case "one from the future":
            two.storage.put(two.layout.champion, to_json(earlier | {"decision": 99}))
        case _:
            two.storage.put(two.layout.champion, body)

    release.update_champion(two.chain)

    assert two.storage.get(two.layout.champion).body == right


def test_with_nothing_released_there_is_no_pointer(world: Any) -> None:
    release.update_champion(world.chain)
    assert release.read_champion(world.storage, world.layout) is None
