"""Where the commands look: the bucket of `MNIST_BUCKET`, through boto3's own chain of configuration.

`MNIST_CLASSIFIER` names another classifier than MNIST.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mnist_tasks.config import Settings
from mnist_tasks.definitions import named
from mnist_tasks.encryption import Encryption
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.folder import Folder
from mnist_tasks.layout import Layout
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.signing import TrustedKeys
from mnist_tasks.storage import Storage


@dataclass(frozen=True)
class Place:
    """One deployment."""

    settings: Settings
    storage: Storage
    layout: Layout

    @property
    def name(self) -> str:
        """For people: the bucket and where it is."""
        return f"s3://{self.storage.bucket} at {self.storage.client.meta.endpoint_url}"

    @cached_property
    def chain(self) -> Chain:
        """Its decisions, for reading; nobody signs from a terminal.

        Raises:
            ConfigurationError: there is no public key to verify them with.
        """
        return Chain(
            self.storage,
            self.layout,
            TrustedKeys.from_file(self.settings.signing_keys, production=self.settings.attestation_production),
        )

    @cached_property
    def encryption(self) -> Encryption:
        """What the weights were encrypted with; made when it is asked for, since most commands read none.

        Raises:
            ConfigurationError: AWS's configuration cannot be used.
        """
        return Encryption(_client("kms"), self.settings.checkpoint_key, self.settings.final_key)


def open_records(folder: Path | None, keys: Path | None) -> Chain:
    """The decisions of the deployment, or of a downloaded one, for whoever trusts the public keys in a file.

    Raises:
        ConfigurationError: there is no such folder, or no such keys; or as `open_place`.
    """
    settings = Settings.from_environment(os.environ)
    trusted = TrustedKeys.from_file(
        str(keys) if keys else settings.signing_keys, production=settings.attestation_production
    )
    storage = Folder.at(folder) if folder else open_place().storage
    return Chain(storage, _layout(settings), trusted)


def open_place() -> Place:
    """The deployment that the environment names.

    Raises:
        ConfigurationError: a variable is outside its bounds, or AWS's configuration cannot be used.
    """
    settings = Settings.from_environment(os.environ)
    return Place(settings, Storage(_client("s3"), settings.bucket), _layout(settings))


def _layout(settings: Settings) -> Layout:
    return Layout(named(os.environ.get("MNIST_CLASSIFIER") or "mnist"), settings.checkpoints_prefix)


def _client(service: Literal["s3", "kms"]) -> Any:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    # A person waits: boto3's own patience is a minute for each of five tries.
    patience = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})
    try:
        return boto3.client(service, config=patience)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"there is no way to {service.upper()}: {error}",
            mend="check AWS_... in the environment and ~/.aws (on a laptop: make up)",
        ) from error
