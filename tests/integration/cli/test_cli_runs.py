"""Runs, champion and decisions: what is printed for people and for machines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.deployment import BACK, FIRST_FINAL, IDS, LAYOUT, SLUGS, Deployment
from tests.faults import listing

COMMANDS = {
    "runs": ["runs"],
    "show decided": ["show", SLUGS["kept"]],
    "show open": ["show", SLUGS["open"]],
    "show rollback": ["show", BACK],
    "champion": ["champion"],
    "history": ["history"],
    "compare": ["compare", SLUGS["kept"], SLUGS["better"]],
    "predict": ["predict", "7"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.parametrize("width", [80, 120])
def test_everything_fits_the_terminal_without_colours_where_there_is_none(
    nights: Deployment, words: list[str], width: int
) -> None:
    result = nights.mnist(*words, width=width)

    assert (result.status, result.err) == (0, "")
    assert "\x1b" not in result.out
    assert "…" not in result.out
    assert max(map(len, result.out.splitlines())) <= width


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
def test_with_json_standard_output_is_one_document(nights: Deployment, words: list[str]) -> None:
    assert nights.mnist(*words, "--json").json


@pytest.mark.parametrize("words", [*COMMANDS.values(), ["report", "latest"], ["watch", SLUGS["first"]]])
def test_looking_writes_nothing(nights: Deployment, words: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    before = listing(nights.storage)

    nights.mnist(*words)

    assert listing(nights.storage) == before


def test_runs_are_listed_newest_first_with_outcome_accuracy_and_duration(nights: Deployment) -> None:
    lines = nights.mnist("runs", "--json").json

    assert [line["run"] for line in lines] == [SLUGS[name] for name in ("open", "better", "weak", "kept", "first")]
    assert [line["outcome"] for line in lines] == [None, "released", "rejected", "kept", "released"]
    assert [line["seconds"] for line in lines] == [None, 252, 252, 252, 252]
    assert lines[0]["trained"] == 0.25
    assert lines[1]["run_id"] == IDS["better"]
    assert 0.9 < lines[1]["test_accuracy"] < 1
    assert [line["run"] for line in nights.mnist("runs", "--limit", "2", "--json").json] == [
        line["run"] for line in lines[:2]
    ]


def test_a_run_without_decision_says_how_far_it_is_and_since_when_it_is_silent(nights: Deployment) -> None:
    out = nights.mnist("runs").out

    assert re.search(r"open .*\n.*trained 25%, last news", out)


def test_a_decided_run_is_shown_as_its_report_has_it(nights: Deployment) -> None:
    shown = nights.mnist("show", SLUGS["kept"], "--json").json
    report = nights.storage.get(LAYOUT.run(SLUGS["kept"], "report.json")).json()

    # What the report step adds itself: pictures, and what the run has cost until then.
    assert shown == {**report, "plots": {}, "digits": None, "cost": None}
    out = nights.mnist("show", SLUGS["kept"]).out
    assert out.startswith("Promoted, champion kept: too close to tell.")
    assert "*" in out
    assert out.count(" yes ") == 12


def test_a_rejected_run_shows_the_gate_that_it_did_not_pass(nights: Deployment) -> None:
    out = nights.mnist("show", SLUGS["weak"]).out

    assert out.startswith("Not promoted: test accuracy")
    assert re.search(r"accuracy +NO +test accuracy", out)


def test_a_decided_run_whose_records_have_expired_is_not_taken_for_a_rollback(nights: Deployment) -> None:
    key = LAYOUT.run(SLUGS["kept"], "plan.json")
    plan = nights.storage.get(key).body
    nights.storage.delete(key)
    try:
        error = nights.mnist("show", SLUGS["kept"], "--json").error
    finally:
        nights.storage.put(key, plan)

    assert (error["exit_status"], error["kind"]) == (3, "NotFoundError")


def test_text_that_a_person_typed_is_shown_as_it_is(nights: Deployment) -> None:
    assert "[bold]markup[/bold]" in nights.mnist("show", SLUGS["better"], width=200).out


def test_a_run_without_decision_shows_its_candidates_and_what_follows_it(nights: Deployment) -> None:
    out = nights.mnist("show", SLUGS["open"]).out

    assert "There is no decision about this run yet." in out
    assert "0 of 2 candidates are committed" in out
    assert "50%" in out
    assert f"mnist watch {SLUGS['open']}" in " ".join(out.split())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (SLUGS["kept"], "kept"),
        (IDS["kept"], "kept"),
        (IDS["better"], "better"),
        ("scheduled__2026-11-24", "first"),
        ("scheduled-2026-11-26t", "weak"),
        ("manual__with [bold]", "better"),
        ("latest", "open"),
    ],
)
def test_a_run_is_found_by_slug_id_beginning_and_as_the_latest(nights: Deployment, text: str, name: str) -> None:
    assert nights.mnist("show", text, "--json").json["plan"]["run"] == SLUGS[name]


def test_the_beginning_of_several_runs_lists_them(nights: Deployment) -> None:
    error = nights.mnist("show", "scheduled", "--json").error

    assert error["exit_status"] == 2
    assert all(SLUGS[name] in error["problem"] for name in ("first", "kept", "weak"))


@pytest.mark.parametrize(
    "text", ["schedulde__2026-11-24T02:00:00", "2026-11-24", SLUGS["first"][-8:], f"{FIRST_FINAL}x"]
)
def test_an_unknown_run_lists_names_that_look_like_it(nights: Deployment, text: str) -> None:
    result = nights.mnist("show", text, "--json")

    assert result.status == 3
    assert repr(text) in result.error["problem"]
    if text != f"{FIRST_FINAL}x":
        assert SLUGS["first"] in result.error["mend"]


@pytest.mark.parametrize("text", ["", "-", "names", "../x", "a/b", "\x00", "*"])
def test_what_cannot_be_a_run_is_not_found(nights: Deployment, text: str) -> None:
    assert nights.mnist("show", "--", text).status == 3


def test_the_champion_is_shown_with_what_put_it_there(nights: Deployment) -> None:
    found = nights.mnist("champion", "--json").json

    assert found["champion"]["name"] == found["manifest"]["name"] == FIRST_FINAL
    assert found["decision"]["outcome"] == "rolled_back"
    assert "the field says so" in nights.mnist("champion").out


def test_the_history_lists_every_decision_newest_first(nights: Deployment) -> None:
    records = nights.mnist("history", "--json").json

    assert [record["sequence"] for record in records] == [5, 4, 3, 2, 1]
    assert [record["outcome"] for record in records] == ["rolled_back", "released", "rejected", "kept", "released"]
    assert len(nights.mnist("history", "-n", "2", "--json").json) == 2
    out = nights.mnist("history").out
    assert "the field says so" in out
    assert "too close to tell" in out
