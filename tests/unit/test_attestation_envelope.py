"""`CiphertextForRecipient` opens in the form that KMS sends, and in no other."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from localcloud.cms import assemble, definite, envelope, indefinite
from mnist_tasks.attestation import open_envelope
from mnist_tasks.attestation.ber import Node, read
from mnist_tasks.errors import AttestationRefused
from tests.forged_documents import rsa_key

KEY = rsa_key()
SECRET = b"a data key of exactly 32 bytes.."
IV = bytes(range(16))
CONTENT_KEY = b"k" * 32
OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
WRAPPED = KEY.public_key().encrypt(CONTENT_KEY, OAEP)


def cbc(padded: bytes, key: bytes = CONTENT_KEY) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CBC(IV)).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


CIPHERTEXT = cbc(SECRET + bytes([16]) * 16)
GOOD = assemble(b"i" * 32, WRAPPED, IV, CIPHERTEXT)


def swapped(old: bytes, new: bytes) -> bytes:
    """GOOD with one part replaced, where the lengths around it are indefinite."""
    assert GOOD.count(old) == 1, old.hex()
    return GOOD.replace(old, new)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 32, 4096])
def test_what_was_encrypted_comes_out(size):
    assert open_envelope(envelope(b"x" * size, KEY.public_key()), KEY) == b"x" * size


@pytest.mark.parametrize(
    "content",
    [
        definite(0x80, CIPHERTEXT),
        definite(0xA0, definite(0x04, CIPHERTEXT)),
        indefinite(0xA0, *(definite(0x04, CIPHERTEXT[at : at + 16]) for at in range(0, 48, 16))),
    ],
    ids=["in one piece", "definite", "in three pieces"],
)
def test_the_content_may_come_in_pieces(content):
    assert open_envelope(swapped(indefinite(0xA0, definite(0x04, CIPHERTEXT)), content), KEY) == SECRET


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine to make envelopes with")
@pytest.mark.parametrize("form", [[], ["-indef"], ["-stream"]])
def test_what_openssl_encrypts_opens(form, tmp_path):
    key = tmp_path / "key.pem"
    key.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate = ["openssl", "req", "-x509", "-new", "-key", str(key), "-subj", "/CN=enclave", "-out"]
    subprocess.run([*certificate, str(tmp_path / "certificate.pem")], check=True, capture_output=True)
    encrypt = ["openssl", "cms", "-encrypt", "-binary", "-aes-256-cbc", "-keyid", "-outform", "DER", *form]
    encrypt += ["-recip", str(tmp_path / "certificate.pem"), "-keyopt", "rsa_padding_mode:oaep"]
    encrypt += ["-keyopt", "rsa_oaep_md:sha256", "-keyopt", "rsa_mgf1_md:sha256"]

    made = subprocess.run(encrypt, input=SECRET, check=True, capture_output=True).stdout

    assert open_envelope(made, KEY) == SECRET


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine to open envelopes with")
def test_openssl_opens_what_the_local_kms_front_encrypts(tmp_path):
    key = tmp_path / "key.pem"
    key.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    decrypt = ["openssl", "cms", "-decrypt", "-inform", "DER", "-inkey", str(key)]

    opened = subprocess.run(decrypt, input=envelope(SECRET, KEY.public_key()), check=True, capture_output=True)

    assert opened.stdout == SECRET


SHA_256 = bytes.fromhex("300d06096086480165030402010500")
SHA_1 = bytes.fromhex("300706052b0e03021a0500")
MGF1 = bytes.fromhex("06092a864886f70d010108")
OAEP_HASHES = definite(0x30, definite(0xA0, SHA_256), definite(0xA1, definite(0x30, MGF1, SHA_256)))


def with_recipient(*parts: bytes, count: int = 1) -> bytes:
    """GOOD with other recipients, each of these parts."""
    start = GOOD.index(b"\x31\x82")
    size = 4 + int.from_bytes(GOOD[start + 2 : start + 4])
    return GOOD[:start] + definite(0x31, *[definite(0x30, *parts)] * count) + GOOD[start + size :]


VERSION = bytes.fromhex("020102")
IDENTIFIER = definite(0x80, b"i" * 32)
ALGORITHM = definite(0x30, bytes.fromhex("06092a864886f70d010107"), OAEP_HASHES)
ENCRYPTED_KEY = definite(0x04, WRAPPED)


def test_the_parts_of_this_test_make_the_whole():
    assert with_recipient(VERSION, IDENTIFIER, ALGORITHM, ENCRYPTED_KEY) == GOOD


FORMS: dict[str, bytes] = {
    "is empty": b"",
    "is text": b"CiphertextForRecipient",
    "is followed by a byte": GOOD + b"\x00",
    "is cut off": GOOD[:-1],
    "lacks its end marks": GOOD[:-10],
    "is too large": GOOD + bytes(16_384),
    "is SignedData": swapped(bytes.fromhex("2a864886f70d010703"), bytes.fromhex("2a864886f70d010702")),
    "is EncryptedData": swapped(bytes.fromhex("2a864886f70d010703"), bytes.fromhex("2a864886f70d010706")),
    "encrypts something else than data": swapped(
        bytes.fromhex("2a864886f70d010701") + b"\x30", bytes.fromhex("2a864886f70d010702") + b"\x30"
    ),
    "is of version 0": swapped(bytes.fromhex("020102318201"), bytes.fromhex("020100318201")),
    "encrypts with AES-128-CBC": swapped(bytes.fromhex("60864801650304012a"), bytes.fromhex("608648016503040102")),
    "encrypts with AES-256-GCM": swapped(bytes.fromhex("60864801650304012a"), bytes.fromhex("60864801650304012e")),
    "has an initialisation vector of 8 bytes": swapped(
        definite(0x30, bytes.fromhex("060960864801650304012a"), definite(0x04, IV)),
        definite(0x30, bytes.fromhex("060960864801650304012a"), definite(0x04, IV[:8])),
    ),
    "has unprotected attributes": swapped(b"\x00" * 10, b"\x00" * 4 + definite(0xA1) + b"\x00" * 6),
    "has no content": swapped(indefinite(0xA0, definite(0x04, CIPHERTEXT)), b""),
    "has empty content": swapped(definite(0x04, CIPHERTEXT), b""),
    "has an empty piece of content": swapped(definite(0x04, CIPHERTEXT), definite(0x04, CIPHERTEXT) + b"\x04\x00"),
    "has content of half a block": swapped(definite(0x04, CIPHERTEXT), definite(0x04, CIPHERTEXT[:-8])),
    "has content that is a text": swapped(definite(0x04, CIPHERTEXT), definite(0x0C, CIPHERTEXT)),
    "has pieces in pieces": swapped(definite(0x04, CIPHERTEXT), indefinite(0x24, definite(0x04, CIPHERTEXT))),
    "has a length that is not the shortest": swapped(b"\x04\x10" + IV, b"\x04\x81\x10" + IV),
    "has a length of nine bytes": swapped(b"\x04\x10" + IV, b"\x04\x89" + bytes(8) + b"\x10" + IV),
    "has a primitive of indefinite length": swapped(b"\x04\x10" + IV, b"\x04\x80" + IV + b"\x00\x00"),
    "has a tag of more than one byte": swapped(b"\x04\x10" + IV, b"\x1f\x04\x10" + IV),
    "has no recipient": with_recipient(count=0),
    "has two recipients": with_recipient(VERSION, IDENTIFIER, ALGORITHM, ENCRYPTED_KEY, count=2),
    "has a recipient of version 0": with_recipient(bytes.fromhex("020100"), IDENTIFIER, ALGORITHM, ENCRYPTED_KEY),
    "has a recipient known by its certificate": with_recipient(
        VERSION, definite(0x30, definite(0x30), bytes.fromhex("020101")), ALGORITHM, ENCRYPTED_KEY
    ),
    "has a recipient without identifier": with_recipient(VERSION, definite(0x80), ALGORITHM, ENCRYPTED_KEY),
    "has a key in PKCS #1 v1.5": with_recipient(
        VERSION, IDENTIFIER, bytes.fromhex("300d06092a864886f70d0101010500"), ENCRYPTED_KEY
    ),
    "has a key in OAEP with SHA-1": with_recipient(
        VERSION, IDENTIFIER, bytes.fromhex("300d06092a864886f70d0101073000"), ENCRYPTED_KEY
    ),
    "has a key in OAEP with MGF1 of SHA-1": with_recipient(
        VERSION,
        IDENTIFIER,
        definite(
            0x30,
            bytes.fromhex("06092a864886f70d010107"),
            definite(0x30, definite(0xA0, SHA_256), definite(0xA1, definite(0x30, MGF1, SHA_1))),
        ),
        ENCRYPTED_KEY,
    ),
    "has no encrypted key": with_recipient(VERSION, IDENTIFIER, ALGORITHM, definite(0x04)),
    "has something behind the encrypted key": with_recipient(
        VERSION, IDENTIFIER, ALGORITHM, ENCRYPTED_KEY, definite(0x04, b"x")
    ),
    "is nested without end": b"\x30\x80" * 5000,
    "has elements without end": b"\x30\x80" + b"\x04\x00" * 5000,
}


@pytest.mark.parametrize("defect", FORMS)
def test_an_envelope_is_refused_that(defect):
    assert FORMS[defect] != GOOD, "the defect has to be there"

    with pytest.raises(
        AttestationRefused, match=r"KMS's answer for the recipient is refused: (?!it cannot)"
    ) as refusal:
        open_envelope(FORMS[defect], KEY)
    assert "AWS_ENDPOINT_URL" in refusal.value.mend


SECRETS: dict[str, tuple[bytes, bytes]] = {
    "the key is another's": (rsa_key(3072).public_key().encrypt(CONTENT_KEY, OAEP), CIPHERTEXT),
    "the key is no ciphertext": (b"x" * 256, CIPHERTEXT),
    "the key is of AES-128": (
        KEY.public_key().encrypt(CONTENT_KEY[:16], OAEP),
        cbc(SECRET + bytes([16]) * 16, CONTENT_KEY[:16]),
    ),
    "the key has a label": (
        KEY.public_key().encrypt(CONTENT_KEY, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"label")),
        CIPHERTEXT,
    ),
    "the content has another key": (WRAPPED, cbc(SECRET + bytes([16]) * 16, b"o" * 32)),
    "the padding is zero": (WRAPPED, cbc(SECRET + bytes(16))),
    "the padding is too long": (WRAPPED, cbc(SECRET + bytes([17]) * 16)),
    "the padding is not uniform": (WRAPPED, cbc(SECRET + bytes(15) + bytes([16]))),
}


@pytest.mark.parametrize("defect", SECRETS)
def test_one_message_tells_of_every_failed_decryption_when(defect):
    wrapped, ciphertext = SECRETS[defect]

    with pytest.raises(AttestationRefused, match="it cannot be decrypted with the key of this document"):
        open_envelope(assemble(b"i" * 32, wrapped, IV, ciphertext), KEY)


def test_every_changed_byte_of_the_structure_is_found():
    """Bytes of the identifier, of the initialisation vector and of the ciphertext are values, not structure."""
    values = [(GOOD.index(value), len(value)) for value in (b"i" * 32, IV, CIPHERTEXT)]
    opened = []
    for position in range(len(GOOD)):
        if any(start <= position < start + size for start, size in values):
            continue
        altered = bytearray(GOOD)
        altered[position] ^= 0xFF
        try:
            open_envelope(bytes(altered), KEY)
        except AttestationRefused:
            continue
        opened.append(position)

    assert opened == []


def test_an_element_knows_its_bytes_or_its_elements():
    assert read(bytes.fromhex("30060401aa040101")) == Node(0x30, (Node(0x04, b"\xaa"), Node(0x04, b"\x01")))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("04820080" + "00" * 128, "not in its shortest form"),
        ("048100", "not in its shortest form"),
        ("0484" + "00000080" + "00" * 128, "too large"),
        ("0482ff", "too large, or not"),
        ("04800000", "a primitive element has an indefinite length"),
        ("3003040200", "ends in the middle"),
        ("30030401000000", "2 bytes follow"),
        ("30", "ends in the middle"),
        ("3080", "ends in the middle"),
        ("1f2000", "has no place here"),
        ("0000", "has no place here"),
        ("30020000", "has no place here"),
    ],
)
def test_bytes_are_no_element_when(data, reason):
    with pytest.raises(ValueError, match=reason):
        read(bytes.fromhex(data))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_element_with_another_number_of_elements_is_not_the_expected_one(count):
    with pytest.raises(ValueError, match="recipient is not an element 0x30 of"):
        read(bytes.fromhex("30060401aa040101")).children(0x30, count, "recipient")
