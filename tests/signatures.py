"""Signed content for tests: signers whose key is in memory, and a look into envelopes that believes everything."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.promotion.statement import PAYLOAD_TYPE, sign
from mnist_tasks.signing import TrustedKeys, seal


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class SoftwareSigner:
    """Signs as KMS does, with a key of its own."""

    identity: str = "a key in memory"
    key: ec.EllipticCurvePrivateKey = field(default_factory=_new_key, repr=False)

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message, ec.ECDSA(SHA256()))

    @property
    def pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def keys(self) -> TrustedKeys:
        """Trusts this one alone."""
        return TrustedKeys.from_pem(self.pem, source="memory")

    def seal(self, payload: bytes) -> bytes:
        """Anything at all, signed as if it were a Statement."""
        return seal(payload, PAYLOAD_TYPE, signer=self, keys=self.keys)

    def decision(self, decision: Decision) -> bytes:
        """A record that only those believe who trust this key."""
        return sign(decision, signer=self, keys=self.keys)


def payload(body: bytes) -> bytes:
    """What an envelope says, whoever has signed it."""
    return base64.b64decode(json.loads(body)["payload"])


def decision_in(body: bytes) -> dict[str, Any]:
    """The decision of a record, whoever has signed it."""
    decision: dict[str, Any] = json.loads(payload(body))["predicate"]["decision"]
    return decision


def opened(contents: dict[str, bytes]) -> dict[str, bytes]:
    """Records by what they say: no two signatures of the same are alike."""
    return {key: payload(body) if b'"payloadType"' in body else body for key, body in contents.items()}
