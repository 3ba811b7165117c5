"""A KMS client for libraries that know nothing of attestation, the AWS Encryption SDK among them.

It answers what boto3's answers, as far as the SDK asks for it: data keys and their decryption.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mnist_tasks.attestation.kms import DATA_KEY_BYTES, AttestedKms
from mnist_tasks.errors import ConfigurationError


class AttestedClient:
    """`generate_data_key` and `decrypt` in boto3's words; what others would see of a key, nobody sees.

    The methods raise as those of `AttestedKms` do.
    """

    def __init__(self, kms: AttestedKms) -> None:
        self.meta = kms.client.meta
        self._kms = kms

    def generate_data_key(self, **request: Any) -> dict[str, Any]:
        """As `KMS.Client.generate_data_key` answers it."""
        _check_is_all(request, {"KeyId", "EncryptionContext", "NumberOfBytes"})
        if request["NumberOfBytes"] != DATA_KEY_BYTES:
            raise _unknown(f"a data key of {request['NumberOfBytes']} bytes")
        made = self._kms.generate_data_key(key_id=request["KeyId"], context=request["EncryptionContext"])
        return {"KeyId": request["KeyId"], "Plaintext": made.plaintext, "CiphertextBlob": made.ciphertext}

    def decrypt(self, **request: Any) -> dict[str, Any]:
        """As `KMS.Client.decrypt` answers it."""
        _check_is_all(request, {"KeyId", "EncryptionContext", "CiphertextBlob"})
        key, context = request["KeyId"], request["EncryptionContext"]
        return {"KeyId": key, "Plaintext": self._kms.decrypt(request["CiphertextBlob"], key_id=key, context=context)}


def _check_is_all(request: Mapping[str, Any], known: set[str]) -> None:
    # Nothing that is asked for may be left out silently; an empty list of grant tokens asks for nothing.
    given = {name for name, value in request.items() if value}
    if given != known:
        raise _unknown(f"a request with {', '.join(sorted(given ^ known))} too much or missing")


def _unknown(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"an attested place asks KMS for data keys of {DATA_KEY_BYTES} bytes and for their decryption alone, "
        f"not for {what}",
        mend="let mnist_tasks.encryption ask as it did: with one suite and one key",
    )
