"""The images: what is in them, what is not, and that nothing more can be made of them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.container import job_for
from tests.engine.conftest import TEST_IMAGE, docker

TRAINER, PROMOTER, AIRFLOW = "mnist-trainer:local", "mnist-promoter:local", "mnist-airflow:local"
TASKS = [TRAINER, PROMOTER]
pytestmark = pytest.mark.usefixtures("built")


def python(image: str, code: str) -> str:
    """What a piece of Python says inside an image, with a read-only root and no writable folder at all."""
    options = ("--rm", "--read-only", "--network", "none", "--entrypoint", "/opt/mnist/bin/python")
    return docker("run", *options, image, "-I", "-c", code).stdout.strip()


def missing(image: str, *modules: str) -> set[str]:
    code = "import sys; from importlib.util import find_spec; print(*[m for m in sys.argv[1:] if not find_spec(m)])"
    options = ("--rm", "--network", "none", "--entrypoint", "/opt/mnist/bin/python")
    return set(docker("run", *options, image, "-I", "-c", code, *modules).stdout.split())


@pytest.mark.parametrize("image", [*TASKS, AIRFLOW])
def test_nothing_runs_as_root(image: str) -> None:
    assert int(python(image, "import os; print(os.getuid())")) > 0


def test_the_trainer_has_no_airflow_and_the_promoter_no_tensorflow_either() -> None:
    heavy = ("airflow", "tensorflow", "keras", "mnist_tasks")
    assert missing(TRAINER, *heavy) == {"airflow"}
    assert missing(PROMOTER, *heavy) == {"airflow", "tensorflow", "keras"}
    assert missing(AIRFLOW, *heavy) == {"tensorflow", "keras"}


@pytest.mark.parametrize("image", TASKS)
def test_a_command_and_an_environment_change_nothing_of_what_is_run(image: str) -> None:
    """As RunTask's overrides would: the entry point refuses its configuration, and nobody's code runs."""
    hostile = ["--env", "PYTHONSTARTUP=/x", "--env", "PYTHONPATH=/x", "--env", "PATH=/x", "--env", "PYTHONINSPECT=1"]
    run = docker("run", "--rm", "--network", "none", *hostile, image, "-c", "print('mi' + 'ne')", check=False)

    assert run.returncode == 2
    assert "mine" not in run.stdout
    assert json.loads(run.stdout)["level"] == "error"


def test_sigterm_reaches_the_first_process_which_ends_with_143(figures: dict[str, Any]) -> None:
    """It waits for an S3 that takes its connection and never answers, until it is told to stop."""
    variables = job_for("a-bucket").to_environment() | {
        "MNIST_CHECKPOINT_KEY": "arn:aws:kms:us-east-1:000000000000:key/a-key",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "a",
    }
    options = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    silent, trainer = (f"test-{role}-{uuid.uuid4().hex[:8]}" for role in ("silent", "trainer"))
    try:
        serve = "import socket, time; s = socket.create_server(('127.0.0.1', 9000)); print('up'); time.sleep(600)"
        docker("run", "--detach", "--network", "none", "--name", silent, TEST_IMAGE, "python", "-uc", serve)
        until(silent, lambda: "up" in docker("logs", silent).stdout)
        docker(
            "run", "--detach", "--read-only", "--network", f"container:{silent}", "--name", trainer, *options, TRAINER
        )
        until(trainer, lambda: connected(trainer))

        docker("stop", "--time", "20", trainer)

        assert docker("inspect", "--format", "{{.State.ExitCode}}", trainer).stdout.strip() == "143"
        assert "stopped by SIGTERM" in docker("logs", trainer).stdout
    finally:
        docker("rm", "--force", trainer, silent, check=False)


def connected(name: str) -> bool:
    """Whether it has a connection: its handlers are in place by then. 01 is ESTABLISHED in proc(5)'s net/tcp."""
    code = "print(any(line.split()[3] == '01' for line in open('/proc/1/net/tcp')))"
    return docker("exec", name, "/opt/mnist/bin/python", "-I", "-c", code, check=False).stdout.strip() == "True"


def until(name: str, holds: Callable[[], bool]) -> None:
    """Wait for it as long as this container runs, a minute at most."""
    deadline = time.monotonic() + 60
    while not holds():
        assert docker("inspect", "--format", "{{.State.Running}}", name).stdout.strip() == "true", docker("logs", name)
        assert time.monotonic() < deadline, docker("logs", name)
        time.sleep(0.2)


@pytest.mark.parametrize("image", TASKS)
def test_bytecode_is_compiled(image: str) -> None:
    code = "import importlib.util as u, os; print(os.path.exists(u.find_spec('mnist_tasks.storage').cached))"
    assert python(image, code) == "True"


def test_how_long_a_start_takes(figures: dict[str, Any]) -> None:
    started = time.monotonic()
    docker("run", "--rm", TRAINER, check=False)
    figures["seconds_to_refuse_a_job"] = round(time.monotonic() - started, 1)
    clock = "import time; t = time.monotonic(); import mnist_tasks.training.loop; print(round(time.monotonic() - t, 1))"
    figures["seconds_to_import_tensorflow"] = float(python(TRAINER, clock))

    assert figures["seconds_to_refuse_a_job"] < 30


def test_the_labels_say_what_it_is() -> None:
    for image in (*TASKS, AIRFLOW):
        labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", image).stdout)
        assert labels["org.opencontainers.image.title"] == image.removesuffix(":local")
        assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
