"""No bytes whatever make the readers of strangers' bytes do anything but refuse them."""

from __future__ import annotations

import contextlib

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.cms import envelope
from mnist_tasks.attestation import authenticate, open_envelope, recipient_key, verify
from mnist_tasks.attestation.nsm import decode_response
from mnist_tasks.errors import AttestationRefused
from tests.forged_documents import NOW, content, document, make_chain, policy, public_der, rsa_key, sealed

EXAMPLES = settings(max_examples=200)

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.binary(max_size=60) | st.text()
KEYS = st.integers(-2, 40) | st.text(max_size=12) | st.booleans() | st.binary(max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.builds(cbor2.CBORTag, st.integers(60000, 2**40), inner)
    ),
    max_leaves=12,
)
# Encoded tags, wrapped around anything: what cbor2 makes of them (dates, decimals, references, patterns, messages).
TAGS = st.sampled_from([0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 43, 52, 54, 100, 256, 258, 260, 261, 1004, 55799])


def encoded_tag(tag: int, value: object) -> bytes:
    head = cbor2.dumps(cbor2.CBORTag(70000, 0))[:1] + (70000).to_bytes(4)
    assert head == b"\xda\x00\x01\x11\x70"
    return b"\xda" + tag.to_bytes(4) + cbor2.dumps(value)


def mutated(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """`data` with spans replaced: where (a fraction), how many bytes go, what comes."""
    for where, removed, added in edits:
        at = int(where * len(data))
        data = data[:at] + added + data[at + removed :]
    return data


EDITS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 4), st.binary(max_size=4)), min_size=1, max_size=4
)


def judge(data: bytes) -> None:
    try:
        attested = verify(data, policy(), now=NOW)
        recipient_key(attested.document)
    except AttestationRefused:
        return
    # What is believed has to be the genuine one, with or without its tag.
    assert attested.document.pcrs == authenticate(document(), policy(), now=NOW).document.pcrs


@EXAMPLES
@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data):
    with pytest.raises(AttestationRefused):
        verify(data, policy(), now=NOW)


@EXAMPLES
@given(EDITS)
def test_an_edited_document_is_refused(edits):
    judge(mutated(document(), edits))


@EXAMPLES
@given(st.sampled_from(sorted(content())), VALUES)
def test_a_signed_document_with_any_value_in_a_field_is_refused_or_believed_whole(name, value):
    judge(document(**{name: value}))


@EXAMPLES
@given(VALUES)
def test_any_signed_payload_is_refused(value):
    judge(sealed(cbor2.dumps(value)))


@EXAMPLES
@given(TAGS, VALUES, st.sampled_from(sorted(content())))
def test_a_signed_document_with_a_tagged_value_is_refused(tag, value, name):
    plain = cbor2.dumps(content(**{name: ...}))
    payload = bytes([plain[0] + 1]) + plain[1:] + cbor2.dumps(name) + encoded_tag(tag, value)

    with pytest.raises(AttestationRefused):
        verify(sealed(payload), policy(), now=NOW)


@EXAMPLES
@given(st.integers(0, 4), EDITS)
def test_a_signed_document_with_an_edited_certificate_is_refused(position, edits):
    certificates = list(make_chain().certificates)
    certificates[position] = mutated(certificates[position], edits)[:1024] or b"\x00"
    judge(document(certificate=certificates[-1], cabundle=certificates[:-1]))


@EXAMPLES
@given(EDITS)
def test_a_signed_document_with_an_edited_public_key_is_refused_or_names_an_rsa_key(edits):
    judge(document(public_key=mutated(public_der(rsa_key()), edits)[:1024] or b"\x00"))


@EXAMPLES
@given(st.binary(max_size=200) | VALUES.map(cbor2.dumps))
def test_any_answer_of_the_security_module_is_refused_or_holds_a_document(data):
    with contextlib.suppress(AttestationRefused):
        assert decode_response(data)


SECRET = b"s" * 32
ENVELOPE = envelope(SECRET, rsa_key().public_key())


@EXAMPLES
@given(st.binary(max_size=400))
def test_any_bytes_are_no_envelope(data):
    with pytest.raises(AttestationRefused):
        open_envelope(data, rsa_key())


@EXAMPLES
@given(EDITS)
def test_an_edited_envelope_is_refused_or_opens(edits):
    # CBC has no authentication: an edited ciphertext may open to something else. It never fails in another way.
    with contextlib.suppress(AttestationRefused):
        assert isinstance(open_envelope(mutated(ENVELOPE, edits), rsa_key()), bytes)
