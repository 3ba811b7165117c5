"""Encryption of weights and resume states before they leave the process, each bound to the place it belongs to.

The AWS Encryption SDK (message format 2) makes a data key of its own for each object, which KMS wraps. Whatever it is
that was done to a ciphertext, `decrypt` returns what `encrypt` was given for that very place, or raises.

- The suite commits to its key (one ciphertext never opens to two plaintexts) and signs. Without the signature,
  everybody who may decrypt could replace the content: he has the data key in his hands. So who may encrypt (the
  trainer, the promoter) stays apart from who may only read.
- `Binding` is the encryption context. Policies can use its names: `kms:EncryptionContext:purpose` and so on. The SDK
  adds `aws-crypto-public-key`, which policies that list the allowed names (`kms:EncryptionContextKeys`) have to allow.
- A key is named by its ARN, never by an alias: the ciphertext carries the ARN of the key that it needs, and only that
  one is tried. Whoever may repoint an alias could otherwise exchange the key.

https://docs.aws.amazon.com/encryption-sdk/latest/developer-guide/concepts.html
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from mnist_tasks import kms
from mnist_tasks.errors import ConfigurationError, IntegrityError, MnistError

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

Purpose = Literal["weights", "final", "resume"]

# The SDK's own 4 KiB would make 400 frames of a resume state and double its price.
_FRAME_BYTES: Final = 2**16
_PUBLIC_KEY: Final = "aws-crypto-public-key"


@dataclass(frozen=True)
class Binding:
    """Where a ciphertext belongs: it opens there, and nowhere else.

    `candidate` is the candidate's name for a final as well. Nothing of this is secret: it stands in the ciphertext and
    in CloudTrail, readable for whoever may read those.
    """

    bucket: str
    key: str
    run: str
    candidate: str
    purpose: Purpose


@dataclass(frozen=True)
class Encryption:
    """Encrypts and decrypts with two keys: one for candidates and resume states, one for finals.

    Args:
        client: a KMS client that the caller configured (endpoint, credentials, retries); in an attested place
            `attestation.AttestedClient`.
        checkpoint_key: ARN of the key for candidates' weights and resume states.
        final_key: ARN of the key for finals. Either may be empty where it is not needed.
    """

    client: KMSClient
    checkpoint_key: str = ""
    final_key: str = ""

    def encrypt(self, plaintext: bytes, binding: Binding) -> bytes:
        """A ciphertext, another one at each call.

        Raises:
            ConfigurationError: KMS refuses the key to this role, or there is no such key.
            TemporaryError: KMS does not answer, or not now.
        """
        key, sdk = self._key_for(binding.purpose), _sdk()
        with _asking(self.client, key) as client:
            ciphertext: bytes = sdk.client.encrypt(
                source=plaintext,
                keyring=sdk.keyring(client, key),
                encryption_context=asdict(binding),
                algorithm=sdk.suite,
                frame_length=_FRAME_BYTES,
            )[0]
        return ciphertext

    def decrypt(self, ciphertext: bytes, binding: Binding) -> bytes:
        """What was encrypted for this binding.

        Raises:
            IntegrityError: it is not a whole and unaltered ciphertext of `encrypt` for this binding under this key.
            ConfigurationError: KMS refuses the key to this role, or there is no such key.
            TemporaryError: KMS does not answer, or not now.
        """
        key, sdk = self._key_for(binding.purpose), _sdk()
        try:
            with _asking(self.client, key) as client:
                return _read(sdk, sdk.keyring(client, key), ciphertext, asdict(binding))
        except IntegrityError as error:
            raise IntegrityError(
                f"s3://{binding.bucket}/{binding.key} does not hold what was encrypted for it as {binding.purpose} of "
                f"{binding.candidate} in run {binding.run} under {key} ({len(ciphertext):,} bytes): {error.problem}",
                mend="it was changed or moved: restore its previous version in S3, or leave what it belongs to out",
            ) from error

    def _key_for(self, purpose: Purpose) -> str:
        name, key = ("FINAL", self.final_key) if purpose == "final" else ("CHECKPOINT", self.checkpoint_key)
        if not key:
            raise ConfigurationError(
                f"no KMS key is configured for purpose {purpose}",
                mend=f"set MNIST_{name}_KEY to the ARN among the outputs of infra/mnist.yaml (on a laptop: make up)",
            )
        return key


@dataclass(frozen=True)
class _Sdk:
    """The parts of the AWS Encryption SDK that are used."""

    client: Any
    suite: Any
    keyring: Callable[[_Witness, str], Any]


@cache
def _sdk() -> _Sdk:
    """Imported at the first use: it takes 0.3 s and 40 MB, and most commands and steps need no weights."""
    from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
    from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
    from aws_cryptographic_material_providers.mpl.models import CreateAwsKmsKeyringInput
    from aws_encryption_sdk import Algorithm, CommitmentPolicy, EncryptionSDKClient

    providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    return _Sdk(
        client=EncryptionSDKClient(
            commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, max_encrypted_data_keys=1
        ),
        suite=Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
        keyring=lambda client, key: providers.create_aws_kms_keyring(
            CreateAwsKmsKeyringInput(kms_key_id=key, kms_client=client)
        ),
    )


def _read(sdk: _Sdk, keyring: Any, ciphertext: bytes, context: dict[str, str]) -> bytes:
    source = io.BytesIO(ciphertext)
    try:
        message = sdk.client.stream(mode="decrypt", source=source, keyring=keyring, encryption_context=context)
        # Not `with message`: after an error, that logs another one, with its traceback.
        plaintext: bytes = message.read()
        rest = source.read(1)
        message.close()
    except Exception as error:
        # Anything may come of bytes that somebody has chosen: besides the SDK's own errors those of `struct`,
        # `cryptography`, text encodings and numbers.
        raise IntegrityError(" ".join(str(error).split()) or type(error).__name__) from error
    _check_header(sdk, message.header, context)
    # The SDK stops at the message's end and does not mind what follows.
    if rest:
        raise IntegrityError("bytes were appended to it")
    return plaintext


def _check_header(sdk: _Sdk, header: Any, context: dict[str, str]) -> None:
    if header.algorithm.name != sdk.suite.name:
        raise IntegrityError(f"its suite is {header.algorithm.name}, expected {sdk.suite.name}")
    # The SDK compares the expected names only; a context with more of them was not made by `encrypt`.
    found = {name: value for name, value in header.encryption_context.items() if name != _PUBLIC_KEY}
    if found != context:
        raise IntegrityError(f"its encryption context is {found}, expected {context}")


class _Witness:
    """Passes the SDK's requests on to KMS, and keeps the error that one ends in: the SDK loses its code."""

    def __init__(self, client: KMSClient) -> None:
        self.meta = client.meta
        self.error: BotoCoreError | ClientError | OSError | MnistError | None = None
        self._client = client

    def generate_data_key(self, **request: Any) -> Any:
        return self._witnessed(self._client.generate_data_key, request)

    def decrypt(self, **request: Any) -> Any:
        return self._witnessed(self._client.decrypt, request)

    def _witnessed(self, operation: Callable[..., Any], request: dict[str, Any]) -> Any:
        try:
            return operation(**request)
        except (BotoCoreError, ClientError, OSError, MnistError) as error:
            self.error = error
            raise


@contextmanager
def _asking(client: KMSClient, key: str) -> Iterator[_Witness]:
    """A client for the SDK; if KMS is why the SDK fails, the error is what KMS said."""
    witness = _Witness(client)
    try:
        yield witness
    except Exception:
        # An attested client speaks in our own words already.
        if isinstance(witness.error, MnistError):
            raise witness.error from None
        if witness.error:
            raise kms.explained(key, witness.error) from witness.error
        raise
