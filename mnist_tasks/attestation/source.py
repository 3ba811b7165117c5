"""Where documents come from: the hardware, or, in development, software that is labelled as such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mnist_tasks.attestation.nsm import NitroSource
from mnist_tasks.attestation.policy import AttestationPolicy
from mnist_tasks.attestation.software import SoftwareSource
from mnist_tasks.config import SOFTWARE_LABEL
from mnist_tasks.errors import ConfigurationError


class DocumentSource(Protocol):
    """What makes documents for the place it runs in."""

    def attest(self, *, public_key: bytes, nonce: bytes | None = None, user_data: bytes | None = None) -> bytes:
        """A document of this moment, with these values in it."""
        ...


def document_source(policy: AttestationPolicy, *, software_pcrs: Mapping[int, bytes] | None = None) -> DocumentSource:
    """The source that the policy names; `software_pcrs` is what a software source claims to have measured.

    Raises:
        ConfigurationError: production would get its documents from software, or there is nothing to claim.
    """
    if policy.software_folder is None:
        return NitroSource()
    # See verify._roots: a policy that was altered after it was made.
    if policy.production:
        raise ConfigurationError(
            f"production cannot take its documents from {policy.software_folder} ({SOFTWARE_LABEL})",
            mend="unset MNIST_ATTESTATION_SOFTWARE_FOLDER",
        )
    if not software_pcrs:
        raise ConfigurationError(
            "a software source has nothing to claim: no measurements were given",
            mend="pass software_pcrs, e.g. {0: measure(files)}",
        )
    return SoftwareSource.open(policy.software_folder, software_pcrs)
