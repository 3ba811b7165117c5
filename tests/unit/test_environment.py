"""Making the environments: what is missing is installed or refused with one clear line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path):
    """The part of a checkout that makes environments, with nothing made yet."""
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    return tmp_path


def make(checkout, **variables):
    command = [sys.executable, "tools/environment.py"]
    return subprocess.run(
        command, cwd=checkout, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )


def test_a_python_that_is_not_there_is_refused_with_one_line(checkout):
    result = make(checkout, PYTHON="/no/such/python")

    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: Python 3.11 or 3.12 with the modules venv and ensurepip is needed")
    assert "/no/such/python: not there" in line
    assert not (checkout / ".venv").exists()


def test_a_python_of_another_version_is_refused_with_its_version(checkout, tmp_path):
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\necho 3.9 /usr/bin/python3.9\n")
    old.chmod(0o755)

    assert f"{old}: 3.9" in make(checkout, PYTHON=str(old)).stderr


def test_without_an_index_the_error_says_how_to_name_one(checkout):
    result = make(checkout, PIP_NO_INDEX="1", PIP_FIND_LINKS="")

    assert result.returncode == 1
    assert "pip config set global.index-url" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_failed_attempt_is_not_taken_for_a_finished_one(checkout):
    make(checkout, PIP_NO_INDEX="1", PIP_FIND_LINKS="")

    assert make(checkout, PIP_NO_INDEX="1", PIP_FIND_LINKS="").returncode == 1


def test_nothing_is_done_when_the_locks_have_not_changed():
    before = (ROOT / ".venv" / ".requirements.stamp").stat().st_mtime_ns

    result = make(ROOT)

    assert (result.returncode, result.stdout) == (0, "")
    assert (ROOT / ".venv" / ".requirements.stamp").stat().st_mtime_ns == before


def test_pips_configuration_reaches_uv_and_a_variable_wins_over_a_file(monkeypatch, tmp_path):
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        "[global]\nindex-url = https://file.example/simple\nextra-index-url =\n  https://one.example\n  https://two.example\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example/simple")
    for name in environment.UV_NAMES.values():
        monkeypatch.delenv(name, raising=False)

    settings = environment.uv_settings()

    assert settings["UV_DEFAULT_INDEX"] == "https://variable.example/simple"
    assert settings["UV_INDEX"].endswith("https://one.example https://two.example")


def test_what_the_user_set_for_uv_itself_stays(monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mine.example/simple")
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example/simple")

    assert "UV_DEFAULT_INDEX" not in environment.uv_settings()


def test_bytecode_is_compiled_whatever_the_shell_says():
    """Importing TensorFlow takes three times as long without."""
    assert list((ROOT / ".venv").glob("lib/python3.*/site-packages/airflow/__pycache__/*.pyc"))
