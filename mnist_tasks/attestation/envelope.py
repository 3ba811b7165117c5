"""`CiphertextForRecipient`: what KMS answers to an attested request, opened with the key of the attested place.

It is CMS EnvelopedData (RFC 5652, section 6) in BER with indefinite lengths: one recipient, known by its
subjectKeyIdentifier; RSAES-OAEP with SHA-256 for the key, AES-256-CBC for the content. Every other form is refused.

Own code because the libraries do not fit: `cryptography` (50) decrypts PKCS#7 in DER, for recipients known by a
certificate, and `asn1crypto` reads BER but leaves most of what has to be checked to its caller.

CBC authenticates nothing: that the answer is KMS's own rests on TLS. Use what comes out with something that notices a
wrong key, as the AWS Encryption SDK does.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from mnist_tasks.attestation.ber import Node, read
from mnist_tasks.errors import AttestationRefused

_INTEGER: Final = 0x02
_OCTETS: Final = 0x04
_OID: Final = 0x06
_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_CONTEXT_0: Final = 0x80
_CONTEXT_0_CONSTRUCTED: Final = 0xA0

_ENVELOPED_DATA: Final = Node(_OID, bytes.fromhex("2a864886f70d010703"))  # 1.2.840.113549.1.7.3
_DATA: Final = Node(_OID, bytes.fromhex("2a864886f70d010701"))  # 1.2.840.113549.1.7.1
_AES_256_CBC: Final = Node(_OID, bytes.fromhex("60864801650304012a"))  # 2.16.840.1.101.3.4.1.42
_VERSION_2: Final = Node(_INTEGER, b"\x02")
# RSAES-OAEP with SHA-256 for the label and for MGF1, no label; the hash's parameters are NULL (KMS) or absent, which
# mean the same (RFC 4055, sections 2.1 and 4.1).
_RSAES_OAEP_SHA_256: Final = (
    read(
        bytes.fromhex(
            "303c06092a864886f70d010107302f"
            "a00f300d06096086480165030402010500"
            "a11c301a06092a864886f70d010108300d06096086480165030402010500"
        )
    ),
    read(
        bytes.fromhex(
            "303806092a864886f70d010107302b"
            "a00d300b0609608648016503040201"
            "a11a301806092a864886f70d010108300b0609608648016503040201"
        )
    ),
)
_OAEP: Final = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
_KEY_BYTES: Final = 32
_BLOCK_BYTES: Final = 16
_MAX_BYTES: Final = 16_384  # KMS encrypts at most 4,096 bytes


def open_envelope(envelope: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """The plaintext that KMS encrypted to `key`.

    Raises:
        AttestationRefused: another form, or not for this key. A wrong key and wrong content give the same message.
    """
    if len(envelope) > _MAX_BYTES:
        raise refused(f"it has {len(envelope):,} bytes, at most {_MAX_BYTES:,} were expected")
    try:
        encrypted_key, iv, ciphertext = _parts(read(envelope))
    except ValueError as error:
        raise refused(str(error)) from None
    try:
        return _decrypt(key.decrypt(encrypted_key, _OAEP), iv, ciphertext)
    except ValueError:
        raise refused("it cannot be decrypted with the key of this document") from None


def refused(why: str) -> AttestationRefused:
    """The refusal of an answer."""
    return AttestationRefused(
        f"KMS's answer for the recipient is refused: {why}",
        mend="check that the endpoint is KMS's own (AWS_ENDPOINT_URL) and that the document carried this key",
    )


def _parts(content_info: Node) -> tuple[bytes, bytes, bytes]:
    """Encrypted key, initialisation vector and ciphertext."""
    content_type, content = content_info.children(_SEQUENCE, 2, "ContentInfo")
    _check(content_type, (_ENVELOPED_DATA,), "the content type")
    (enveloped,) = content.children(_CONTEXT_0_CONSTRUCTED, 1, "content")
    version, recipients, encrypted = enveloped.children(_SEQUENCE, 3, "EnvelopedData")
    _check(version, (_VERSION_2,), "EnvelopedData's version")
    (recipient,) = recipients.children(_SET, 1, "RecipientInfos")
    return _encrypted_key(recipient), *_encrypted_content(encrypted)


def _encrypted_key(recipient: Node) -> bytes:
    version, identifier, algorithm, encrypted_key = recipient.children(_SEQUENCE, 4, "KeyTransRecipientInfo")
    _check(version, (_VERSION_2,), "the recipient's version")
    _check(algorithm, _RSAES_OAEP_SHA_256, "the key's encryption (RSAES-OAEP with SHA-256)")
    # KMS does not document what it makes the identifier of; the document has one key, so nothing hangs on it.
    identifier.octets(_CONTEXT_0, "subjectKeyIdentifier")
    return encrypted_key.octets(_OCTETS, "encryptedKey")


def _encrypted_content(info: Node) -> tuple[bytes, bytes]:
    content_type, algorithm, content = info.children(_SEQUENCE, 3, "EncryptedContentInfo")
    _check(content_type, (_DATA,), "the encrypted content's type")
    cipher, iv = algorithm.children(_SEQUENCE, 2, "contentEncryptionAlgorithm")
    _check(cipher, (_AES_256_CBC,), "the content's encryption (AES-256-CBC)")
    vector = iv.octets(_OCTETS, "the initialisation vector")
    ciphertext = _chunks(content)
    if len(vector) != _BLOCK_BYTES or not ciphertext or len(ciphertext) % _BLOCK_BYTES:
        raise ValueError(
            f"an initialisation vector of {_BLOCK_BYTES} bytes and whole blocks were expected, "
            f"{len(vector)} and {len(ciphertext)} bytes came"
        )
    return vector, ciphertext


def _chunks(content: Node) -> bytes:
    """[0] IMPLICIT OCTET STRING: in one piece, or constructed of pieces."""
    if content.tag == _CONTEXT_0:
        return content.octets(_CONTEXT_0, "encryptedContent")
    pieces = content.children(_CONTEXT_0_CONSTRUCTED, None, "encryptedContent")
    return b"".join(piece.octets(_OCTETS, "a piece of encryptedContent") for piece in pieces)


def _check(came: Node, expected: tuple[Node, ...], what: str) -> None:
    if came not in expected:
        raise ValueError(f"{what} is another than expected")


def _decrypt(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    if len(key) != _KEY_BYTES:
        raise ValueError("not a key of AES-256")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(_BLOCK_BYTES * 8).unpadder()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()
