"""`make run ATTESTED=1`: the whole pipeline with an attested promotion, and what it says of itself afterwards."""

import subprocess
import sys

import localcloud
from mnist_tasks.config import SOFTWARE_LABEL
from tools.laptop import ROOT


def test_an_attested_run_ends_green_and_is_labelled_as_software_wherever_it_shows(tmp_path):
    command = [sys.executable, "-m", "tools.run", "--attested", "--home", str(tmp_path), "--conf", '{"candidates": 1}']

    try:
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1700, check=False)
    finally:
        localcloud.down(tmp_path / ".localcloud" / "attested")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"attestation: {SOFTWARE_LABEL}\n" in ended.stdout
    assert f"put into service by decision 1 ({SOFTWARE_LABEL})\n" in ended.stdout
    assert ended.stdout.count("verified: ok: ") == 4
    assert SOFTWARE_LABEL in (tmp_path / "build" / "report.html").read_text()
    assert f"attested: {SOFTWARE_LABEL}" in (tmp_path / "build" / "run.log").read_text()
