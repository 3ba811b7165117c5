"""What a promotion rests on besides the weights: the run's plan, and the report on its data set."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mnist_tasks.errors import IntegrityError, MnistError, NotFoundError
from mnist_tasks.promotion.inputs import check_inputs
from mnist_tasks.storage import sha256_of, to_json


def key_of(world: Any, plan: Any, name: str) -> str:
    return str(world.layout.run(plan.run, name))


def change(world: Any, key: str, **changes: Any) -> None:
    content = json.loads(world.storage.get(key).body)
    world.storage.put(key, to_json(content | changes))


@pytest.mark.parametrize("outcome", ["released", "rejected"])
def test_a_decision_names_the_plan_and_the_report_that_it_rests_on(world: Any, outcome: str) -> None:
    plan, _ = world.train(1, "fair" if outcome == "released" else "bad")
    try:
        world.promote(plan)
    except MnistError:
        assert outcome == "rejected"
    decision = world.chain.read(1).decision

    assert decision.outcome == outcome
    assert decision.plan_sha256 == sha256_of(world.storage.get(key_of(world, plan, "plan.json")).body)
    assert decision.validation_sha256 == sha256_of(world.storage.get(key_of(world, plan, "validation.json")).body)
    check_inputs(world.chain, decision)


@pytest.mark.parametrize("name", ["plan.json", "validation.json"])
def test_what_was_changed_after_the_decision_is_found(world: Any, name: str) -> None:
    plan, _ = world.train(1, "fair")
    decision = world.promote(plan)
    change(world, key_of(world, plan, name), created="2026-01-01T00:00:00Z")

    with pytest.raises(IntegrityError, match=name):
        check_inputs(world.chain, decision)


def test_a_run_whose_data_set_nobody_has_validated_is_not_promoted(world: Any) -> None:
    plan, _ = world.train(1, "fair")
    world.storage.delete(key_of(world, plan, "validation.json"))

    with pytest.raises(NotFoundError, match="has no validation report") as refused:
        world.promote(plan)
    assert "clear the step `validate`" in refused.value.mend
    assert world.chain.find_newest() is None


@pytest.mark.parametrize("changes", [{"passed": False}, {"dataset_sha256": "0" * 64}])
def test_a_run_whose_data_set_did_not_pass_is_not_promoted(world: Any, changes: Any) -> None:
    plan, _ = world.train(1, "fair")
    change(world, key_of(world, plan, "validation.json"), **changes)

    with pytest.raises(IntegrityError, match="which the run was trained on"):
        world.promote(plan)
    assert world.chain.find_newest() is None


def test_a_rollback_rests_on_neither(world: Any) -> None:
    first = world.night(1, "fair")
    world.night(2, "good")
    decision = world.rollback(first.final)

    assert (decision.plan_sha256, decision.validation_sha256) == (None, None)
    check_inputs(world.chain, decision)
