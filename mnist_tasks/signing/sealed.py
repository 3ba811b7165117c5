"""Signing with a key that was sealed: whoever got it opened, signs without KMS.

KMS's `Sign` asks nobody for an attestation; its `Decrypt` does. So the key of an attested promotion is kept as a
ciphertext, and what signs with it is known to have been let in (docs/attestation.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key

from mnist_tasks.errors import ConfigurationError
from mnist_tasks.signing.keys import ALGORITHM


@dataclass(frozen=True)
class SealedSigner:
    """An opened key on the curve P-256; `identity` is the ARN of the KMS key that it was sealed under."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    identity: str

    @classmethod
    def opened(cls, der: bytes, identity: str) -> Self:
        """The signer whose key is this PKCS #8.

        Raises:
            ConfigurationError: it is something else; nothing of it is told.
        """
        try:
            key = load_der_private_key(der, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not (isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)):
            raise ConfigurationError(
                f"what was sealed under {identity} is no private key on the curve P-256",
                mend="seal one in PKCS #8, DER, as docs/attestation.md shows (A new key)",
            )
        return cls(key, identity)

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """What its signatures are verified with."""
        return self.key.public_key()

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature (DER) of the message's SHA-256, another one each time."""
        return self.key.sign(message, ALGORITHM)
