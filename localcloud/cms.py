"""Encrypts to an attested recipient as AWS KMS does: CMS EnvelopedData in BER with indefinite lengths (RFC 5652).

Measured against the answers of KMS that are published with
https://github.com/aws/aws-nitro-enclaves-sdk-c (tests/kmstool-enclaves/cms_test.c).
"""

from __future__ import annotations

import hashlib
import os

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
_ENVELOPED_DATA = bytes.fromhex("06092a864886f70d010703")
_DATA = bytes.fromhex("06092a864886f70d010701")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")
_RSAES_OAEP = bytes.fromhex("06092a864886f70d010107")
_MGF1 = bytes.fromhex("06092a864886f70d010108")
_SHA_256 = bytes.fromhex("300d06096086480165030402010500")
_VERSION_2 = bytes.fromhex("020102")


def envelope(plaintext: bytes, recipient: rsa.RSAPublicKey) -> bytes:
    """The BER of an EnvelopedData that only the owner of `recipient` can open."""
    key, iv = os.urandom(32), os.urandom(16)
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()
    return assemble(_key_identifier(recipient), recipient.encrypt(key, _OAEP), iv, ciphertext)


def assemble(key_identifier: bytes, encrypted_key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """The structure around these values."""
    oaep = definite(0x30, definite(0xA0, _SHA_256), definite(0xA1, definite(0x30, _MGF1, _SHA_256)))
    recipient = definite(
        0x30,
        _VERSION_2,
        definite(0x80, key_identifier),
        definite(0x30, _RSAES_OAEP, oaep),
        definite(0x04, encrypted_key),
    )
    content = indefinite(
        0x30,
        _DATA,
        definite(0x30, _AES_256_CBC, definite(0x04, iv)),
        indefinite(0xA0, definite(0x04, ciphertext)),
    )
    enveloped = indefinite(0x30, _VERSION_2, definite(0x31, recipient), content)
    return indefinite(0x30, _ENVELOPED_DATA, indefinite(0xA0, enveloped))


def definite(tag: int, *parts: bytes) -> bytes:
    """An element whose length stands before its content."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def indefinite(tag: int, *parts: bytes) -> bytes:
    """An element that ends with an end-of-contents mark."""
    return bytes([tag, 0x80]) + b"".join(parts) + b"\x00\x00"


def _key_identifier(key: rsa.RSAPublicKey) -> bytes:
    # KMS sends 32 bytes and does not say what of; no client looks at them.
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).digest()
