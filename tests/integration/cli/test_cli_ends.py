"""How commands end: with nothing there, with errors, as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import localcloud
from tests.deployment import FIRST_FINAL, Deployment
from tools.mnist import surroundings

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["runs"], 0),
        (["history"], 0),
        (["champion"], 3),
        (["show", "latest"], 3),
        (["watch", "latest"], 3),
        (["report", "latest"], 3),
        (["show", "anything"], 3),
        (["predict", "7"], 3),
    ],
)
def test_where_nothing_has_happened_yet_it_says_what_to_do(empty: Deployment, words: list[str], status: int) -> None:
    result = empty.mnist(*words)

    assert result.status == status
    assert "make run" in result.out + result.err
    assert empty.storage.bucket in result.out + result.err


def test_where_no_cloud_answers_it_says_what_to_start(empty: Deployment, closed_port: int) -> None:
    result = empty.mnist("runs", "--json", AWS_ENDPOINT_URL=f"http://127.0.0.1:{closed_port}")

    assert result.status == 4
    assert "make up" in result.error["mend"]


@pytest.mark.parametrize(
    "environment", [{"AWS_PROFILE": "nobody"}, {"AWS_ENDPOINT_URL": "nonsense"}, {"MNIST_BUCKET": "A_B"}]
)
def test_a_configuration_that_cannot_be_used_is_named(empty: Deployment, environment: dict[str, str]) -> None:
    result = empty.mnist("runs", "--json", **environment)

    assert (result.status, result.error["kind"]) == (2, "ConfigurationError")


def test_a_missing_bucket_is_named(empty: Deployment) -> None:
    assert empty.mnist("runs", "--json", MNIST_BUCKET="no-such-bucket-anywhere").error["exit_status"] == 3


@pytest.mark.parametrize("words", [["shwo"], ["show"], ["runs", "--bogus"], ["runs", "--limit", "0"], ["--bogus"]])
def test_a_usage_error_is_told_like_every_other_one(empty: Deployment, words: list[str]) -> None:
    result = empty.mnist(*words)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert "--help" in result.err

    as_json = empty.mnist(*words, "--json").error
    assert (as_json["kind"], as_json["exit_status"]) == ("UsageError", 2)


def test_the_help_lists_every_command_and_exit_status(empty: Deployment) -> None:
    result = empty.mnist("--help")

    assert result.status == 0
    assert empty.mnist().out == result.out
    assert "Exit status" in result.out
    assert max(map(len, result.out.splitlines())) <= 80
    for command in ("runs", "show", "watch", "champion", "history", "compare", "predict", "rollback", "report"):
        assert f"│ {command} " in result.out
        assert "--json" in empty.mnist(command, "--help").out


ROLLBACK = ("rollback", "--to", "mnist_model_20261127_020000_final", "--reason", "it is wrong in the field")
NO_AIRFLOW = {f"MNIST_AIRFLOW_{name}": "" for name in ("URL", "TOKEN", "USER", "PASSWORD")}
AIRFLOW = {"MNIST_AIRFLOW_URL": "http://127.0.0.1:9", "MNIST_AIRFLOW_TOKEN": "t"}


@pytest.mark.parametrize(
    ("words", "environment", "status", "problem"),
    [
        (ROLLBACK, NO_AIRFLOW, 2, "Airflow's address is not known"),
        (ROLLBACK, AIRFLOW, 2, "wants to be confirmed"),
        ((*ROLLBACK, "--yes"), AIRFLOW, 4, "Airflow did not answer at http://127.0.0.1:9"),
        ((*ROLLBACK[:4], "short"), AIRFLOW, 2, "--reason"),
        (("rollback", "--to", FIRST_FINAL, *ROLLBACK[3:]), AIRFLOW, 2, "is in service already"),
        (("rollback", "--to", "mnist_model_20200101_000000_final", *ROLLBACK[3:]), AIRFLOW, 3, "never committed"),
        (("rollback", "--to", "mnist_model_20261127_020000", *ROLLBACK[3:]), AIRFLOW, 2, "--to"),
    ],
)
def test_a_rollback_that_cannot_be_is_refused_before_airflow_is_asked(
    nights: Deployment, words: tuple[str, ...], environment: dict[str, str], status: int, problem: str
) -> None:
    result = nights.mnist(*words, "--json", **environment)

    assert result.status == status
    assert problem in result.error["problem"]


def test_a_process_says_no_more_than_an_error_and_ends_with_its_status(nights: Deployment) -> None:
    environment = {**os.environ, **nights.environment, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mnist_tasks.cli"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    missing, good = run("show", "nothing-like-it"), run("champion", "--json")

    assert (missing.returncode, missing.stdout) == (3, "")
    assert missing.stderr.startswith("error: there is no run 'nothing-like-it'")
    assert "Traceback" not in missing.stderr
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["champion"]["name"] == FIRST_FINAL


def test_the_shell_completes_commands(nights: Deployment) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_MNIST_COMPLETE": "complete_bash"}
    environment |= {"COMP_WORDS": "mnist ro", "COMP_CWORD": "1"}

    done = subprocess.run(
        [sys.executable, "-m", "mnist_tasks.cli"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.split() == ["rollback"]


def test_the_launcher_finds_its_checkout_from_anywhere_and_through_a_link(
    nights: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    root = elsewhere / "checkout"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "mnist").write_bytes((ROOT / "bin" / "mnist").read_bytes())
    (root / "bin" / "mnist").chmod(0o755)
    (elsewhere / "mnist").symlink_to(root / "bin" / "mnist")
    command = [str(elsewhere / "mnist"), "champion", "--json"]
    environment = {**os.environ, **nights.environment}

    without = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    for name in ("mnist_tasks", "tools", "localcloud", "infra"):
        (root / name).symlink_to(ROOT / name)
    (root / ".venv").symlink_to(sys.prefix)
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False)

    assert (without.returncode, without.stdout) == (2, "")
    assert "make up" in without.stderr
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["champion"]["name"] == FIRST_FINAL


def test_a_running_cloud_is_found_and_what_the_caller_has_set_stays(cloud: localcloud.Cloud, tmp_path: Path) -> None:
    places = {"cloud": cloud.home, "airflow": tmp_path}

    found = surroundings({}, **places)

    assert found["AWS_ENDPOINT_URL"] == cloud.environment["AWS_ENDPOINT_URL"]
    assert found["AWS_CONTAINER_CREDENTIALS_FULL_URI"].endswith("/reader")
    assert "AWS_SECRET_ACCESS_KEY" not in found
    assert found["MNIST_BUCKET"] == cloud.environment["MNIST_BUCKET"]
    assert not {"SMTP_HOST", "MNIST_AIRFLOW_URL"} & set(found)
    assert "MNIST_BUCKET" not in surroundings({"MNIST_BUCKET": "mine"}, **places)
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_ROLE_ARN"):
        assert surroundings({name: "mine"}, **places) == {}
    assert surroundings({}, cloud=tmp_path, airflow=tmp_path) == {}
