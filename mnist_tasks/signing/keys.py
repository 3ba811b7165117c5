"""Whose signatures are believed: public keys from a PEM file that did not come from the bucket.

A key that lay beside what it verifies would be exchanged together with it. So the file is shipped with the deployment;
it holds several keys while one takes the place of another, and for as long as records of an old one are read.

A line `attested: AWS Nitro` before a key says that it signs in an attested place alone: what it signs has to carry that
evidence. A key without such a line signs without, and evidence in what it signs would prove nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self, get_args

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from mnist_tasks.config import SOFTWARE_LABEL, AttestationLabel
from mnist_tasks.errors import ConfigurationError

ALGORITHM: Final = ec.ECDSA(SHA256())
_BLOCK = re.compile(rb"(.*?)(-----BEGIN ([A-Z ]+)-----.*?-----END \3-----)", re.DOTALL)
_MARK = re.compile(rb"^attested:(.*)$", re.MULTILINE)
_MEND = (
    "let it hold public keys of type ECC_NIST_P256, as `aws kms get-public-key` gives them and docs/signing.md shows, "
    "and nothing else"
)


@dataclass(frozen=True)
class TrustedKeys:
    """Public keys on the curve P-256 by their ids; `source` says where they came from.

    `attested` says of those that sign in an attested place alone, what kind of place that is.
    """

    keys: Mapping[str, ec.EllipticCurvePublicKey]
    source: str
    attested: Mapping[str, AttestationLabel] = field(default_factory=dict)

    @classmethod
    def from_file(cls, path: str, *, production: bool = True) -> Self:
        """Read the PEM file that `MNIST_SIGNING_KEYS` names.

        Raises:
            ConfigurationError: no file is named, it cannot be read, it holds anything but public keys on P-256, or, in
                production, a key whose attestation is software's.
        """
        if not path:
            raise ConfigurationError(
                "no public key to verify signed decisions with: MNIST_SIGNING_KEYS is not set",
                mend="set it to the PEM file with the deployment's public key (on a laptop: make up writes it)",
            )
        try:
            keys = cls.from_pem(Path(path).read_bytes(), source=path)
        except OSError as error:
            raise ConfigurationError(
                f"the public keys that signed decisions are verified with cannot be read from {path}: {error.strerror}",
                mend="let MNIST_SIGNING_KEYS name the deployment's PEM file (docs/signing.md says how to get it)",
            ) from error
        if production and SOFTWARE_LABEL in keys.attested.values():
            raise ConfigurationError(
                f"{path} holds a key of a promoter with {SOFTWARE_LABEL}, which production does not believe",
                mend="take it out; development sets MNIST_ATTESTATION_PRODUCTION=false",
            )
        return keys

    @classmethod
    def from_pem(cls, text: bytes, *, source: str) -> Self:
        """One or more `PUBLIC KEY` blocks; what stands between them is comment, as PEM has it, but for `attested:`.

        Raises:
            ConfigurationError: there is none, or anything but public keys on P-256, or an unknown kind of attestation.
        """
        blocks = [(match[1], match[2], match[3].decode()) for match in _BLOCK.finditer(text)]
        if not blocks:
            raise ConfigurationError(f"{source} holds no PEM block", mend=_MEND)
        keys, attested = {}, {}
        for before, block, kind in blocks:
            key = _public_key(kind, block, source)
            keys[key_id(key)] = key
            if label := _label(before, source):
                attested[key_id(key)] = label
        return cls(keys, source, attested)

    def with_attested(self, keys: Iterable[ec.EllipticCurvePublicKey], label: AttestationLabel) -> Self:
        """These and some that sign in such an attested place alone."""
        more = {key_id(key): key for key in keys}
        return replace(self, keys={**self.keys, **more}, attested={**self.attested, **dict.fromkeys(more, label)})

    def signer_of(self, message: bytes, signature: bytes) -> str | None:
        """The id of the key that made an ECDSA signature (DER) of the message's SHA-256; None if it is none of them."""
        return next((keyid for keyid, key in self.keys.items() if _is_signed(key, message, signature)), None)

    def __str__(self) -> str:
        return f"{len(self.keys)} trusted key(s) of {self.source} ({', '.join(self.keys)})"


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """Hexadecimal SHA-256 of the key's SubjectPublicKeyInfo in DER: what KMS's GetPublicKey answers, hashed."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _label(before: bytes, source: str) -> AttestationLabel | None:
    marks = [mark.strip().decode(errors="replace") for mark in _MARK.findall(before)]
    labels = [label for label in get_args(AttestationLabel) if label in marks]
    if len(labels) != len(marks) or len(marks) > 1:
        raise ConfigurationError(
            f"{source} says before a key: attested: {', '.join(marks):.80}",
            mend=f"say one of {', '.join(get_args(AttestationLabel))}, or nothing",
        )
    return labels[0] if labels else None


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
        key.verify(signature, message, ALGORITHM)
    except InvalidSignature:
        return False
    return True
