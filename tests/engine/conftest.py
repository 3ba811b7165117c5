"""A real Docker engine: the one that `docker` talks to. Without one, these tests say so and are skipped.

With MNIST_REQUIRE_ENGINE=1 they fail instead. Everything here runs in one worker, one after another:
the images and the stack are there once.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

import localcloud
from tests.ecs_tasks import Tasks
from tools import images
from tools.environment import ROOT

TEST_IMAGE = "mnist-test:local"
# For tasks that bring a command of their own, which the images of the pipeline do not let them.
_TEST_DOCKERFILE = 'FROM mnist-promoter:local\nENTRYPOINT []\nENV PATH=/opt/mnist/bin:$PATH\nCMD ["python"]\n'


def docker(*words: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """A call of the engine's own command line."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=check, **options)


@pytest.fixture(scope="session")
def engine() -> str:
    """The engine's address."""
    try:
        docker("version", timeout=120)
        docker("compose", "version", timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        reason = f"no Docker engine with compose answers: {error}"
        if os.environ.get("MNIST_REQUIRE_ENGINE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


@pytest.fixture(scope="session")
def built(engine: str) -> dict[str, str]:
    """Every image of the project, built from this checkout; its id by its name."""
    assert images.main([]) == 0
    docker("build", "--quiet", "--tag", TEST_IMAGE, "-", input=_TEST_DOCKERFILE)
    return {name: docker("image", "inspect", "--format", "{{.Id}}", name).stdout.strip() for name in images.TARGETS}


@pytest.fixture(scope="session")
def figures(built: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What the tests measure: build/images.json, from which the README has its figures."""
    found: dict[str, Any] = {"megabytes": {}}
    for name in built:
        found["megabytes"][name] = round(int(docker("image", "inspect", "--format", "{{.Size}}", name).stdout) / 1e6)
    yield found
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "images.json").write_text(json.dumps(found, indent=1) + "\n")


@pytest.fixture(scope="session")
def cloud(engine: str, built: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[localcloud.Cloud]:
    """A local account whose tasks are containers of the engine."""
    home = tmp_path_factory.mktemp("localcloud")
    try:
        yield localcloud.up(home, surroundings=localcloud.Surroundings(engine=localcloud.DockerEngine(engine)))
    finally:
        localcloud.down(home)
    assert docker("ps", "--all", "--quiet", "--filter", "label=localcloud.home").stdout == ""


@pytest.fixture(scope="session")
def tasks(cloud: localcloud.Cloud) -> Tasks:
    """ECS tasks of that account."""
    connect: Callable[[str], Any] = lambda service: boto3.client(service, **cloud.client_arguments)  # noqa: E731
    return Tasks(connect("ecs"), connect("logs"), cloud.environment, image=TEST_IMAGE)
