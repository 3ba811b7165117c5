"""Attestation documents as a Nitro hypervisor with a root of our own would make them, and with any defect one wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from mnist_tasks.attestation import AttestationPolicy
from mnist_tasks.attestation.software import cose_signature

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NONCE = b"n" * 32
USER_DATA = b"decision 17"
PCRS = {index: bytes([index + 1]) * 48 for index in range(3)} | {3: bytes(48)}
HEADER = bytes.fromhex("a1013822")
_YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Link:
    """One certificate of a chain; the defaults are those of an authority."""

    name: str
    start: datetime = NOW - timedelta(hours=1)
    end: datetime = NOW + timedelta(hours=2)
    ca: bool = True
    path_length: int | None = None
    constraints: bool = True
    constraints_critical: bool = True
    usage: bool = True
    signs_certificates: bool = True
    signs_documents: bool = False
    algorithm: type[hashes.HashAlgorithm] = hashes.SHA384
    curve: type[ec.EllipticCurve] = ec.SECP384R1
    extension: x509.ExtensionType | None = None
    issuer: str | None = None


ROOT = Link("root", start=NOW - _YEAR, end=NOW + _YEAR)
LEAF = Link("enclave", ca=False, signs_certificates=False, signs_documents=True)
# As Nitro's: root, region, zone, instance, enclave.
CHAIN = (ROOT, Link("region", path_length=2), Link("zone", path_length=1), Link("instance", path_length=0), LEAF)


@dataclass(frozen=True)
class Chain:
    """Certificates (DER, root first) and the key of the last."""

    certificates: tuple[bytes, ...]
    key: ec.EllipticCurvePrivateKey

    @property
    def root_sha256(self) -> str:
        digest = hashes.Hash(hashes.SHA256())
        digest.update(self.certificates[0])
        return digest.finalize().hex()


@cache
def make_chain(links: tuple[Link, ...] = CHAIN) -> Chain:
    keys = [ec.generate_private_key(link.curve()) for link in links]
    issuers = [0, *range(len(links) - 1)]
    certificates = tuple(
        _certificate(link, key.public_key(), keys[issuer], link.issuer or links[issuer].name)
        for link, key, issuer in zip(links, keys, issuers, strict=True)
    )
    return Chain(certificates, keys[-1])


def chain_with(position: int, **changes: Any) -> Chain:
    """Nitro's chain with one certificate changed."""
    links = list(CHAIN)
    links[position] = replace(links[position], **changes)
    return make_chain(tuple(links))


def _certificate(
    link: Link, key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePrivateKey, issuer: str
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(link.name))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(link.start)
        .not_valid_after(link.end)
    )
    if link.constraints:
        length = link.path_length if link.ca else None
        builder = builder.add_extension(x509.BasicConstraints(link.ca, length), critical=link.constraints_critical)
    if link.usage:
        builder = builder.add_extension(_usage(link), critical=True)
    if link.extension:
        builder = builder.add_extension(link.extension, critical=True)
    return builder.sign(issuer_key, link.algorithm()).public_bytes(serialization.Encoding.DER)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(link: Link) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=link.signs_documents,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=link.signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def public_der(key: Any) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def content(chain: Chain | None = None, **changes: Any) -> dict[str, Any]:
    """What a good document says; a change to `...` leaves the field out."""
    chain = chain or make_chain()
    fields = {
        "module_id": "i-0123456789abcdef0-enc0123456789abcdef0",
        "digest": "SHA384",
        "timestamp": int(NOW.timestamp() * 1000),
        "pcrs": PCRS,
        "certificate": chain.certificates[-1],
        "cabundle": list(chain.certificates[:-1]),
        "public_key": public_der(rsa_key()),
        "user_data": USER_DATA,
        "nonce": NONCE,
    }
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def sealed(payload: bytes, chain: Chain | None = None, *, header: bytes = HEADER, unprotected: Any = None) -> bytes:
    """A payload in a COSE_Sign1 structure; the signature is good whatever the payload is."""
    signature = cose_signature((chain or make_chain()).key, payload)
    return cbor2.dumps([header, {} if unprotected is None else unprotected, payload, signature])


def document(chain: Chain | None = None, **changes: Any) -> bytes:
    """A document whose signature and certificates are good, unless the chain is not."""
    return sealed(cbor2.dumps(content(chain, **changes)), chain)


def policy(chain: Chain | None = None, *, pcrs: Sequence[int] = (0, 1, 2), **changes: Any) -> AttestationPolicy:
    """Accepts `document()`: trusts the chain's root as a software root, and the PCRs of PCRS."""
    values: Mapping[str, Any] = {
        "measurements": [{index: PCRS[index].hex() for index in pcrs}],
        "production": False,
        "software_root": (chain or make_chain()).root_sha256,
    }
    return AttestationPolicy(**{**values, **changes})
