"""By which keys the promoter decides: what it signs with, whom it believes, and who opens and makes weights for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mnist_tasks.config import ATTESTATION_PREFIX, PromoterSettings
from mnist_tasks.container import open_client
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.promotion.records import Attestation
from mnist_tasks.signing import KmsSigner, Signer, TrustedKeys, trusted_keys


@dataclass(frozen=True)
class Authority:
    """`kms` is what weights are encrypted and decrypted with; `attestation` is the evidence of an attested place."""

    signer: Signer
    keys: TrustedKeys
    kms: Any
    attestation: Attestation | None = None


def open_authority(settings: PromoterSettings, environment: Mapping[str, str]) -> Authority:
    """As the task definition says: a key in KMS signs, or a sealed one that KMS opens for an attested place alone.

    Raises:
        ConfigurationError: it says something else, or KMS refuses.
        AttestationRefused: KMS, or this deployment's own policy, does not let this place in.
        IntegrityError: a sealed key was altered, or belongs to another key of KMS.
        TemporaryError: KMS cannot answer now.
    """
    kms = open_client("kms")
    if settings.sealed_signing_keys:
        # Imported here: a promoter without attestation loads nothing of it.
        from mnist_tasks.promotion.attested import enter

        return enter(settings, environment, kms)
    _check_is_meant(environment)
    believed = trusted_keys(kms, [settings.signing_key, *settings.earlier_signing_keys])
    return Authority(KmsSigner(kms, settings.signing_key), believed, kms)


def _check_is_meant(environment: Mapping[str, str]) -> None:
    half = sorted(name for name, value in environment.items() if name.startswith(ATTESTATION_PREFIX) and value)
    if half:
        raise ConfigurationError(
            f"{', '.join(half)} ask for attestation, but there is no sealed key that an attested place could sign with",
            mend="set MNIST_SEALING_KEY and MNIST_SEALED_SIGNING_KEYS as well (docs/attestation.md)",
        )
