"""Signing with a key that never leaves KMS.

The digest is made here (`MessageType=DIGEST`): a decision may be longer than the 4,096 bytes that KMS takes as RAW, and
what is in it is none of KMS's business. https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

from mnist_tasks.errors import ConfigurationError, MnistError, TemporaryError

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
        try:
            answer = self.client.sign(
                KeyId=self.identity, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256"
            )
        except ClientError as error:
            raise self._from_client_error(error) from error
        except (NoCredentialsError, ParamValidationError) as error:
            raise self._misconfigured(str(error)) from error
        except (BotoCoreError, OSError) as error:
            endpoint = self.client.meta.endpoint_url
            raise TemporaryError(
                f"KMS did not answer at {endpoint} for {self.identity}: {error}", mend="run the step again"
            ) from error
        return answer["Signature"]

    def _from_client_error(self, error: ClientError) -> MnistError:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= 500 or status == 429 or code in _TEMPORARY:
            return TemporaryError(f"KMS could not sign with {self.identity} now: {error}", mend="run the step again")
        return self._misconfigured(str(error))

    def _misconfigured(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"KMS does not sign with {self.identity}: {why}",
            mend="MNIST_SIGNING_KEY has to be the output SigningKey of infra/mnist.yaml, and the role that promotes "
            "has to be allowed kms:Sign on it",
        )
