"""What processes in other containers need to know, in a folder that they mount: environment and public keys."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from localcloud.control import Cloud

ENVIRONMENT = "environment"
PUBLIC_KEYS = "promotion.pub.pem"


def write(cloud: Cloud, folder: Path, role: str, endpoint: str) -> None:
    """Write `environment`, KEY=VALUE lines for processes in that role of the stack, and the keys that it names.

    Args:
        cloud: the account.
        folder: theirs alone, because the environment lets its reader act in the role.
        role: as in `Cloud.as_role`.
        endpoint: where they reach AWS.
    """
    there = replace(cloud, environment={**cloud.environment, "AWS_ENDPOINT_URL": endpoint})
    variables = {**there.as_role(role), "MNIST_SIGNING_KEYS": str(folder / PUBLIC_KEYS)}
    here = {"MAILDIR", "SMTP_HOST", "SMTP_PORT"}
    shutil.copyfile(cloud.environment["MNIST_SIGNING_KEYS"], folder / PUBLIC_KEYS)
    partial = folder / f"{ENVIRONMENT}.partial"
    partial.write_text("".join(f"{name}={value}\n" for name, value in variables.items() if name not in here))
    partial.replace(folder / ENVIRONMENT)
