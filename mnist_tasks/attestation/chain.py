"""Does the certificate that signed a document chain to the pinned root?

RFC 5280 path validation is `cryptography.x509.verification`'s; this adds what Nitro's documents promise beyond it:
https://github.com/aws/aws-nitro-enclaves-nsm-api/blob/main/docs/attestation_process.md (section 3.2.3).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import SignatureAlgorithmOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from mnist_tasks.attestation.document import Document, refused

# SHA-256 of the DER of "CN=aws.nitro-enclaves,O=Amazon,OU=AWS,C=US", valid until 2049-10-28:
# https://docs.aws.amazon.com/enclaves/latest/user/verify-root.html
AWS_NITRO_ROOT_SHA256: Final = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"

_MEND_CHAIN: Final = "get a new document (its certificate lives three hours) and check this machine's clock"


def signing_key(document: Document, roots: Sequence[str], now: datetime) -> tuple[ec.EllipticCurvePublicKey, str]:
    """The key that may sign this document at `now`, and the root that vouches for it.

    Args:
        document: where the certificates come from.
        roots: SHA-256 (hexadecimal) of the DER of each root certificate that is trusted.
        now: when the certificates have to be valid; with a time zone.

    Raises:
        AttestationRefused: another root, or a path that is not valid from end to end.
    """
    root_sha256 = hashlib.sha256(document.ca_bundle[0]).hexdigest()
    # No early end: which of the roots it is takes the same time.
    if sum(hmac.compare_digest(root_sha256, root) for root in roots) == 0:
        raise refused(
            f"its root certificate has SHA-256 {root_sha256}, expected {' or '.join(roots)}",
            mend="only AWS's hardware can make a document that is accepted; software attestation is for development "
            "and has to be allowed by MNIST_ATTESTATION_SOFTWARE_ROOT, which production refuses",
        )
    path = [_certificate(der) for der in (document.certificate, *reversed(document.ca_bundle))]
    keys = [_checked_key(certificate) for certificate in path]
    _validate(path, now)
    return keys[0], root_sha256


def _certificate(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refused(f"one of its certificates cannot be read: {error}") from None


def _checked_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """ES384 from the root to the document: what another algorithm signed is not of this PKI."""
    name = _name(certificate)
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
        oid = certificate.signature_algorithm_oid.dotted_string
        raise refused(f"the certificate of {name} is signed with {oid}, ECDSA with SHA-384 was expected")
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refused(f"the key of {name} cannot be read: {error}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise refused(f"the key of {name} is not on the curve P-384")
    return key


def _validate(path: list[x509.Certificate], now: datetime) -> None:
    """`path` runs from the leaf to the root; exactly this path has to be valid, not some other one through it."""
    leaf, *intermediates, root = path
    verifier = (
        PolicyBuilder()
        .store(Store([root]))
        .time(now)
        .max_chain_depth(len(intermediates))
        .extension_policies(ca_policy=_CA, ee_policy=_LEAF)
        .build_client_verifier()
    )
    try:
        found = verifier.verify(leaf, intermediates).chain
    except (VerificationError, ValueError, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
        windows = "; ".join(f"{_name(c)} {c.not_valid_before_utc} to {c.not_valid_after_utc}" for c in path)
        raise refused(
            f"its certificates are not a valid path at {now.isoformat()}: {error}. They are valid: {windows}",
            mend=_MEND_CHAIN,
        ) from None
    if found != path:
        raise refused("its certificates are not in the order root, intermediates, or not all of them are needed")


def _name(certificate: x509.Certificate) -> str:
    try:
        return certificate.subject.rfc4514_string()[:80]
    except ValueError:
        return "unreadable name"


def _ca_usage(_policy: Policy, _certificate: x509.Certificate, extension: x509.KeyUsage) -> None:
    if not extension.key_cert_sign:
        raise ValueError("an issuer may not sign certificates (keyUsage without keyCertSign)")


def _leaf_constraints(_policy: Policy, _certificate: x509.Certificate, extension: x509.BasicConstraints | None) -> None:
    if extension is not None and extension.ca:
        raise ValueError("the document is signed by a certificate authority (basicConstraints)")


def _leaf_usage(_policy: Policy, _certificate: x509.Certificate, extension: x509.KeyUsage) -> None:
    if not extension.digital_signature:
        raise ValueError("the leaf may not sign (keyUsage without digitalSignature)")


# The defaults of the library are those of the web's PKI (subjectAltName, authorityKeyIdentifier), which Nitro's leaves
# have not. Validity, cA, path length and unknown critical extensions are the library's own checks in any case.
_CA = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.CRITICAL, None)
    .require_present(x509.KeyUsage, Criticality.CRITICAL, _ca_usage)
)
_LEAF = (
    ExtensionPolicy.permit_all()
    .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _leaf_constraints)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _leaf_usage)
)
