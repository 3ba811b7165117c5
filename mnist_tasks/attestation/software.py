"""Software attestation: not a TEE. Documents of the same form as Nitro's, signed by a key that lies in a folder.

For development and tests: it shows that the whole path works (live nonce, live key, chain, measurements, refusals),
and proves nothing about the machine it runs on. Production refuses it in its configuration (`policy`) and in the
verifier, which believes AWS's root alone.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from mnist_tasks.config import SOFTWARE_LABEL
from mnist_tasks.errors import ConfigurationError

MODULE_ID: Final = "software-attestation-not-a-tee"
_KEY_FILE: Final = "root.key.pem"
_ROOT_FILE: Final = "root.pem"
_ROOT_LIFE: Final = timedelta(days=365)
_LEAF_LIFE: Final = timedelta(hours=3)  # as Nitro's
_PROTECTED: Final = cbor2.dumps({1: -35})


def utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)


def measure(files: Iterable[Path]) -> bytes:
    """SHA-384 over the content of files, in the order of their paths: a stand-in for PCR0, 48 bytes."""
    digest = hashlib.sha384()
    for path in sorted(files):
        digest.update(hashlib.sha384(path.read_bytes()).digest())
    return digest.digest()


@dataclass(frozen=True)
class SoftwareSource:
    """A key and a root certificate in a folder; every document gets a leaf certificate of its own.

    Args:
        root: the self-signed certificate.
        key: its private key.
        pcrs: what the documents claim to have measured, 48 bytes for each index.
        clock: the time that documents and leaf certificates are made at.
    """

    root: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    pcrs: Mapping[int, bytes]
    clock: Callable[[], datetime] = utc_now

    @classmethod
    def open(
        cls, folder: Path, pcrs: Mapping[int, bytes], *, clock: Callable[[], datetime] = utc_now
    ) -> SoftwareSource:
        """The root in this folder, made if there is none: processes that share the folder share the root.

        Raises:
            ConfigurationError: what lies there is no root.
        """
        try:
            if not (folder / _ROOT_FILE).exists():
                _make_root(folder, clock())
            root = x509.load_pem_x509_certificate((folder / _ROOT_FILE).read_bytes())
            key = serialization.load_pem_private_key((folder / _KEY_FILE).read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise _no_root(folder, error) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != root.public_key():
            raise _no_root(folder, "key and certificate do not belong together")
        return cls(root, key, dict(pcrs), clock)

    @property
    def root_sha256(self) -> str:
        """What `MNIST_ATTESTATION_SOFTWARE_ROOT` of a verifier has to be."""
        return self.root.fingerprint(hashes.SHA256()).hex()

    def attest(self, *, public_key: bytes, nonce: bytes | None = None, user_data: bytes | None = None) -> bytes:
        """A document of this moment; see `nsm.NitroSource.attest`."""
        now = self.clock()
        leaf_key = ec.generate_private_key(ec.SECP384R1())
        leaf = _leaf(self.root, self.key, leaf_key.public_key(), now)
        payload = cbor2.dumps(
            {
                "module_id": MODULE_ID,
                "digest": "SHA384",
                "timestamp": int(now.timestamp() * 1000),
                "pcrs": dict(self.pcrs),
                "certificate": leaf.public_bytes(serialization.Encoding.DER),
                "cabundle": [self.root.public_bytes(serialization.Encoding.DER)],
                "public_key": public_key,
                "user_data": user_data,
                "nonce": nonce,
            }
        )
        return cbor2.dumps([_PROTECTED, {}, payload, cose_signature(leaf_key, payload)])


def cose_signature(key: ec.EllipticCurvePrivateKey, payload: bytes) -> bytes:
    """The ES384 signature of a COSE_Sign1 structure: r and s, 48 bytes each."""
    signed = cbor2.dumps(["Signature1", _PROTECTED, b"", payload])
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA384())))
    return r.to_bytes(48) + s.to_bytes(48)


def _make_root(folder: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SOFTWARE_LABEL)])
    root = (
        _builder(name, name, key.public_key(), now - timedelta(minutes=1), now + _ROOT_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA384())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A temporary directory is its owner's alone, and a rename is whole or not at all: of several processes that make a
    # root at once, one wins, and all of them read the winner's.
    with tempfile.TemporaryDirectory(prefix=".root-", dir=folder.parent) as temporary:
        made = Path(temporary) / folder.name
        made.mkdir(mode=0o700)
        _write(made / _KEY_FILE, secret)
        _write(made / _ROOT_FILE, root.public_bytes(pem))
        try:
            made.rename(folder)
        except OSError:
            if not (folder / _ROOT_FILE).exists():
                raise


def _leaf(
    root: x509.Certificate, key: ec.EllipticCurvePrivateKey, public_key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, MODULE_ID)])
    return (
        _builder(name, root.subject, public_key, now - timedelta(seconds=3), now + _LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .sign(key, hashes.SHA384())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _no_root(folder: Path, why: object) -> ConfigurationError:
    return ConfigurationError(
        f"{folder} holds no root for software attestation: {why}",
        mend="delete the folder: the next document makes a new root, and the verifiers have to be told its SHA-256",
    )
