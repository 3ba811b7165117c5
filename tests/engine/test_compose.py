"""docker-compose.yaml as its users meet it: up, a run by REST to the mail, down, and nothing is left."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.airflow import Api, eventually, states
from tests.engine.conftest import docker
from tools import engine as stack

PROJECT = "label=com.docker.compose.project=mnist"
MAILS = "/var/lib/localcloud/mail/new"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def left_over() -> dict[str, str]:
    kinds = {"container": ("ps", "--all"), "volume": ("volume", "ls"), "network": ("network", "ls")}
    return {kind: docker(*words, "--quiet", "--filter", PROJECT).stdout for kind, words in kinds.items()}


@pytest.fixture(scope="module")
def ports() -> dict[str, str]:
    return {"MNIST_UI_PORT": str(free_port()), "MNIST_AWS_PORT": str(free_port())}


@pytest.fixture(scope="module")
def running(built: dict[str, str], figures: dict[str, Any], ports: dict[str, str]) -> Iterator[dict[str, str]]:
    """The stack, healthy. It has one name on one engine: another one that runs here is not disturbed but in the way."""
    if any(left_over().values()):
        pytest.fail("there is a stack `mnist` on this engine already: make compose-down ARGS=--volumes")
    started = time.monotonic()
    try:
        stack.up(**ports)
        figures["seconds_to_healthy"] = round(time.monotonic() - started)
        yield ports
    finally:
        stack.down("--volumes", **ports)
    assert not any(left_over().values()), left_over()


@pytest.fixture(scope="module")
def api(running: dict[str, str]) -> Api:
    api = Api(f"http://127.0.0.1:{running['MNIST_UI_PORT']}", stack.password(**running))
    eventually(lambda: any(dag["dag_id"] == "mnist_training" for dag in api.get("/api/v2/dags")["dags"]), "the DAG")
    return api


def test_a_run_by_rest_trains_in_sibling_containers_and_ends_in_the_mail(
    api: Api, running: dict[str, str], figures: dict[str, Any]
) -> None:
    api.patch("/api/v2/dags/mnist_training", {"is_paused": False})
    started = time.monotonic()

    run, tasks = api.await_run(api.trigger({"candidates": 1, "seed": 7}))

    assert run["state"] == "success", states(tasks)
    figures["seconds_of_a_run"] = round(time.monotonic() - started)
    figures["megabytes_of_the_stack"] = memory()
    mail = stack.compose("exec", "-T", "localcloud", "sh", "-c", f"cat {MAILS}/*", **running).stdout
    assert "To: ml-team@example.com" in mail
    assert "text/html" in mail
    log = api.get(f"/api/v2/dags/mnist_training/dagRuns/{run['dag_run_id']}/taskInstances/train/logs/1?map_index=0")
    assert "epoch 10/10" in str(log)


def memory() -> int:
    """MB of all containers of the stack."""
    units = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
    names = docker("ps", "--filter", PROJECT, "--format", "{{.Names}}").stdout.split()
    used = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", *names).stdout.splitlines()
    return round(sum(float(line.split()[0][:-3]) * units[line.split()[0][-3:]] for line in used) / 1e6)


def test_everything_is_published_on_loopback_alone(running: dict[str, str]) -> None:
    published = docker("ps", "--filter", PROJECT, "--format", "{{.Ports}}").stdout.replace(",", "\n").split()
    mapped = [port for port in published if "->" in port]

    assert len(mapped) == 2
    assert all(port.startswith("127.0.0.1:") for port in mapped)


def test_nobody_gets_in_without_the_password_and_no_secret_is_in_an_environment(running: dict[str, str]) -> None:
    with pytest.raises(Exception, match="401"):
        Api(f"http://127.0.0.1:{running['MNIST_UI_PORT']}", "admin")
    secret = stack.compose("exec", "-T", "postgres", "cat", "/secrets/database/password", **running).stdout
    assert len(secret) > 30
    containers = docker("ps", "--all", "--quiet", "--filter", PROJECT).stdout.split()
    assert secret not in docker("inspect", *containers).stdout


def test_tasks_reach_the_one_machine_cloud_and_nothing_else(running: dict[str, str]) -> None:
    code = """
import socket
for host, port in (("169.254.170.2", 4566), ("169.254.170.23", 4566), ("1.1.1.1", 443)):
    try:
        socket.create_connection((host, port), 3)
        print("reached", host)
    except OSError:
        print("no way to", host)
"""
    options = ("--rm", "--network", "mnist_tasks", "--entrypoint", "/opt/mnist/bin/python")
    said = docker("run", *options, "mnist-promoter:local", "-I", "-c", code).stdout.splitlines()

    assert said == ["reached 169.254.170.2", "no way to 169.254.170.23", "no way to 1.1.1.1"]


@pytest.mark.parametrize(
    "words",
    [
        ("--profile", "celery", "config", "--quiet"),
        ("--file", "docker-compose.yaml", "--file", "docker-compose.aws.yaml", "config", "--quiet"),
    ],
    ids=["celery", "aws"],
)
def test_what_cannot_be_run_here_is_at_least_a_valid_configuration(engine: str, words: tuple[str, ...]) -> None:
    needed = {"AIRFLOW_UID": "1000", "AWS_DEFAULT_REGION": "eu-central-1", "MNIST_ENVIRONMENT_FILE": os.devnull}
    done = stack.compose(*words, AIRFLOW_CONN_SMTP_DEFAULT="smtp://mail.example", **needed)

    assert (done.returncode, done.stderr) == (0, "")
