"""KMS for an attested place: answers that only this process can read, or no answer.

Every request carries a document (`Recipient`) with the public half of a key that never leaves this object. KMS then
answers with `CiphertextForRecipient` and without plaintext:
https://docs.aws.amazon.com/kms/latest/developerguide/attested-calls.html

An endpoint that does not know `Recipient` ignores it and sends the plaintext, and everything would seem to work. So
plaintext in an answer is a refusal here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mnist_tasks.attestation.envelope import open_envelope, refused
from mnist_tasks.attestation.source import DocumentSource
from mnist_tasks.errors import AttestationRefused
from mnist_tasks.kms import explained

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

DATA_KEY_BYTES: Final = 32
# What KMS answers to a document that it does not believe is not documented; it validates its other parameters, too.
_REFUSED: Final = {"AccessDeniedException", "ValidationException"}


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class DataKey:
    """A new key of 32 bytes, and the same encrypted under the KMS key."""

    plaintext: bytes = field(repr=False)
    ciphertext: bytes


@dataclass(frozen=True)
class AttestedKms:
    """The two requests of KMS whose answers an attested place needs.

    Args:
        client: a KMS client that the caller configured (endpoint, credentials, retries).
        source: makes the document of each request.
    """

    client: KMSClient
    source: DocumentSource
    _key: rsa.RSAPrivateKey = field(default_factory=_new_key, init=False, repr=False)

    def decrypt(self, ciphertext: bytes, *, key_id: str, context: Mapping[str, str]) -> bytes:
        """What was encrypted under the KMS key with this encryption context.

        Args:
            ciphertext: a `CiphertextBlob` of KMS.
            key_id: the ARN of the only key that may have encrypted it.
            context: the encryption context, exactly as it was given.

        Raises:
            AttestationRefused: KMS refuses the document or its measurements, or the answer is not sealed.
            IntegrityError: the ciphertext was altered, or belongs to another key or context.
            TemporaryError: KMS cannot answer now.
            ConfigurationError: KMS cannot be asked like this.
        """
        with _explained(key_id):
            answer = self.client.decrypt(
                CiphertextBlob=ciphertext, KeyId=key_id, EncryptionContext=dict(context), Recipient=self._recipient()
            )
        return self._opened(answer, key_id)

    def generate_data_key(self, *, key_id: str, context: Mapping[str, str]) -> DataKey:
        """A new data key, AES-256, bound to the encryption context. Raises as `decrypt` does."""
        with _explained(key_id):
            answer = self.client.generate_data_key(
                KeyId=key_id, KeySpec="AES_256", EncryptionContext=dict(context), Recipient=self._recipient()
            )
        key = DataKey(self._opened(answer, key_id), answer.get("CiphertextBlob", b""))
        if len(key.plaintext) != DATA_KEY_BYTES or not key.ciphertext:
            raise refused(
                f"a data key of {DATA_KEY_BYTES} bytes and its ciphertext were expected, {len(key.plaintext)} and "
                f"{len(key.ciphertext)} bytes came"
            )
        return key

    def _recipient(self) -> Any:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public_key = self._key.public_key().public_bytes(serialization.Encoding.DER, form)
        return {
            "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
            "AttestationDocument": self.source.attest(public_key=public_key),
        }

    def _opened(self, answer: Mapping[str, Any], key_id: str) -> bytes:
        if answer.get("Plaintext"):
            raise refused("it carries the plaintext, so this endpoint ignores Recipient and anybody could have asked")
        if answer.get("KeyId") != key_id:
            raise refused(f"it was made with the key {answer.get('KeyId')!r:.120}, {key_id} was expected")
        envelope = answer.get("CiphertextForRecipient")
        if not envelope:
            raise refused("it has no CiphertextForRecipient")
        return open_envelope(envelope, self._key)


@contextmanager
def _explained(key_id: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError, OSError) as error:
        code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
        if code in _REFUSED:
            raise AttestationRefused(
                f"KMS refuses this place the key {key_id}: {error}",
                mend="compare the measurements of the image with the key policy's kms:RecipientAttestation conditions, "
                "and the role with its principals (docs/attestation.md); a software document is for the local front "
                "alone",
            ) from error
        raise explained(key_id, error) from error
