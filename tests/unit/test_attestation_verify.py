"""The verifier of attestation documents: a good one is believed, and every defect is refused with its reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mnist_tasks.attestation import AWS_NITRO_ROOT_SHA256, SOFTWARE_LABEL, authenticate, recipient_key, verify
from mnist_tasks.attestation.software import cose_signature
from mnist_tasks.errors import AttestationRefused
from tests.forged_documents import (
    CHAIN,
    HEADER,
    LEAF,
    NONCE,
    NOW,
    PCRS,
    ROOT,
    USER_DATA,
    Chain,
    Link,
    chain_with,
    content,
    document,
    make_chain,
    policy,
    public_der,
    rsa_key,
    sealed,
)

OTHER_48 = b"\xee" * 48


def check(data: bytes, *, chain: Chain | None = None, now: datetime = NOW, **expected: Any):
    return verify(data, policy(chain), now=now, **({"nonce": NONCE, "user_data": USER_DATA} | expected))


def refuses(reason: str, data: bytes, **how: Any) -> None:
    with pytest.raises(AttestationRefused, match=reason) as refusal:
        check(data, **how)
    assert refusal.value.mend


# --- what is believed


def test_a_good_document_is_believed():
    attested = check(document(), public_key=public_der(rsa_key()))

    assert attested.document.pcrs == PCRS
    assert attested.document.timestamp == NOW
    assert recipient_key(attested.document) == rsa_key().public_key()


def test_a_document_with_the_tag_of_cose_sign1_is_believed_too():
    assert check(b"\xd2" + document()).document.nonce == NONCE


def test_a_document_without_its_optional_fields_is_believed_where_nobody_asks_for_them():
    data = document(public_key=..., user_data=None, nonce=...)

    assert verify(data, policy(), now=NOW).document.nonce is None


def test_the_record_of_a_software_document_says_that_it_is_not_a_tee():
    record = check(document()).record()

    assert record["label"] == SOFTWARE_LABEL == "software attestation: not a TEE"
    assert record["root_sha256"] == make_chain().root_sha256
    assert record["pcrs"] == {str(index): pcr.hex() for index, pcr in PCRS.items() if any(pcr)}


def test_one_of_several_accepted_measurements_is_enough():
    old = {0: OTHER_48.hex()}
    rotating = policy(measurements=[old, {0: PCRS[0].hex()}])

    assert verify(document(), rotating, now=NOW)
    assert verify(document(pcrs={0: OTHER_48}), rotating, now=NOW)


def test_a_chain_of_a_root_and_a_leaf_is_enough():
    chain = make_chain((ROOT, LEAF))

    assert check(document(chain), chain=chain)


@pytest.mark.parametrize("age", [-60, 0, 300])
def test_a_document_is_fresh_for_five_minutes_and_a_minute_of_clock_skew(age):
    assert check(document(), now=NOW + timedelta(seconds=age))


# --- whom it comes from


def test_another_root_is_refused():
    other = make_chain((ROOT, Link("other", path_length=0), LEAF))

    refuses("root certificate has SHA-256", document(other))


def test_a_software_root_is_refused_by_a_policy_that_does_not_name_it():
    strict = policy(software_root=None, production=True)

    with pytest.raises(AttestationRefused, match=f"expected {AWS_NITRO_ROOT_SHA256}"):
        verify(document(), strict, now=NOW)


def test_a_software_root_is_refused_in_production_even_if_the_policy_was_altered_after_it_was_checked():
    altered = policy().model_copy(update={"production": True})

    with pytest.raises(AttestationRefused, match="in production"):
        verify(document(), altered, now=NOW)


def test_the_pinned_root_in_front_of_a_strangers_chain_is_refused():
    stranger = make_chain((ROOT, Link("stranger", path_length=2), LEAF))
    data = document(stranger, cabundle=[make_chain().certificates[0], *stranger.certificates[1:-1]])

    refuses("not a valid path", data)


def test_a_leaf_that_is_another_chains_is_refused():
    stranger = make_chain((*CHAIN[:-1], Link("stranger", ca=False, signs_certificates=False, signs_documents=True)))
    data = sealed(cbor2.dumps(content(certificate=stranger.certificates[-1])), stranger)

    refuses("not a valid path", data)


UNKNOWN_CRITICAL = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
EARLIER, LATER = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)

CHAINS: dict[str, tuple[Callable[[], Chain], str]] = {
    "the leaf has expired": (lambda: chain_with(4, end=EARLIER), "not valid at validation time"),
    "the leaf is not yet valid": (lambda: chain_with(4, start=LATER), "not valid at validation time"),
    "an intermediate has expired": (lambda: chain_with(2, end=EARLIER), "not valid at validation time"),
    "an intermediate is not yet valid": (lambda: chain_with(3, start=LATER), "not valid at validation time"),
    "the root has expired": (lambda: chain_with(0, end=EARLIER), "not valid at validation time"),
    "an intermediate lacks the CA flag": (lambda: chain_with(2, ca=False), "cA must be asserted"),
    "an intermediate lacks basicConstraints": (lambda: chain_with(2, constraints=False), "has no basicConstraints"),
    "an intermediate's basicConstraints are not critical": (
        lambda: chain_with(2, constraints_critical=False),
        "incorrect criticality",
    ),
    "the root lacks the CA flag": (lambda: chain_with(0, ca=False), "cA must be asserted"),
    "an intermediate's path length is too short": (
        lambda: chain_with(1, path_length=1),
        "path length constraint violated",
    ),
    "the root's path length is too short": (lambda: chain_with(0, path_length=2), "path length constraint violated"),
    "an intermediate may not sign certificates": (
        lambda: chain_with(3, signs_certificates=False),
        "keyUsage without keyCertSign",
    ),
    "an intermediate lacks keyUsage": (
        lambda: chain_with(1, usage=False),
        "2.5.29.15: Certificate is missing required extension",
    ),
    "the leaf is an authority": (lambda: chain_with(4, ca=True), "signed by a certificate authority"),
    "the leaf may not sign": (lambda: chain_with(4, signs_documents=False), "keyUsage without digitalSignature"),
    "the leaf lacks keyUsage": (
        lambda: chain_with(4, usage=False),
        "2.5.29.15: Certificate is missing required extension",
    ),
    "an intermediate is signed with SHA-256": (
        lambda: chain_with(2, algorithm=hashes.SHA256),
        "ECDSA with SHA-384 was expected",
    ),
    "the leaf is signed with SHA-512": (lambda: chain_with(4, algorithm=hashes.SHA512), "ECDSA with SHA-384"),
    "an intermediate's key is on P-256": (lambda: chain_with(2, curve=ec.SECP256R1), "not on the curve P-384"),
    "an intermediate names another issuer": (lambda: chain_with(2, issuer="somebody"), "all candidates exhausted"),
    "an intermediate has a critical extension nobody knows": (
        lambda: chain_with(2, extension=UNKNOWN_CRITICAL),
        "critical extension",
    ),
    "the leaf has a critical extension nobody knows": (
        lambda: chain_with(4, extension=UNKNOWN_CRITICAL),
        "critical extension",
    ),
}


@pytest.mark.parametrize("defect", CHAINS)
def test_a_chain_is_refused_when(defect):
    make, reason = CHAINS[defect]
    chain = make()

    refuses(reason, document(chain), chain=chain)


def test_a_leaf_on_another_curve_is_refused():
    chain = chain_with(4, curve=ec.SECP521R1)
    payload = cbor2.dumps(content(chain))
    data = cbor2.dumps([HEADER, {}, payload, cose_signature(make_chain().key, payload)])

    refuses("not on the curve P-384", data, chain=chain)


BUNDLES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "an intermediate is missing": (lambda bundle: [bundle[0], *bundle[2:]], "all candidates exhausted"),
    "two intermediates are exchanged": (lambda bundle: [bundle[0], bundle[2], bundle[1], bundle[3]], "in the order"),
    "an intermediate comes twice": (lambda bundle: [*bundle, bundle[-1]], "not all of them are needed"),
    "a certificate that nobody needs is added": (
        lambda bundle: [*bundle, make_chain((ROOT, LEAF)).certificates[1]],
        "not all of them are needed",
    ),
    "a certificate is followed by a byte": (lambda bundle: [*bundle[:-1], bundle[-1] + b"\x00"], "cannot be read"),
    "a certificate is cut off": (lambda bundle: [*bundle[:-1], bundle[-1][:-1]], "cannot be read"),
    "a certificate is no certificate": (lambda bundle: [*bundle[:-1], b"\x30\x00"], "cannot be read"),
}


@pytest.mark.parametrize("defect", BUNDLES)
def test_a_bundle_is_refused_when(defect):
    change, reason = BUNDLES[defect]

    refuses(reason, document(cabundle=change(list(make_chain().certificates[:-1]))))


# --- that it is what was signed


@pytest.mark.parametrize(
    "part",
    [
        "module_id",
        "timestamp",
        "nonce",
        "user_data",
        "public_key",
        *(f"pcr{index}" for index in PCRS),
    ],
)
def test_a_flipped_bit_is_found_in(part):
    payload = bytearray(cbor2.dumps(content()))
    value = PCRS[int(part[3:])] if part.startswith("pcr") else content()[part]
    encoded = cbor2.dumps(value)
    at = payload.index(encoded) + len(encoded) - 1
    payload[at] ^= 1
    _, _, original, signature = cbor2.loads(document())
    assert len(original) == len(payload)

    refuses("it was altered", cbor2.dumps([HEADER, {}, bytes(payload), signature]))


@pytest.mark.parametrize("position", [0, 47, 48, 95])
def test_a_flipped_bit_is_found_in_the_signature(position):
    data = bytearray(document())
    data[len(data) - 96 + position] ^= 1

    refuses("it was altered", bytes(data))


@pytest.mark.parametrize("position", range(5))
def test_a_flipped_bit_is_found_in_certificate(position):
    certificates = list(make_chain().certificates)
    flipped = bytearray(certificates[position])
    flipped[-1] ^= 1
    certificates[position] = bytes(flipped)
    payload = cbor2.dumps(content(certificate=certificates[-1], cabundle=certificates[:-1]))

    refuses("certificate", sealed(payload))


@pytest.mark.parametrize("signature", [bytes(96), b"\xff" * 96, bytes(48) + b"\x01" * 48])
def test_a_signature_that_is_no_point_is_refused(signature):
    payload = cbor2.dumps(content())

    refuses("it was altered", cbor2.dumps([HEADER, {}, payload, signature]))


def test_a_signature_of_another_key_is_refused():
    payload = cbor2.dumps(content())
    signature = cose_signature(ec.generate_private_key(ec.SECP384R1()), payload)

    refuses("it was altered", cbor2.dumps([HEADER, {}, payload, signature]))


# --- what it says


MEASUREMENTS: dict[str, dict[int, bytes]] = {
    "PCR0 is another": PCRS | {0: OTHER_48},
    "PCR2 is another": PCRS | {2: OTHER_48},
    "an expected PCR is missing": {0: PCRS[0], 1: PCRS[1]},
    "an expected PCR is zero": PCRS | {1: bytes(48)},
    "two PCRs are exchanged": PCRS | {1: PCRS[2], 2: PCRS[1]},
}


@pytest.mark.parametrize("defect", MEASUREMENTS)
def test_measurements_are_refused_when(defect):
    refuses("measurements are none of the 1", document(pcrs=MEASUREMENTS[defect]))


@pytest.mark.parametrize("pcrs", [PCRS | {0: bytes(48)}, {1: PCRS[1]}], ids=["PCR0 is zero", "there is no PCR0"])
def test_debug_mode_is_refused(pcrs):
    refuses("debug mode", document(pcrs=pcrs))


def test_debug_mode_is_refused_even_where_no_measurements_are_compared():
    with pytest.raises(AttestationRefused, match="debug mode"):
        authenticate(document(pcrs={0: bytes(48)}), policy(), now=NOW)


@pytest.mark.parametrize(
    ("changes", "expected", "reason"),
    [
        ({"nonce": b"other"}, {}, "its nonce is 6f74686572"),
        ({"nonce": ...}, {}, "it has no nonce"),
        ({"nonce": None}, {}, "it has no nonce"),
        ({"nonce": b""}, {}, "its nonce is"),
        ({"nonce": NONCE + b"n"}, {}, "its nonce is"),
        ({"user_data": b"decision 18"}, {}, "its user_data is"),
        ({"user_data": ...}, {}, "it has no user_data"),
        ({}, {"public_key": b"another"}, "its public_key is"),
        ({"public_key": ...}, {"public_key": b"another"}, "it has no public_key"),
    ],
)
def test_another_answer_than_asked_for_is_refused(changes, expected, reason):
    refuses(reason, document(**changes), **expected)


@pytest.mark.parametrize("seconds", [301, 7000])
def test_a_stale_document_is_refused(seconds):
    refuses("it was made at", document(), now=NOW + timedelta(seconds=seconds))


def test_a_document_from_the_future_is_refused():
    refuses("it was made at", document(), now=NOW - timedelta(seconds=61))


def test_a_clock_without_a_time_zone_is_the_callers_fault():
    with pytest.raises(ValueError, match="time zone"):
        check(document(), now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("public_key", "reason"),
    [
        (..., "no public key"),
        (None, "no public key"),
        (b"my super secret key", "cannot be read"),
        (public_der(rsa_key()) + b"\x00", "cannot be read"),
        (public_der(ec.generate_private_key(ec.SECP256R1())), "not RSA"),
        (public_der(rsa_key(1024)), "2,048 to 4,096"),
    ],
    ids=["missing", "null", "no key", "a byte follows", "elliptic curve", "too short"],
)
def test_a_public_key_that_cannot_be_encrypted_to_is_refused(public_key, reason):
    attested = check(document(public_key=public_key))

    with pytest.raises(AttestationRefused, match=reason):
        recipient_key(attested.document)


# --- its form


LONG = make_chain().certificates[-1] + b"\x00" * 1024

FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "there is no module_id": ({"module_id": ...}, "missing fields: module_id"),
    "there is no digest": ({"digest": ...}, "missing fields: digest"),
    "there is no timestamp": ({"timestamp": ...}, "missing fields: timestamp"),
    "there are no pcrs": ({"pcrs": ...}, "missing fields: pcrs"),
    "there is no certificate": ({"certificate": ...}, "missing fields: certificate"),
    "there is no cabundle": ({"cabundle": ...}, "missing fields: cabundle"),
    "there is an unknown field": ({"debug": True}, "unknown fields: str 'debug'"),
    "the module_id is empty": ({"module_id": ""}, "module_id has to be"),
    "the module_id is bytes": ({"module_id": b"i-0"}, "module_id has to be"),
    "the digest is SHA256": ({"digest": "SHA256"}, "SHA384 was expected"),
    "the digest is in lower case": ({"digest": "sha384"}, "SHA384 was expected"),
    "the digest is null": ({"digest": None}, "SHA384 was expected"),
    "the timestamp is zero": ({"timestamp": 0}, "timestamp has to be"),
    "the timestamp is negative": ({"timestamp": -1}, "timestamp has to be"),
    "the timestamp is true": ({"timestamp": True}, "timestamp has to be"),
    "the timestamp is a float": ({"timestamp": NOW.timestamp()}, "timestamp has to be"),
    "the timestamp is beyond every calendar": ({"timestamp": 2**64 - 1}, "timestamp has to be"),
    "the timestamp is a big number": ({"timestamp": 2**64}, "timestamp has to be"),
    "there is no PCR at all": ({"pcrs": {}}, "map of 1 to 32"),
    "the pcrs are an array": ({"pcrs": list(PCRS.values())}, "map of 1 to 32"),
    "there are 33 PCRs": ({"pcrs": dict.fromkeys(range(33), OTHER_48)}, "map of 1 to 32"),
    "a PCR's index is 32": ({"pcrs": PCRS | {32: OTHER_48}}, "integer from 0 to 31"),
    "a PCR's index is negative": ({"pcrs": PCRS | {-1: OTHER_48}}, "integer from 0 to 31"),
    "a PCR's index is a text": ({"pcrs": {"0": PCRS[0]}}, "integer from 0 to 31"),
    "a PCR's index is false": ({"pcrs": {False: PCRS[0]}}, "integer from 0 to 31"),
    "a PCR has 32 bytes": ({"pcrs": {0: PCRS[0][:32]}}, "PCR0 has 32 bytes"),
    "a PCR is a text": ({"pcrs": {0: PCRS[0].hex()}}, "PCR0 has to be a byte string"),
    "the certificate is empty": ({"certificate": b""}, "certificate has 0 bytes"),
    "the certificate is too long": ({"certificate": LONG}, "1 to 1,024 were expected"),
    "the certificate is a text": ({"certificate": "PEM"}, "certificate has to be a byte string"),
    "the cabundle is empty": ({"cabundle": []}, "array of 1 to 16"),
    "the cabundle has 17 certificates": ({"cabundle": [b"x"] * 17}, "array of 1 to 16"),
    "the cabundle is one certificate": ({"cabundle": b"x"}, "array of 1 to 16"),
    "a certificate of the cabundle is null": ({"cabundle": [None]}, "has to be a byte string"),
    "a certificate of the cabundle is too long": ({"cabundle": [LONG]}, "1 to 1,024 were expected"),
    "the public key is empty": ({"public_key": b""}, "public_key has 0 bytes"),
    "the public key is too long": ({"public_key": b"x" * 1025}, "public_key has 1,025 bytes"),
    "the nonce is too long": ({"nonce": b"x" * 513}, "nonce has 513 bytes"),
    "the nonce is a text": ({"nonce": "n"}, "nonce has to be a byte string"),
    "the user_data is too long": ({"user_data": b"x" * 513}, "user_data has 513 bytes"),
}


@pytest.mark.parametrize("defect", FIELDS)
def test_a_field_is_refused_when(defect):
    changes, reason = FIELDS[defect]

    refuses(reason, document(**changes))


PAYLOADS: dict[str, bytes] = {
    "is an array": cbor2.dumps([1]),
    "is no CBOR": b"\xff",
    "is followed by a byte": cbor2.dumps(content()) + b"\x00",
    "is cut off": cbor2.dumps(content())[:-1],
    "is a map of indefinite length": b"\xbf" + cbor2.dumps(content())[1:] + b"\xff",
    "has a text of indefinite length": cbor2.dumps(content()).replace(b"\x66SHA384", b"\x7f\x63SHA\x63384\xff"),
    "has a length that is not the shortest": cbor2.dumps(content()).replace(b"\x66SHA384", b"\x78\x06SHA384"),
    "has a number that is not the shortest": cbor2.dumps(content()).replace(
        b"\x00\x58\x30" + PCRS[0], b"\x18\x00\x58\x30" + PCRS[0]
    ),
    "has a key twice": b"\xaa" + cbor2.dumps(content())[1:] + cbor2.dumps("digest") + cbor2.dumps("SHA384"),
    "has a PCR twice": cbor2.dumps(content()).replace(b"\x01\x58\x30" + PCRS[1], b"\x00\x58\x30" + PCRS[1]),
    "has its timestamp as a big number": cbor2.dumps(content()).replace(
        b"\x1b" + int(NOW.timestamp() * 1000).to_bytes(8), b"\xc2\x48" + int(NOW.timestamp() * 1000).to_bytes(8)
    ),
    "tags a text that is none": cbor2.dumps(content()).replace(b"\x66SHA384", b"\xd8\x23\x66SHA384"),
    "contains itself": b"\xd8\x1c\x81\xd8\x1d\x00",
    "is nested too deep": b"\x81" * 1000 + b"\x00",
    "has undefined for a value": cbor2.dumps(content(nonce=...)).replace(b"\xa8", b"\xa9", 1) + b"\x65nonce\xf7",
    "is not a number": b"\xf9\x7e\x00",
}


@pytest.mark.parametrize("defect", PAYLOADS)
def test_a_payload_is_refused_that(defect):
    payload = PAYLOADS[defect]
    assert payload != cbor2.dumps(content()), "the defect has to be there"

    refuses("the attestation document is refused", sealed(payload))


SIGNATURE = cose_signature(make_chain().key, cbor2.dumps(content()))
PARTS = [HEADER, {}, cbor2.dumps(content()), SIGNATURE]

STRUCTURES: dict[str, tuple[bytes, str]] = {
    "is empty": (b"", "not the CBOR"),
    "is a text": (cbor2.dumps("document"), "COSE_Sign1 array of 4"),
    "has three parts": (cbor2.dumps(PARTS[:3]), "COSE_Sign1 array of 4"),
    "has five parts": (cbor2.dumps([*PARTS, b""]), "COSE_Sign1 array of 4"),
    "is followed by a byte": (document() + b"\x00", "bytes follow it"),
    "is followed by a second document": (document() * 2, "bytes follow it|at most"),
    "is cut off": (document()[:-1], "not the CBOR"),
    "is an array of indefinite length": (b"\x9f" + document()[1:] + b"\xff", "indefinite"),
    "has a length that is not the shortest": (b"\x98\x04" + document()[1:], "shortest form"),
    "is tagged as COSE_Sign": (b"\xd8\x62" + document(), "COSE_Sign1 array of 4"),
    "is tagged twice": (b"\xd2\xd2" + document(), "COSE_Sign1 array of 4"),
    "is signed with ES256": (cbor2.dumps([cbor2.dumps({1: -7}), *PARTS[1:]]), "only ES384"),
    "is signed with ES512": (cbor2.dumps([cbor2.dumps({1: -36}), *PARTS[1:]]), "only ES384"),
    "is signed with HMAC": (cbor2.dumps([cbor2.dumps({1: 5}), *PARTS[1:]]), "only ES384"),
    "names no algorithm": (cbor2.dumps([b"", *PARTS[1:]]), "only ES384"),
    "has more in its protected header": (cbor2.dumps([cbor2.dumps({1: -35, 4: b"k"}), *PARTS[1:]]), "only ES384"),
    "has its protected header as a map": (cbor2.dumps([{1: -35}, *PARTS[1:]]), "only ES384"),
    "has something in its unprotected header": (cbor2.dumps([HEADER, {4: b"k"}, *PARTS[2:]]), "empty map"),
    "has no unprotected header": (cbor2.dumps([HEADER, None, *PARTS[2:]]), "empty map"),
    "has its payload elsewhere": (cbor2.dumps([HEADER, {}, None, SIGNATURE]), "payload has to be a byte string"),
    "has an empty payload": (cbor2.dumps([HEADER, {}, b"", SIGNATURE]), "payload has 0 bytes"),
    "has a payload that is too large": (cbor2.dumps([HEADER, {}, bytes(16_385), SIGNATURE]), "payload has 16,385"),
    "is too large": (bytes(20_000), "at most 16,640 were expected"),
    "has no signature": (cbor2.dumps([*PARTS[:3], b""]), "signature has 0 bytes"),
    "has a signature of 64 bytes": (cbor2.dumps([*PARTS[:3], bytes(64)]), "signature has 64 bytes"),
    "has a signature in DER": (
        cbor2.dumps([*PARTS[:3], make_chain().key.sign(b"x", ec.ECDSA(hashes.SHA384()))]),
        "signature has",
    ),
    "is a certificate": (make_chain().certificates[0], "not the CBOR|shortest form"),
    "is PEM": (
        x509.load_der_x509_certificate(make_chain().certificates[0]).public_bytes(serialization.Encoding.PEM),
        "not the CBOR|shortest form",
    ),
}


@pytest.mark.parametrize("defect", STRUCTURES)
def test_a_structure_is_refused_that(defect):
    data, reason = STRUCTURES[defect]

    refuses(reason, data)
