"""A few nights of the soak: it goes on where it was, and every night makes the same S3 calls."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.container import ROOT


@dataclass(frozen=True)
class Soak:
    """`python -m tests.soak` in a folder of its own, each time as a process of its own."""

    folder: Path

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        places = ["--folder", str(self.folder / "state"), "--output", str(self.folder / "soak.json")]
        command = [sys.executable, "-m", "tests.soak", *places, *options]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1700, check=False)


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Soak:
    return Soak(tmp_path_factory.mktemp("soak"))


@pytest.fixture(scope="module")
def nights(soak: Soak) -> list[dict[str, Any]]:
    """Five nights in two goes; the first one trains, the fourth is rejected, the others commit ready weights."""
    for number in ("3", "5"):
        result = soak.run("--nights", number, "--ready-weights")
        assert f"{number} nights" in result.stdout, result.stdout + result.stderr
    return [json.loads(line) for line in (soak.folder / "state" / "nights.jsonl").read_text().splitlines()]


def test_a_stopped_soak_goes_on_with_the_next_night(nights: list[dict[str, Any]]) -> None:
    assert [night["number"] for night in nights] == [1, 2, 3, 4, 5]
    assert not any(night["interrupted"] for night in nights)
    supervisors = [night["processes"]["supervisor"]["identity"] for night in nights]
    assert supervisors[0] == supervisors[2] != supervisors[3] == supervisors[4]


def test_nights_come_to_what_the_calendar_has_for_them(nights: list[dict[str, Any]]) -> None:
    assert nights[0]["outcome"] == "released"
    assert {night["outcome"] for night in nights} == {"released", "kept", "rejected"}
    assert list(nights[3]["steps"])[-1] == "email_failure"


@pytest.mark.usefixtures("nights")
def test_every_night_makes_the_same_s3_calls(soak: Soak) -> None:
    result = json.loads((soak.folder / "soak.json").read_text())
    calls = {trend["measure"]: trend for trend in result["trends"] if trend["measure"].endswith("S3 calls")}
    assert {name: trend["verdict"] for name, trend in calls.items()} == dict.fromkeys(calls, "constant")
    assert calls["pick_best: S3 calls"]["last"] == 2
    assert result["training"] == "replaced by ready weights"


@pytest.mark.usefixtures("nights")
def test_nights_of_two_kinds_do_not_mix(soak: Soak) -> None:
    refused = soak.run("--nights", "6")
    assert refused.returncode == 1
    assert "--ready-weights" in refused.stderr
