"""docs/your-own-classifier.md, followed to the letter on a fresh copy of the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from email import message_from_bytes, policy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "your-own-classifier.md"
BLOCK = re.compile(r"^```(python|sh|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A document that says less than this would pass by saying nothing.
FILES = ["build/make_orientation.py", "mnist_tasks/definitions/orientation.py", "dags/orientation.py"]
CHANGED = ["mnist_tasks/definitions/__init__.py"]


def steps():
    """The document's blocks in their order: what kind, of which file, and the text."""
    for kind, text in BLOCK.findall(DOCUMENT.read_text()):
        first, _, rest = text.partition("\n")
        yield (kind, "", text) if kind == "sh" else (kind, first.removeprefix("# "), rest)


def apply(path: Path, change: str) -> None:
    """A diff without line numbers: its context has to stand in the file once, and the additions follow it."""
    lines = change.splitlines(keepends=True)
    context = "".join(line[1:] for line in lines if line.startswith(" "))
    text = path.read_text()
    assert text.count(context) == 1, context
    path.write_text(text.replace(context, context + "".join(line[1:] for line in lines if line.startswith("+"))))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The files that git knows or would take, and the environments of this checkout: nothing is installed."""
    folder = tmp_path_factory.mktemp("copy")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    python = Path(os.environ.get("LOCALCLOUD_PYTHON", ROOT / ".venv" / "bin" / "python"))
    server = Path(os.environ.get("LOCALCLOUD_SERVER_PYTHON", ROOT / ".venv-cloud" / "bin" / "python"))
    (folder / ".venv").symlink_to(python.parents[1])
    (folder / ".venv-cloud").symlink_to(server.parents[1])
    (folder / "build").mkdir()
    return folder


@pytest.fixture(scope="module")
def followed(copy):
    """What each command of the document has said; the first one that fails ends it."""
    # `make` brings environments up to date with PYTHON: here they are, and are shared.
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHON": "true", "LANG": "C.UTF-8"}
    said = []
    for kind, name, text in steps():
        if kind == "python":
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_text(text)
        elif kind == "diff":
            apply(copy / name, text)
        else:
            command = ["sh", "-ec", text]
            done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            said.append(done.stdout)
    return said


def test_it_asks_for_two_new_files_and_one_line_and_nothing_else():
    written = [name for kind, name, _ in steps() if kind == "python"]
    changed = [(name, text.count("\n+")) for kind, name, text in steps() if kind == "diff"]

    assert written == FILES
    assert changed == [(CHANGED[0], 1)]


def test_the_data_set_is_the_one_that_the_definition_names(followed, copy):
    printed = re.fullmatch(r"sha256=([0-9a-f]{64}) size=(\d+)\n", followed[0])
    definition = (copy / FILES[1]).read_text().replace("_", "")

    assert printed[1] in definition
    assert f"size={printed[2]}" in definition


def test_the_pipeline_runs_from_its_data_set_to_the_mail(followed, copy):
    outcome = json.loads((copy / "build" / "run.json").read_text())
    mails = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in maildir(copy).glob("new/*")]

    assert outcome["state"] == "success"
    assert "checkpoints/orientation/orientation_model_" in followed[1]
    assert "Promoted and released: this model is the first champion." in followed[1]
    assert [mail["Subject"].split(":")[0] for mail in mails] == ["Orientation"]
    assert mails[0]["To"] == "you@example.com"
    assert "Test data1,000 other images of Orientation" in re.sub(
        r"<[^>]+>", "", (copy / "build/report.html").read_text()
    )


def maildir(copy: Path) -> Path:
    return copy / ".localcloud" / "mail"


def test_the_copys_own_tests_of_definitions_and_dags_pass_and_know_it(followed, copy):
    assert re.search(r"\d+ passed", followed[2])
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", "tests/unit/test_definitions.py"],
        cwd=copy,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "[orientation]" in listed.stdout
