"""Killed before or after any of its calls to S3 and run again, a step ends in the state that it ends in undisturbed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from mnist_tasks.errors import GateFailed
from mnist_tasks.promotion import decisions
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.promotion.release import find_settled
from mnist_tasks.storage import sha256_of
from tests.ciphertexts import all_opened
from tests.faults import Killed, contents, mortal, restore
from tests.signatures import opened

# What is done in a world, so many seconds late.
Step = Callable[[Any, int], Decision | None]

TIMES = re.compile(rb'"(created|released)": "[^"]*"')
HASH = re.compile(rb"\b[0-9a-f]{64}\b")


def timeless(world: Any) -> dict[str, bytes]:
    """What the bucket holds, decrypted, without signatures and times; an object's hash is read as the object's key."""
    stored = contents(world.storage)
    names = {sha256_of(body).encode(): key.encode() for key, body in stored.items()}

    def neutral(body: bytes) -> bytes:
        return HASH.sub(lambda found: names.get(found[0], found[0]), TIMES.sub(b"", body))

    return {key: neutral(body) for key, body in opened(all_opened(world.encryption, stored)).items()}


def first_release(world: Any) -> Step:
    plan, _ = world.train(1, "fair")
    return lambda here, later: here.promote(plan, later=later)


def better_than_the_champion(world: Any) -> Step:
    world.night(1, "fair")
    plan, _ = world.train(2, "good")
    return lambda here, later: here.promote(plan, later=later)


def rejected(world: Any) -> Step:
    world.night(1, "good")
    plan, _ = world.train(2, "bad")

    def step(here: Any, later: int) -> None:
        with pytest.raises(GateFailed):
            here.promote(plan, later=later)

    return step


def rolled_back(world: Any) -> Step:
    first = world.night(1, "fair").final
    world.night(2, "good")
    return lambda here, later: here.rollback(first, later=later)


@pytest.mark.parametrize("scene", [first_release, better_than_the_champion, rejected, rolled_back])
def test_killed_at_any_call_and_run_again_nothing_is_lost_or_doubled(world: Any, scene: Callable[[Any], Step]) -> None:
    step = scene(world)
    before = contents(world.storage)
    watched = mortal(world.storage)
    decision = step(world.at(watched), 0)
    undisturbed = timeless(world)
    records = world.chain.verify()

    # To have died after a call is to die before the next one; only the last one has no next.
    last = len(watched.client.calls)
    for fatal, when in [*((number, "before") for number in range(1, last + 1)), (last, "after")]:
        restore(world.storage, before)
        with pytest.raises(Killed):
            step(world.at(mortal(world.storage, fatal=fatal, when=when)), 0)
        point = f"{when} call {fatal}, {watched.client.calls[fatal - 1]}"
        last = world.chain.find_newest()
        if last and last.head.sequence == records and find_settled(world.chain, last.decision.run):
            assert timeless(world) == undisturbed, point  # and Airflow does not run it again
        again = step(world, 120)
        assert timeless(world) == undisturbed, point
        assert (again and again.summary()) == (decision and decision.summary()), point
        assert world.chain.verify() == records, point


def test_after_a_decision_that_nobody_could_announce_the_next_run_puts_the_pointer_right(world: Any) -> None:
    """Killed after its record was written, and never run again: the next night goes on from there."""
    world.night(1, "fair")
    plan, _ = world.train(2, "good")
    key = world.layout.decision(2)
    calls = _calls_of(world, plan)
    with pytest.raises(Killed):
        world.at(mortal(world.storage, fatal=calls.index(("put_object", key)) + 1, when="after")).promote(plan)
    second = decisions.find_of_run(world.chain, plan.run)
    assert world.champion() != second.final

    third = world.night(3, "close")

    assert (third.sequence, third.champion_before) == (3, second.final)
    assert world.champion() == second.final


def _calls_of(world: Any, plan: Any) -> list[tuple[str, str]]:
    before = contents(world.storage)
    watched = mortal(world.storage)
    world.at(watched).promote(plan)
    restore(world.storage, before)
    return list(watched.client.calls)
