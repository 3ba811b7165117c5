"""`bin/mnist`: the command line, joined to what `make up` runs in this checkout.

`mnist_tasks` knows nothing of laptops; so the environment that it reads is completed here. What the caller has set
himself stays: whoever names an account, or an Airflow, means that one. Commands act in the reader's role: none of them
writes to the bucket.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import localcloud
from localcloud.home import DEFAULT_HOME
from tools import services
from tools.up import HOME, USER, password_file

# Any of these says which account is meant.
_ACCOUNT = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN")
_AIRFLOW = ("MNIST_AIRFLOW_URL", "MNIST_AIRFLOW_TOKEN", "MNIST_AIRFLOW_USER", "MNIST_AIRFLOW_PASSWORD")


def main() -> None:
    """Run the command line."""
    os.environ.update(surroundings(os.environ))
    from mnist_tasks.cli.app import app

    app(prog_name="mnist")


def surroundings(environment: Mapping[str, str], *, cloud: Path = DEFAULT_HOME, airflow: Path = HOME) -> dict[str, str]:
    """The variables that lead to the one-machine cloud and to Airflow, as far as they run and are not set."""
    return {**_cloud(environment, cloud), **_airflow(environment, airflow)}


def _cloud(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    if any(environment.get(name) for name in _ACCOUNT):
        return {}
    try:
        found = localcloud.current(home).as_role("reader")
    except localcloud.LocalCloudError:
        return {}
    wanted = {name: value for name, value in found.items() if name.startswith(("AWS_", "MNIST_"))}
    return {name: value for name, value in wanted.items() if not environment.get(name)}


def _airflow(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    running = services.read(home)
    if running is None or not running.running or any(environment.get(name) for name in _AIRFLOW):
        return {}
    try:
        password = json.loads(password_file(home).read_text())[USER]
    except (OSError, ValueError, KeyError):
        return {}
    return {"MNIST_AIRFLOW_URL": running.url, "MNIST_AIRFLOW_USER": USER, "MNIST_AIRFLOW_PASSWORD": password}


if __name__ == "__main__":
    main()
