"""What is in the ciphertexts of a bucket, for tests that compare what two tries have left behind.

No two ciphertexts of the same bytes are the same. What has to be the same is what they hold and what they are bound to.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict

from mnist_tasks.encryption import Binding, Encryption
from mnist_tasks.storage import sha256_of


def is_ciphertext(key: str) -> bool:
    """Whether what the layout puts at this key is encrypted."""
    return key.endswith("/weights") or "/resume/" in key


def binding_of(ciphertext: bytes) -> Binding:
    """What it says that it is bound to."""
    from aws_encryption_sdk.internal.formatting.deserialize import deserialize_header

    header, _ = deserialize_header(io.BytesIO(ciphertext))
    context = {name: value for name, value in header.encryption_context.items() if name != "aws-crypto-public-key"}
    return Binding(**context)


def opened(encryption: Encryption, ciphertext: bytes) -> bytes:
    """What it is bound to and what it holds, in bytes that two tries can be compared by."""
    binding = binding_of(ciphertext)
    return repr(sorted(asdict(binding).items())).encode() + b"\n" + encryption.decrypt(ciphertext, binding)


def all_opened(encryption: Encryption, objects: Mapping[str, bytes]) -> dict[str, bytes]:
    """The objects of a bucket with their ciphertexts opened, and with the key of one wherever its SHA-256 stands."""
    hashes = {sha256_of(body).encode(): key.encode() for key, body in objects.items() if is_ciphertext(key)}
    return {key: _opened(encryption, key, body, hashes) for key, body in objects.items()}


def _opened(encryption: Encryption, key: str, body: bytes, hashes: Mapping[bytes, bytes]) -> bytes:
    if is_ciphertext(key):
        return opened(encryption, body)
    for digest, name in hashes.items():
        body = body.replace(digest, name)
    return body
