"""Signing with a key that never leaves KMS.

The digest is made here (`MessageType=DIGEST`): a decision may be longer than the 4,096 bytes that KMS takes as RAW, and
what is in it is none of KMS's business. https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html
"""

from __future__ import annotations

import base64
import hashlib
import textwrap
from collections.abc import Iterable, Iterator
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
            answer = self.client.sign(
                KeyId=self.identity, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256"
            )
        return answer["Signature"]


def trusted_by_kms(client: KMSClient, arns: Iterable[str]) -> TrustedKeys:
    """The public halves of KMS keys, for whom IAM tells which keys may be asked for: the one that promotes.

    A file would be named by his environment, which whoever starts him can set.

    Raises:
        TemporaryError: KMS cannot answer now.
        ConfigurationError: there is no such key, it does not sign, or the role may not ask for it.
    """
    blocks = []
    for arn in arns:
        with _explained(client, arn):
            der = client.get_public_key(KeyId=arn)["PublicKey"]
        lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
        blocks.append(f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n")
    return TrustedKeys.from_pem("".join(blocks).encode(), source="KMS")


@contextmanager
def _explained(client: KMSClient, arn: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _from_client_error(arn, error) from error
    except (NoCredentialsError, ParamValidationError) as error:
        raise _misconfigured(arn, str(error)) from error
    except (BotoCoreError, OSError) as error:
        raise TemporaryError(
            f"KMS did not answer at {client.meta.endpoint_url} for {arn}: {error}", mend="run the step again"
        ) from error


def _from_client_error(arn: str, error: ClientError) -> MnistError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500 or status == 429 or code in _TEMPORARY:
        return TemporaryError(f"KMS could not sign with {arn} now: {error}", mend="run the step again")
    return _misconfigured(arn, str(error))


def _misconfigured(arn: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"KMS does not sign with {arn}: {why}",
        mend="MNIST_SIGNING_KEY has to be the output SigningKey of infra/mnist.yaml, and the role that promotes "
        "has to be allowed kms:Sign and kms:GetPublicKey on it",
    )
