"""AWS clients for the local account: explicit endpoint and keys, nothing from the user's own configuration."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

REGION = "us-east-1"
# What the emulator takes for the account's root user; a real account knows no such key.
ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test"  # noqa: S105

ACCOUNT = "000000000000"

ClientFactory = Callable[[str], Any]


def client_factory(endpoint_url: str) -> ClientFactory:
    """A function that makes a client for a service, e.g. `factory("s3")`."""
    # botocore takes a good part of a second to load, which `env` and `status` do without.
    import botocore.session
    from botocore.config import Config

    logging.getLogger("botocore").setLevel(logging.WARNING)
    session = botocore.session.Session()
    # Some settings would otherwise be read from the user's ~/.aws/config.
    session.set_config_variable("config_file", "/dev/null")
    config = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 2, "mode": "standard"})

    def make(service: str) -> Any:
        return session.create_client(
            service,
            region_name=REGION,
            endpoint_url=endpoint_url,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=config,
        )

    return make
