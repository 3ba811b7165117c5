"""The one-machine cloud, started once for the whole session in a folder of its own, and clients for it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

import localcloud
from mnist_tasks.storage import Storage

Clients = Callable[[str], Any]


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
        session = boto3.session.Session(
            aws_access_key_id=cloud.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=cloud.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=cloud.environment["AWS_DEFAULT_REGION"],
        )
        return lambda service: session.client(service, endpoint_url=cloud.environment["AWS_ENDPOINT_URL"])

    return clients


@pytest.fixture
def storage(aws: Clients) -> Storage:
    """A bucket of the test's own."""
    bucket = f"test-{uuid.uuid4().hex}"
    aws("s3").create_bucket(Bucket=bucket)
    return Storage(aws("s3"), bucket)
