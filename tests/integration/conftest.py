"""The one-machine cloud, started once for the whole session in a folder of its own, and clients for it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

import localcloud
from mnist_tasks.config import TrainingJob
from mnist_tasks.encryption import Encryption
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.signing import KmsSigner, TrustedKeys
from mnist_tasks.storage import Storage, sha256_of
from tests.container import LAYOUT, ROOT, job_for
from tests.ecs_tasks import Tasks
from tools.laptop import Laptop

Clients = Callable[[str], Any]
Chains = Callable[[Storage], Chain]


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[localcloud.Cloud]:
    """A running local account with the stack deployed."""
    home = tmp_path_factory.mktemp("localcloud")
    try:
        yield localcloud.up(home)
    finally:
        localcloud.down(home)


@pytest.fixture(scope="session")
def aws(cloud: localcloud.Cloud, connect: Callable[[localcloud.Cloud], Clients]) -> Clients:
    """`aws("s3")` is a boto3 client of the session's cloud, whatever `os.environ` says."""
    return connect(cloud)


@pytest.fixture(scope="session")
def connect() -> Callable[[localcloud.Cloud], Clients]:
    """`connect(cloud)("s3")`: the same for any cloud."""

    def clients(cloud: localcloud.Cloud) -> Clients:
        return lambda service: boto3.client(service, **cloud.client_arguments)

    return clients


@pytest.fixture(scope="session")
def tasks(cloud: localcloud.Cloud, aws: Clients) -> Tasks:
    """ECS tasks of the session's cloud."""
    return Tasks(aws("ecs"), aws("logs"), cloud.environment)


@pytest.fixture(scope="module")
def workers(cloud: localcloud.Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The environment of an Airflow worker, for the processes of all tries (`tests.tries`)."""
    environment = Laptop(tmp_path_factory.mktemp("airflow"), cloud).environment()
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("AWS_", "AIRFLOW", "MNIST_")):
                patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def chain(storage: Storage, chain_of: Chains) -> Chain:
    """The decisions of the test's own bucket."""
    return chain_of(storage)


@pytest.fixture
def storage(aws: Clients) -> Storage:
    """A bucket of the test's own."""
    bucket = f"test-{uuid.uuid4().hex}"
    aws("s3").create_bucket(Bucket=bucket)
    return Storage(aws("s3"), bucket)


@pytest.fixture(scope="session")
def chain_of(cloud: localcloud.Cloud, aws: Clients) -> Chains:
    """`chain_of(storage)`: the decisions of a bucket, for the one who may sign them with the stack's key."""
    keys = TrustedKeys.from_file(cloud.environment["MNIST_SIGNING_KEYS"])
    signer = KmsSigner(aws("kms"), cloud.environment["MNIST_SIGNING_KEY"])
    return lambda storage: Chain(storage, LAYOUT, keys, signer)


@pytest.fixture(scope="session")
def encryption(cloud: localcloud.Cloud, aws: Clients) -> Encryption:
    """With the keys of the stack."""
    keys = cloud.environment
    return Encryption(aws("kms"), keys["MNIST_CHECKPOINT_KEY"], keys["MNIST_FINAL_KEY"])


@pytest.fixture(scope="session")
def container_environment(
    cloud: localcloud.Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], dict[str, str]]:
    """What a container has before its job is added: nothing of this process but the way to its programs."""
    names = ("AWS_", "MNIST_CHECKPOINT_KEY")  # with what the task definition tells every container
    known = {name: value for name, value in cloud.environment.items() if name.startswith(names)}
    home = str(tmp_path_factory.mktemp("home"))
    return lambda: {"PATH": os.environ["PATH"], "HOME": home, "PYTHONPATH": str(ROOT), **known}


@pytest.fixture
def environment(container_environment: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The same, for one test."""
    return container_environment()


@pytest.fixture
def job(storage: Storage, mnist_file: bytes) -> TrainingJob:
    """One epoch on the real data set, which is in the bucket."""
    sha256 = sha256_of(mnist_file)
    storage.put(LAYOUT.dataset(sha256), mnist_file)
    return job_for(storage.bucket, dataset_sha256=sha256)
