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
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

from mnist_tasks.errors import ConfigurationError, MnistError, TemporaryError
from mnist_tasks.signing.keys import TrustedKeys

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

_TEMPORARY: Final = {"KMSInternalException", "DependencyTimeoutException", "ThrottlingException", "Throttling"}


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
        with _explained(client, key_id):
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
        with _explained(self.client, self.identity):
            return self.client.sign(
                KeyId=self.identity, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256"
            )["Signature"]


@contextmanager
def _explained(client: KMSClient, key_id: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _from_client_error(key_id, error) from error
    except (NoCredentialsError, ParamValidationError) as error:
        raise _misconfigured(key_id, str(error)) from error
    except (BotoCoreError, OSError) as error:
        raise TemporaryError(
            f"KMS did not answer at {client.meta.endpoint_url} for {key_id}: {error}", mend="run the step again"
        ) from error


def _from_client_error(key_id: str, error: ClientError) -> MnistError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500 or status == 429 or code in _TEMPORARY:
        return TemporaryError(f"KMS could not use {key_id} now: {error}", mend="run the step again")
    return _misconfigured(key_id, str(error))


def _misconfigured(key_id: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"KMS does not let us use the signing key {key_id}: {why}",
        mend="MNIST_SIGNING_KEY has to be the output SigningKey of infra/mnist.yaml, and the role that promotes has to "
        "be allowed kms:Sign and kms:GetPublicKey on it",
    )
