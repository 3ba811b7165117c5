"""Whose signatures are believed: public keys from a PEM file that did not come from the bucket.

A key that lay beside what it verifies would be exchanged together with it. So the file is shipped with the deployment;
it holds several keys while one takes the place of another, and for as long as records of an old one are read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from mnist_tasks.errors import ConfigurationError

_ALGORITHM: Final = ec.ECDSA(SHA256())
_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
_MEND = (
    "let it hold public keys of type ECC_NIST_P256, as `aws kms get-public-key` gives them and docs/signing.md shows, "
    "and nothing else"
)


@dataclass(frozen=True)
class TrustedKeys:
    """Public keys on the curve P-256 by their ids; `source` says where they came from."""

    keys: Mapping[str, ec.EllipticCurvePublicKey]
    source: str

    @classmethod
    def from_file(cls, path: str) -> Self:
        """Read the PEM file that `MNIST_SIGNING_KEYS` names.

        Raises:
            ConfigurationError: no file is named, it cannot be read, or it holds anything but public keys on P-256.
        """
        if not path:
            raise ConfigurationError(
                "no public key to verify signed decisions with: MNIST_SIGNING_KEYS is not set",
                mend="set it to the PEM file with the deployment's public key (on a laptop: make up writes it)",
            )
        try:
            return cls.from_pem(Path(path).read_bytes(), source=path)
        except OSError as error:
            raise ConfigurationError(
                f"the public keys that signed decisions are verified with cannot be read from {path}: {error.strerror}",
                mend="let MNIST_SIGNING_KEYS name the deployment's PEM file (docs/signing.md says how to get it)",
            ) from error

    @classmethod
    def from_pem(cls, text: bytes, *, source: str) -> Self:
        """One or more `PUBLIC KEY` blocks; what stands between them is comment, as PEM has it.

        Raises:
            ConfigurationError: there is none, or anything but public keys on P-256.
        """
        blocks = [(match[1].decode(), match[0]) for match in _BLOCK.finditer(text)]
        if not blocks:
            raise ConfigurationError(f"{source} holds no PEM block", mend=_MEND)
        keys = [_public_key(kind, block, source) for kind, block in blocks]
        return cls({key_id(key): key for key in keys}, source)

    def signer_of(self, message: bytes, signature: bytes) -> str | None:
        """The id of the key that made an ECDSA signature (DER) of the message's SHA-256; None if it is none of them."""
        return next((keyid for keyid, key in self.keys.items() if _is_signed(key, message, signature)), None)

    def __str__(self) -> str:
        return f"{len(self.keys)} trusted key(s) of {self.source} ({', '.join(self.keys)})"


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """Hexadecimal SHA-256 of the key's SubjectPublicKeyInfo in DER: what KMS's GetPublicKey answers, hashed."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _public_key(kind: str, block: bytes, source: str) -> ec.EllipticCurvePublicKey:
    if kind != "PUBLIC KEY":
        raise ConfigurationError(f"{source} holds a PEM block {kind}, expected PUBLIC KEY", mend=_MEND)
    try:
        key = load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{source} holds a public key that cannot be read: {error}", mend=_MEND) from None
    if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        raise ConfigurationError(f"{source} holds a public key that is not on the curve P-256", mend=_MEND)
    return key


def _is_signed(key: ec.EllipticCurvePublicKey, message: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, message, _ALGORITHM)
    except InvalidSignature:
        return False
    return True
