"""Runs are found newest first, at a cost that does not grow with their number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import IntegrityError, NotFoundError
from mnist_tasks.layout import Layout, candidate_name
from mnist_tasks.plan import Plan
from mnist_tasks.runs import newest_plans
from mnist_tasks.storage import Storage, to_json
from tests.candidates import plan_run
from tests.faults import mortal

LAYOUT = Layout(MNIST)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def plan(storage: Storage, run_id: str, ago: timedelta, candidates: int = 2) -> Plan:
    return plan_run(storage, LAYOUT, run_id, candidates=candidates, dataset_sha256="a" * 64, now=NOW - ago)


def found(storage: Storage, most: int | None = None) -> list[str]:
    return [plan.run_id for plan in islice(newest_plans(storage, LAYOUT, now=NOW), most)]


def test_the_newest_come_first_whatever_they_are_called(storage: Storage) -> None:
    ages = {"z": timedelta(days=400), "a": timedelta(hours=3), "m": timedelta(days=1, hours=1), "b": timedelta(0)}
    for run_id, ago in ages.items():
        plan(storage, run_id, ago)

    assert found(storage) == ["b", "a", "m", "z"]
    assert found(storage, 2) == ["b", "a"]


def test_a_bucket_without_runs_has_none(storage: Storage) -> None:
    assert found(storage) == []


def test_a_run_planned_by_a_clock_that_is_ahead_is_found_too(storage: Storage) -> None:
    plan(storage, "ahead", timedelta(days=-3))
    plan(storage, "now", timedelta(0))

    assert found(storage) == ["ahead", "now"]


def test_runs_whose_names_lie_between_each_other_come_once(storage: Storage) -> None:
    plan(storage, "first", timedelta(seconds=2), candidates=1)
    plan(storage, "second", timedelta(seconds=2), candidates=3)
    plan(storage, "third", timedelta(seconds=2), candidates=1)

    assert sorted(found(storage)) == ["first", "second", "third"]


def test_a_run_that_was_killed_while_it_planned_is_left_out(storage: Storage) -> None:
    plan(storage, "whole", timedelta(hours=1))
    storage.put(LAYOUT.claim(candidate_name(NOW)), to_json({"run": "killed-1"}))

    assert found(storage) == ["whole"]


def test_what_is_no_claim_is_left_out_or_refused(storage: Storage) -> None:
    plan(storage, "whole", timedelta(hours=1))
    storage.put("runs/names/mnist_model_zzz", b"x")
    assert found(storage) == ["whole"]

    storage.put(LAYOUT.claim(candidate_name(NOW)), b'{"run": "../../x"}')
    with pytest.raises(IntegrityError, match="names/mnist_model_20261124_120000"):
        found(storage)


def test_a_missing_bucket_is_named(storage: Storage) -> None:
    with pytest.raises(NotFoundError, match="no bucket"):
        found(Storage(storage.client, "no-such-bucket-anywhere"))


def test_ten_runs_cost_the_same_among_twenty_and_among_two_hundred(storage: Storage) -> None:
    def cost() -> tuple[int, int]:
        counting: Any = mortal(storage)
        assert len(found(counting, 10)) == 10
        calls = [operation for operation, _ in counting.client.calls]
        return calls.count("get_object"), len(calls)

    for night in range(20):
        plan(storage, f"night {night}", timedelta(days=night))
    few = cost()
    for night in range(20, 200):
        plan(storage, f"night {night}", timedelta(days=night), candidates=1)

    assert cost() == few
    assert few[0] == 20


def test_keys_and_folders_are_listed_in_order_and_no_further_than_asked(storage: Storage) -> None:
    for key in ("a/1/x", "a/1/y", "a/2/x", "a/3/x", "b/1"):
        storage.put(key, b"")

    assert list(storage.keys("a/", after="a/1/x")) == ["a/1/y", "a/2/x", "a/3/x"]
    assert list(storage.keys("a/", page=1)) == list(storage.keys("a/")) == ["a/1/x", "a/1/y", "a/2/x", "a/3/x"]
    assert storage.folders("a/", most=2) == ["a/1", "a/2"]
    assert storage.folders("a/", most=9) == ["a/1", "a/2", "a/3"]
    assert storage.folders("none/", most=9) == []
