"""What KMS and the way to it answer on bad days, in the words of our own errors.

The codes: https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKey.html#API_GenerateDataKey_Errors
"""

from __future__ import annotations

from typing import Final

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

from mnist_tasks.errors import ConfigurationError, IntegrityError, MnistError, TemporaryError

# KMS says of the last three that a retry may succeed; throttling has the status 400 there.
_TEMPORARY: Final = {
    "ThrottlingException",
    "Throttling",
    "DependencyTimeoutException",
    "KMSInternalException",
    "KeyUnavailableException",
}
_CURES: Final = {
    "AccessDeniedException": "let the role's own policy and the key's allow the action that this message names "
    "(infra/mnist.yaml); conditions on the encryption context have to hold, too",
    "DisabledException": "enable the key again: aws kms enable-key --key-id <its ARN>",
    "KMSInvalidStateException": "if the key waits for its deletion: aws kms cancel-key-deletion, then enable-key; "
    "what is encrypted under a deleted key is lost",
    "NotFoundException": "set the variable to the stack's output of that name; it may be of another account or region",
    "UnrecognizedClientException": "check the credentials of the role, or AWS_... in the environment",
}


def explained(key: str, error: BotoCoreError | ClientError | OSError) -> MnistError:
    """The error of a request to KMS about `key`, told as one of ours."""
    if isinstance(error, ClientError):
        return _from_client_error(key, error)
    if isinstance(error, NoCredentialsError | ParamValidationError):
        return ConfigurationError(
            f"KMS cannot be asked about {key}: {error}",
            mend="check the Airflow connection aws_default, or AWS_... in the environment (on a laptop: make up)",
        )
    return TemporaryError(
        f"KMS did not answer about {key}: {error}",
        mend="check that the endpoint is right (AWS_ENDPOINT_URL, aws_default) and up (on a laptop: make up; in an "
        "enclave: the parent's vsock proxy)",
    )


def _from_client_error(key: str, error: ClientError) -> MnistError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _TEMPORARY or status >= 500 or status == 429:
        return TemporaryError(f"KMS could not serve {key} now: {error}", mend="run the step again later")
    if code in {"InvalidCiphertextException", "IncorrectKeyException"}:
        return IntegrityError(
            f"KMS does not open what should have been encrypted with {key}: {error}",
            mend="it was altered, or comes from another place: restore its previous version",
        )
    return ConfigurationError(
        f"KMS refused the key {key}: {error}", mend=_CURES.get(code, "see the message of KMS, and the key's policy")
    )
