"""docs/security.md names tests and statements: they exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.test_roles import DIFFERENT

ROOT = Path(__file__).resolve().parents[2]
SECURITY = (ROOT / "docs" / "security.md").read_text()
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
}


def test_every_threat_has_a_defence_and_a_test() -> None:
    table = SECURITY.partition("## Threats\n")[2].partition("\n###")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")][1:]

    assert len(rows) > 10
    for threat, defence, test in rows:
        assert defence.strip(), threat
        assert re.fullmatch(r"(`test_\w+`(, )?)+", test.strip()), threat


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", SECURITY))))
def test_a_test_that_the_document_names_exists(name: str) -> None:
    assert name in TESTS


@pytest.mark.parametrize("name", sorted(DIFFERENT))
def test_the_document_names_every_statement_that_the_emulator_gets_otherwise(name: str) -> None:
    table = SECURITY.partition("## Not tried without AWS\n")[2]

    assert name.partition(": ")[0] in table
    assert name.partition(": ")[2] in table


def test_every_file_that_the_document_links_exists() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", SECURITY)

    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
