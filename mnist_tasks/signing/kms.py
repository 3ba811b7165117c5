"""Signing with a key that never leaves KMS.

The digest is made here (`MessageType=DIGEST`): a decision may be longer than the 4,096 bytes that KMS takes as RAW, and
what is in it is none of KMS's business. https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from mnist_tasks.kms import explained
from mnist_tasks.signing.keys import TrustedKeys

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


class Signer(Protocol):
    """Whoever can sign. `identity` is a name for records and people, and no proof of anything."""

    @property
    def identity(self) -> str:
        """Who signs."""
        ...

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature (DER, on P-256) of the message's SHA-256."""
        ...


def trusted_keys(client: KMSClient, key_ids: Sequence[str]) -> TrustedKeys:
    """The public halves of KMS keys, for the one who signs: asked of KMS, he needs no file that could be exchanged.

    Raises:
        TemporaryError: KMS cannot answer now.
        ConfigurationError: there is no such key, it is not one on P-256, or the role may not ask for it.
    """
    blocks = []
    for key_id in key_ids:
        with _explained(key_id):
            der = client.get_public_key(KeyId=key_id)["PublicKey"]
        blocks.append(b"-----BEGIN PUBLIC KEY-----\n%b\n-----END PUBLIC KEY-----\n" % base64.b64encode(der))
    return TrustedKeys.from_pem(b"".join(blocks), source="KMS")


@dataclass(frozen=True)
class KmsSigner:
    """A KMS key of the spec ECC_NIST_P256 for SIGN_VERIFY; `identity` is its ARN.

    Args:
        client: a KMS client that the caller configured (endpoint, credentials, retries).
        identity: the key's ARN.
    """

    client: KMSClient
    identity: str

    def sign(self, message: bytes) -> bytes:
        """One request to KMS; the same message has another signature each time.

        Raises:
            TemporaryError: KMS cannot answer now.
            ConfigurationError: there is no such key, it cannot sign like this, or the role may not use it.
        """
        digest = hashlib.sha256(message).digest()
        with _explained(self.identity):
            return self.client.sign(
                KeyId=self.identity, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256"
            )["Signature"]


@contextmanager
def _explained(key_id: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError, OSError) as error:
        raise explained(key_id, error) from error
