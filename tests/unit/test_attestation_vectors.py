"""Documents that AWS's hypervisor made, published by others.

They are not part of this repository: `MNIST_ATTESTATION_VECTORS` names their folder, else `../shared/vectors` is tried.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mnist_tasks.attestation import AWS_NITRO_ROOT_SHA256, NITRO_LABEL, AttestationPolicy, recipient_key, verify
from mnist_tasks.attestation.document import parse
from mnist_tasks.errors import AttestationRefused

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("MNIST_ATTESTATION_VECTORS") or ROOT.parent / "shared" / "vectors") / "nitro"

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason=f"no published documents in {FOLDER}: MNIST_ATTESTATION_VECTORS names their folder",
)

MADE_AT = datetime(2022, 10, 13, 8, 58, 2, 136000, tzinfo=UTC)
PCR0 = "f4d48b81a460c9916d1e685119074bf24660afd3e34fae9fca0a0d28d9d5599936332687e6f66fc890ac8cf150142d8b"
POLICY = AttestationPolicy(measurements=[{0: PCR0}])


def vector(name: str) -> bytes:
    return (FOLDER / f"{name}-attestation-doc-bytes").read_bytes()


def test_a_document_of_aws_is_believed_at_its_time():
    attested = verify(vector("valid"), POLICY, now=MADE_AT + timedelta(seconds=10))

    assert attested.document.module_id == "i-020b6af9246d90e92-enc0183d09086c24190"
    assert (attested.label, attested.root_sha256) == (NITRO_LABEL, AWS_NITRO_ROOT_SHA256)
    assert attested.record()["pcrs"]["0"] == PCR0


def test_its_nonce_is_compared():
    data = vector("valid")
    nonce = parse(data).document.nonce

    assert verify(data, POLICY, now=MADE_AT, nonce=nonce)
    with pytest.raises(AttestationRefused, match="its nonce is"):
        verify(data, POLICY, now=MADE_AT, nonce=b"another")


@pytest.mark.parametrize("hours", [-3, 4, 24 * 365])
def test_it_is_refused_outside_its_certificates_three_hours(hours):
    with pytest.raises(AttestationRefused, match="not valid at validation time"):
        verify(vector("valid"), POLICY, now=MADE_AT + timedelta(hours=hours))


def test_it_is_stale_within_them():
    with pytest.raises(AttestationRefused, match="it was made at"):
        verify(vector("valid"), POLICY, now=MADE_AT + timedelta(hours=1))


def test_it_is_refused_for_another_image():
    other = AttestationPolicy(measurements=[{0: "ab" * 48}])

    with pytest.raises(AttestationRefused, match="measurements"):
        verify(vector("valid"), other, now=MADE_AT)


def test_every_single_flipped_bit_is_found():
    data = vector("valid")
    believed = []
    for position in range(0, len(data), 7):
        altered = bytearray(data)
        altered[position] ^= 1 << (position % 8)
        try:
            verify(bytes(altered), POLICY, now=MADE_AT)
        except AttestationRefused:
            continue
        believed.append(position)

    assert believed == []


def test_it_carries_no_key_to_encrypt_to():
    with pytest.raises(AttestationRefused, match="no public key"):
        recipient_key(parse(vector("valid")).document)


def test_a_document_of_debug_mode_is_refused():
    data = vector("debug-mode")

    with pytest.raises(AttestationRefused, match="debug mode"):
        verify(data, POLICY, now=parse(data).document.timestamp)
