"""The authority of an attested promoter: every key that it uses, KMS opens for a place with a believed document alone.

The evidence in its records is of the document with which KMS has opened the key that signs them. CloudTrail's entry of
that request names the same module and image. Whoever may set the task's variables can name another policy and another
source of documents here; KMS believes neither, and the key stays shut.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import mnist_tasks
from mnist_tasks.attestation import (
    AttestationPolicy,
    Attested,
    AttestedClient,
    AttestedKms,
    DocumentSource,
    document_source,
    measure,
    verify,
)
from mnist_tasks.config import PromoterSettings
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.promotion.authority import Authority
from mnist_tasks.promotion.records import Attestation
from mnist_tasks.signing import SealedSigner, TrustedKeys, trusted_keys

# What a signing key is sealed with, so that nothing else under the same KMS key can be taken for one.
SEALING_CONTEXT: Final[Mapping[str, str]] = {"purpose": "promotion-signing"}


def software_pcrs() -> dict[int, bytes]:
    """What software attestation claims to have measured: the source of this package in the place of an image."""
    return {0: measure(Path(mnist_tasks.__file__).parent.rglob("*.py"))}


def enter(settings: PromoterSettings, environment: Mapping[str, str], kms: Any) -> Authority:
    """Have KMS open the sealed keys. Raises as `authority.open_authority` does."""
    policy = AttestationPolicy.from_environment(environment)
    pcrs = software_pcrs() if policy.software_folder else None
    source = _Believed(document_source(policy, software_pcrs=pcrs), policy)
    attested_kms = AttestedKms(kms, source)

    def opened(sealed: str) -> SealedSigner:
        der = attested_kms.decrypt(_ciphertext(sealed), key_id=settings.sealing_key, context=SEALING_CONTEXT)
        return SealedSigner.opened(der, settings.sealing_key)

    signer = opened(settings.sealed_signing_keys[0])
    attestation = Attestation.model_validate(source.newest.record())
    sealed = [signer, *map(opened, settings.sealed_signing_keys[1:])]
    in_kms = settings.earlier_signing_keys
    believed = trusted_keys(kms, in_kms) if in_kms else TrustedKeys({}, "KMS")
    return Authority(
        signer,
        believed.with_attested([one.public_key for one in sealed], attestation.label),
        AttestedClient(attested_kms),
        attestation,
    )


class _Believed:
    """A source whose documents go nowhere before they pass this deployment's own policy; `newest` is the last one."""

    newest: Attested

    def __init__(self, source: DocumentSource, policy: AttestationPolicy) -> None:
        self._source = source
        self._policy = policy

    def attest(self, *, public_key: bytes, nonce: bytes | None = None, user_data: bytes | None = None) -> bytes:
        document = self._source.attest(public_key=public_key, nonce=nonce, user_data=user_data)
        self.newest = verify(document, self._policy, now=datetime.now(UTC), public_key=public_key)
        return document


def _ciphertext(sealed: str) -> bytes:
    try:
        return base64.b64decode(sealed, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(
            f"MNIST_SEALED_SIGNING_KEYS holds {sealed!r:.40}, which is not base64",
            mend="put in what `aws kms encrypt ... --query CiphertextBlob --output text` prints, between commas",
        ) from None
