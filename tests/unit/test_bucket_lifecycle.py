"""What the template lets the bucket forget. The emulator drops these rules, so they are read where they are written."""

from __future__ import annotations

from typing import Any

from mnist_tasks.layout import RUNS_KEPT
from tools.iam.template import Template

RULES = Template.read().body["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]


def rules_with(key: str) -> list[dict[str, Any]]:
    return [rule for rule in RULES if key in rule]


def test_only_candidates_and_runs_expire() -> None:
    candidates, runs = rules_with("ExpirationInDays")
    assert candidates["TagFilters"] == [{"Key": "stage", "Value": "candidate"}]
    assert runs["Prefix"] == "runs/"


def test_the_dags_know_how_long_a_run_is_remembered() -> None:
    assert [rule["ExpirationInDays"] for rule in RULES if rule.get("Prefix") == "runs/"] == [RUNS_KEPT.days]


def test_what_has_expired_is_gone_and_does_not_stay_as_an_earlier_version() -> None:
    """The bucket has versions: expiry alone hides an object behind a marker, and keeps it."""
    assert rules_with("NoncurrentVersionExpiration") == rules_with("ExpirationInDays")
    (tidy,) = rules_with("ExpiredObjectDeleteMarker")
    assert not tidy.keys() & {"Prefix", "TagFilters"}
