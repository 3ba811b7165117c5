"""`make lint` fails on a secret that nobody has reviewed, and on a review that nothing needs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tools import secret_scan

ROOT = Path(__file__).resolve().parents[2]
# Put together here, so that this file holds none.
PLANTED = {
    "AWS Access Key": 'key = "AKIA' + 'QYLPMN5HHHFPZAM2"',
    "Private Key": "-----BEGIN EC " + "PRIVATE KEY-----",
    "Basic Auth Credentials": "url = https://somebody:" + "s3cretw0rd@example.com/simple",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    known = json.loads((ROOT / secret_scan.BASELINE).read_text())
    (tmp_path / secret_scan.BASELINE).write_text(json.dumps(known | {"results": {}}))
    (tmp_path / "clean.py").write_text('bucket = "a-bucket"\n')
    return tmp_path


def test_a_repository_without_secrets_passes(repository: Path) -> None:
    assert secret_scan.check(repository) == []


@pytest.mark.parametrize("kind", PLANTED)
def test_a_new_secret_is_named_with_its_place(repository: Path, kind: str) -> None:
    (repository / "settings.py").write_text(f"\n{PLANTED[kind]}\n")

    (problem, *_) = secret_scan.check(repository)

    assert problem.startswith(f"settings.py:2: {kind}.")


def test_what_was_reviewed_passes_wherever_its_line_moves_and_is_missed_when_it_is_gone(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "settings.py").write_text(PLANTED["AWS Access Key"])
    monkeypatch.setattr("builtins.input", lambda _: "y")
    secret_scan._review(repository)
    assert secret_scan.check(repository) == []

    (repository / "settings.py").write_text("\n\n\n" + PLANTED["AWS Access Key"])
    assert secret_scan.check(repository) == []

    (repository / "settings.py").write_text("")
    (problem,) = secret_scan.check(repository)
    assert problem.startswith("settings.py: a reviewed AWS Access Key is gone")


def test_what_a_person_calls_a_secret_still_fails(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "settings.py").write_text(PLANTED["Private Key"])
    monkeypatch.setattr("builtins.input", lambda _: "")
    secret_scan._review(repository)
    assert len(secret_scan.check(repository)) == 1


def test_every_review_of_this_repository_says_that_it_is_no_secret() -> None:
    known = json.loads((ROOT / secret_scan.BASELINE).read_text())

    assert known["results"]
    assert all(entry["is_secret"] is False for entries in known["results"].values() for entry in entries)
