"""The one verifier of attestation documents.

`authenticate` says whether a document is genuine and fresh, `verify` also whether it speaks of the expected code and
answers the expected question. Both take the time from the caller: nothing here reads a clock.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mnist_tasks.attestation.chain import AWS_NITRO_ROOT_SHA256, signing_key
from mnist_tasks.attestation.document import PCR_BYTES, Document, SignedDocument, parse, refused
from mnist_tasks.attestation.policy import AttestationPolicy, Measurement
from mnist_tasks.config import NITRO_LABEL, SOFTWARE_LABEL, AttestationLabel

_CLOCK_SKEW: Final = timedelta(seconds=60)
_RSA_BITS: Final = range(2048, 4097)
_DEBUG_PCR0: Final = bytes(PCR_BYTES)
_MEND_MEASUREMENT: Final = (
    "if this image is meant to run, add its measurement to MNIST_ATTESTATION_MEASUREMENTS and to the key policy "
    "(docs/attestation.md, rotation); else find out who started it"
)


@dataclass(frozen=True)
class Attested:
    """A document that was believed, for whom it was believed, and how a record tells of it."""

    document: Document
    sha256: str
    root_sha256: str

    @property
    def label(self) -> AttestationLabel:
        """What records, reports and pages have to show: software attestation must never read as hardware's."""
        return NITRO_LABEL if self.root_sha256 == AWS_NITRO_ROOT_SHA256 else SOFTWARE_LABEL

    def record(self) -> dict[str, Any]:
        """The evidence as JSON values; `document_sha256` is that of the bytes that were verified."""
        return {
            "label": self.label,
            "module_id": self.document.module_id,
            "timestamp": self.document.timestamp.isoformat(),
            "pcrs": {str(index): pcr.hex() for index, pcr in sorted(self.document.pcrs.items()) if any(pcr)},
            "document_sha256": self.sha256,
            "root_sha256": self.root_sha256,
        }


def verify(
    data: bytes,
    policy: AttestationPolicy,
    *,
    now: datetime,
    nonce: bytes | None = None,
    user_data: bytes | None = None,
    public_key: bytes | None = None,
) -> Attested:
    """Believe a document, or say why not.

    Args:
        data: the document as the source made it.
        policy: what it has to say, and whom it is believed from.
        now: the time, with a time zone.
        nonce: what it has to answer; None: not looked at.
        user_data: what it has to vouch for; None: not looked at.
        public_key: the DER of the key that it has to carry; None: not looked at.

    Raises:
        AttestationRefused: whatever it is that does not hold.
    """
    attested = authenticate(data, policy, now=now)
    document = attested.document
    _check_measurements(document, policy.measurements)
    for name, expected in (("nonce", nonce), ("user_data", user_data), ("public_key", public_key)):
        if expected is not None:
            _check_equal(name, getattr(document, name), expected)
    return attested


def authenticate(data: bytes, policy: AttestationPolicy, *, now: datetime) -> Attested:
    """Whether a document is genuine, of a place that is not open to a debugger, and fresh. Its PCRs are not compared.

    Raises:
        AttestationRefused: it is not.
    """
    if now.tzinfo is None:
        raise ValueError("the time needs a time zone")
    signed = parse(data)
    key, root_sha256 = signing_key(signed.document, _roots(policy), now)
    _check_signature(signed, key)
    _check_age(signed.document, policy, now)
    if hmac.compare_digest(signed.document.pcrs.get(0, _DEBUG_PCR0), _DEBUG_PCR0):
        raise refused(
            "its PCR0 is missing or all zero: it comes from debug mode, where the parent can read everything",
            mend="start the enclave without --debug-mode",
        )
    return Attested(signed.document, hashlib.sha256(data).hexdigest(), root_sha256)


def recipient_key(document: Document) -> rsa.RSAPublicKey:
    """The key of the attested place, for whoever encrypts to it.

    Raises:
        AttestationRefused: there is none, or none that KMS would take: RSA of 2,048 to 4,096 bits, DER-encoded.
    """
    if document.public_key is None:
        raise refused("it carries no public key, so nothing can be encrypted to it")
    try:
        key = serialization.load_der_public_key(document.public_key)
    except Exception as error:  # noqa: BLE001 - a stranger's bytes: the library names no closed list of errors
        raise refused(f"its public key cannot be read: {error}") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size not in _RSA_BITS:
        raise refused("its public key is not RSA of 2,048 to 4,096 bits")
    return key


def _roots(policy: AttestationPolicy) -> Sequence[str]:
    if policy.software_root is None:
        return (AWS_NITRO_ROOT_SHA256,)
    # The policy refuses this when it is made. A copy that was altered afterwards (model_copy) is not checked again.
    if policy.production:
        raise refused(
            f"the policy trusts a software root in production ({SOFTWARE_LABEL})",
            mend="unset MNIST_ATTESTATION_SOFTWARE_ROOT",
        )
    return (AWS_NITRO_ROOT_SHA256, policy.software_root)


def _check_signature(signed: SignedDocument, key: ec.EllipticCurvePublicKey) -> None:
    half = len(signed.signature) // 2
    r, s = (int.from_bytes(part) for part in (signed.signature[:half], signed.signature[half:]))
    try:
        key.verify(encode_dss_signature(r, s), signed.signed_bytes, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        raise refused("its signature does not belong to its content and certificate: it was altered") from None


def _check_age(document: Document, policy: AttestationPolicy, now: datetime) -> None:
    age = now - document.timestamp
    if not -_CLOCK_SKEW <= age <= timedelta(seconds=policy.max_age_seconds):
        raise refused(
            f"it was made at {document.timestamp.isoformat()}, {age.total_seconds():,.0f} s before "
            f"{now.astimezone(UTC).isoformat()}; {-_CLOCK_SKEW.total_seconds():.0f} to {policy.max_age_seconds} s are "
            "accepted",
            mend="get a new document for every use and check this machine's clock",
        )


def _check_measurements(document: Document, measurements: Sequence[Measurement]) -> None:
    # Every PCR of every alternative is compared, whatever came before: how long it takes tells nothing.
    if sum(_matches(document, measurement) for measurement in measurements) == 0:
        came = {index: pcr.hex() for index, pcr in document.pcrs.items() if any(index in m for m in measurements)}
        raise refused(
            f"its measurements are none of the {len(measurements)} that are accepted: {came} came, "
            f"{' or '.join(map(str, measurements))} was expected",
            mend=_MEND_MEASUREMENT,
        )


def _matches(document: Document, measurement: Measurement) -> bool:
    matching = sum(
        hmac.compare_digest(document.pcrs.get(index, b""), bytes.fromhex(expected))
        for index, expected in measurement.items()
    )
    return matching == len(measurement)


def _check_equal(name: str, came: bytes | None, expected: bytes) -> None:
    if came is None:
        raise refused(f"it has no {name}, {expected.hex()[:60]} was expected")
    if not hmac.compare_digest(came, expected):
        raise refused(
            f"its {name} is {came.hex()[:60]}, {expected.hex()[:60]} was expected",
            mend="ask for a new document with a new nonce: this one was made for another question, or replayed",
        )
