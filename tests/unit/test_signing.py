"""Envelopes and keys: what was signed is read back, and nothing else is."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from mnist_tasks.errors import ConfigurationError, SignatureRefused, TemporaryError
from mnist_tasks.signing import KmsSigner, TrustedKeys, open_envelope, seal
from mnist_tasks.signing.dsse import pae
from tests.signatures import SoftwareSigner

TYPE = "application/vnd.in-toto+json"
SIGNER, STRANGER = SoftwareSigner(), SoftwareSigner()


def sealed(payload: bytes = b"hello") -> dict[str, Any]:
    """An envelope as JSON values."""
    envelope: dict[str, Any] = json.loads(seal(payload, TYPE, signer=SIGNER, keys=SIGNER.keys))
    return envelope


def opened(envelope: Any, keys: TrustedKeys = SIGNER.keys) -> bytes:
    body = envelope if isinstance(envelope, bytes) else json.dumps(envelope).encode()
    return open_envelope(body, TYPE, keys=keys, where="s3://a-bucket/a-key").payload


# From the protocol's own text: its example of ECDSA on P-256, whose signature is r and s, 32 bytes each.
EXAMPLE_PAYLOAD, EXAMPLE_TYPE = b"hello world", "http://example.com/HelloWorld"
EXAMPLE_KEY = ec.EllipticCurvePublicNumbers(
    46950820868899156662930047687818585632848591499744589407958293238635476079160,
    5640078356564379163099075877009565129882514886557779369047442380624545832820,
    ec.SECP256R1(),
).public_key()
EXAMPLE_SIGNATURE = base64.b64decode(
    "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
)


def test_the_example_of_the_specification_is_verified() -> None:
    pem = EXAMPLE_KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    halves = (int.from_bytes(half, "big") for half in (EXAMPLE_SIGNATURE[:32], EXAMPLE_SIGNATURE[32:]))
    signature = base64.b64encode(encode_dss_signature(*halves)).decode()
    envelope = {
        "payload": base64.b64encode(EXAMPLE_PAYLOAD).decode(),
        "payloadType": EXAMPLE_TYPE,
        "signatures": [{"sig": signature}],
    }
    keys = TrustedKeys.from_pem(pem, source="the specification")

    believed = open_envelope(json.dumps(envelope).encode(), EXAMPLE_TYPE, keys=keys, where="the specification")

    assert believed.payload == EXAMPLE_PAYLOAD


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        (EXAMPLE_TYPE, EXAMPLE_PAYLOAD, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"),
        (TYPE, b"", b"DSSEv1 28 application/vnd.in-toto+json 0 "),
        ("application/vnd.ex\u00e4mple+json", b"x", "DSSEv1 29 application/vnd.ex\u00e4mple+json 1 x".encode()),
    ],
)
def test_type_and_payload_are_signed_with_their_lengths_in_bytes(kind: str, payload: bytes, expected: bytes) -> None:
    assert pae(kind, payload) == expected


def test_what_was_sealed_is_read_back_with_the_id_of_the_key() -> None:
    body = seal(b"hello", TYPE, signer=SIGNER, keys=SIGNER.keys)
    believed = open_envelope(body, TYPE, keys=SIGNER.keys, where="here")
    assert (believed.payload, believed.keyid) == (b"hello", next(iter(SIGNER.keys.keys)))


def test_the_same_is_never_signed_twice_alike() -> None:
    assert sealed() != sealed()


def test_either_alphabet_of_base64_is_read() -> None:
    envelope = sealed(b"\xfb\xff\xbf>>")
    safe = {"+": "-", "/": "_"}
    envelope["payload"] = "".join(safe.get(character, character) for character in envelope["payload"])
    assert opened(envelope) == b"\xfb\xff\xbf>>"


def test_the_name_of_the_key_is_a_hint_and_nobody_believes_it() -> None:
    envelope = sealed()
    envelope["signatures"][0]["keyid"] = "somebody else"
    assert opened(envelope) == b"hello"
    del envelope["signatures"][0]["keyid"]
    assert opened(envelope) == b"hello"


def test_one_signature_of_a_trusted_key_among_others_is_enough() -> None:
    envelope = sealed()
    strange = json.loads(seal(b"hello", TYPE, signer=STRANGER, keys=STRANGER.keys))
    envelope["signatures"].insert(0, strange["signatures"][0])
    assert opened(envelope) == b"hello"


def defects() -> dict[str, Any]:
    """What somebody could make of an envelope."""
    good, other = sealed(), sealed(b"goodbye")
    signature = base64.b64decode(good["signatures"][0]["sig"])
    return {
        "another payload": good | {"payload": other["payload"]},
        "another payload's signature": good | {"signatures": other["signatures"]},
        "a flipped bit in the signature": good | {"signatures": [{"sig": encoded(flipped(signature))}]},
        "a cut signature": good | {"signatures": [{"sig": encoded(signature[:-1])}]},
        "an empty signature": good | {"signatures": [{"sig": ""}]},
        "bytes after the signature": good | {"signatures": [{"sig": encoded(signature + b"\0")}]},
        "no signature": good | {"signatures": []},
        "signatures left out": {name: value for name, value in good.items() if name != "signatures"},
        "a stranger's signature": json.loads(seal(b"hello", TYPE, signer=STRANGER, keys=STRANGER.keys)),
        "another type": good | {"payloadType": "application/json"},
        "a type that is no text": good | {"payloadType": 7},
        "half a surrogate for a type": good | {"payloadType": "\ud800"},
        "a field that nobody has signed": good | {"note": "believe me"},
        "a payload that is no base64": good | {"payload": "%%%"},
        "a payload with a newline": good | {"payload": good["payload"] + "\n"},
        "a payload that is no text": good | {"payload": None},
        "a hundred signatures": good | {"signatures": good["signatures"] * 100},
        "a list": [good],
        "nothing": b"",
        "no JSON": b"nonsense",
        "deep JSON": b"[" * 100_000,
        "an unsigned decision": {"sequence": 1, "outcome": "released"},
    }


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("defect", defects())
def test_anything_else_is_refused_with_its_place(defect: str) -> None:
    with pytest.raises(SignatureRefused, match="s3://a-bucket/a-key") as refused:
        opened(defects()[defect])
    str(refused.value).encode()  # can be printed


@given(st.binary(max_size=400))
@example(b'{"payload": "", "payloadType": "", "signatures": [{"sig": ""}]}')
def test_any_bytes_are_refused_with_our_own_error(body: bytes) -> None:
    with pytest.raises(SignatureRefused):
        opened(body)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@given(
    payload=JSON_VALUES,
    kind=st.just(TYPE) | JSON_VALUES,
    signatures=JSON_VALUES | st.just([{"keyid": "", "sig": "MAA="}]),
)
def test_anything_in_the_form_of_an_envelope_is_refused_with_our_own_error(
    payload: Any, kind: Any, signatures: Any
) -> None:
    with pytest.raises(SignatureRefused):
        opened({"payload": payload, "payloadType": kind, "signatures": signatures})


SEALED = seal(b"hello", TYPE, signer=SIGNER, keys=SIGNER.keys)


@given(place=st.integers(0, len(SEALED) - 1), bit=st.integers(0, 7))
def test_whatever_bit_of_an_envelope_is_flipped_it_is_refused_or_says_the_same(place: int, bit: int) -> None:
    """A bit in the name of the key changes nothing, and base64 has a few bits that nobody reads."""
    body = bytearray(SEALED)
    body[place] ^= 1 << bit
    with suppress(SignatureRefused):
        assert opened(bytes(body)) == b"hello"


def test_nothing_is_signed_that_the_readers_would_not_believe() -> None:
    with pytest.raises(ConfigurationError, match="a key in memory is not among the 1 trusted key"):
        seal(b"hello", TYPE, signer=STRANGER, keys=SIGNER.keys)


def test_several_keys_are_trusted_while_one_replaces_another() -> None:
    both = TrustedKeys.from_pem(b"the old one\n" + STRANGER.pem + b"\nthe new one\n" + SIGNER.pem, source="both")
    assert opened(sealed(), both) == b"hello"
    assert set(both.keys) == {*SIGNER.keys.keys, *STRANGER.keys.keys}


def private_key() -> bytes:
    return SIGNER.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (b"", "holds no PEM block"),
        (b"nonsense", "holds no PEM block"),
        (SIGNER.pem[:60], "holds no PEM block"),
        (private_key(), "holds a PEM block PRIVATE KEY"),
        (SIGNER.pem + private_key(), "holds a PEM block PRIVATE KEY"),
        (b"-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n", "cannot be read"),
        (public(ec.generate_private_key(ec.SECP384R1())), "not on the curve P-256"),
        (public(ed25519.Ed25519PrivateKey.generate()), "not on the curve P-256"),
    ],
)
def test_a_file_of_trusted_keys_holds_public_keys_on_p_256_and_nothing_else(pem: bytes, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as refused:
        TrustedKeys.from_pem(pem, source="keys.pem")
    assert "PRIVATE KEY-----" not in str(refused.value)


def test_without_a_file_of_keys_nothing_is_believed_and_the_error_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="MNIST_SIGNING_KEYS is not set"):
        TrustedKeys.from_file("")
    with pytest.raises(ConfigurationError, match=r"cannot be read from .*: No such file"):
        TrustedKeys.from_file(str(tmp_path / "missing.pem"))
    (tmp_path / "keys.pem").write_bytes(SIGNER.pem)
    assert TrustedKeys.from_file(str(tmp_path / "keys.pem")).keys.keys() == SIGNER.keys.keys.keys()


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ThrottlingException", 400, TemporaryError),
        ("KMSInternalException", 500, TemporaryError),
        ("AccessDeniedException", 400, ConfigurationError),
        ("NotFoundException", 400, ConfigurationError),
        ("DisabledException", 400, ConfigurationError),
    ],
)
def test_what_kms_refuses_is_told_apart_by_whether_another_try_may_help(code: str, status: int, kind: Any) -> None:
    client = boto3.client("kms", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stub:
        stub.add_client_error("sign", code, http_status_code=status)
        with pytest.raises(kind, match="arn:of-the-key") as caught:
            KmsSigner(client, "arn:of-the-key").sign(b"hello")
    assert "GenerateDataKey" not in caught.value.mend  # which no key that signs could do
