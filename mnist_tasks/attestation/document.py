"""What an attestation document of the Nitro hypervisor is made of, read strictly. Nothing here is believed yet.

A document is a COSE_Sign1 structure (RFC 9052, section 4.2) around a CBOR map. Names, types and sizes follow
https://github.com/aws/aws-nitro-enclaves-nsm-api/blob/main/docs/attestation_process.md (sections 2.2 and 3.2), with
one difference that real documents ask for: an optional field that is absent may also be null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import cbor2

from mnist_tasks.errors import AttestationRefused

MEND = "get a new document from the source; if it comes again, the source or what lies between is broken or hostile"

_ES384_HEADER: Final = bytes.fromhex("a1013822")  # {1: -35}: algorithm, ECDSA with SHA-384
_COSE_SIGN1_TAG: Final = b"\xd2"  # 18; AWS's specification shows it, the hypervisor leaves it out
_SIGNATURE_BYTES: Final = 96
_DIGEST: Final = "SHA384"
PCR_BYTES: Final = 48
_PCRS: Final = 32
_MAX_PAYLOAD: Final = 16_384
_MAX_DOCUMENT: Final = _MAX_PAYLOAD + 256
_MAX_CERTIFICATE: Final = 1024
_MAX_CA_BUNDLE: Final = 16
_MAX_DEPTH: Final = 4
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MILLISECOND: Final = 253_402_300_799_999  # the end of the year 9999, where datetime ends

_REQUIRED: Final = frozenset({"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"})
_OPTIONAL_BYTES: Final = {"public_key": range(1, 1025), "user_data": range(513), "nonce": range(513)}


@dataclass(frozen=True)
class Document:
    """What the hypervisor says. `pcrs` has 48 bytes for each index; certificates are DER, the root first."""

    module_id: str
    timestamp: datetime
    pcrs: Mapping[int, bytes]
    certificate: bytes
    ca_bundle: tuple[bytes, ...]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None


@dataclass(frozen=True)
class SignedDocument:
    """A document with what its signature is checked over: `signature` is r and s, 48 bytes each."""

    document: Document
    signature: bytes
    signed_bytes: bytes


def parse(data: bytes) -> SignedDocument:
    """Read a document of the hypervisor, tagged or not.

    Raises:
        AttestationRefused: it differs in anything from the specified form; signature and content are not judged here.
    """
    if len(data) > _MAX_DOCUMENT:
        raise refused(f"it has {len(data):,} bytes, at most {_MAX_DOCUMENT:,} were expected")
    protected, payload, signature = _parts(_decode(data.removeprefix(_COSE_SIGN1_TAG), "the COSE structure"))
    return SignedDocument(
        document=_document(_decode(payload, "the payload")),
        signature=signature,
        signed_bytes=cbor2.dumps(["Signature1", protected, b"", payload]),
    )


def refused(why: str, *, mend: str = MEND) -> AttestationRefused:
    """The refusal of a document."""
    return AttestationRefused(f"the attestation document is refused: {why}", mend=mend)


def _decode(data: bytes, what: str) -> Any:
    """One CBOR item in its only allowed encoding: shortest lengths, none indefinite, no duplicate keys, no rest."""
    try:
        value = cbor2.loads(data, max_depth=_MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False)
        again = cbor2.dumps(value)
    except cbor2.CBORError as error:
        raise refused(f"{what} is not the CBOR that was expected: {error}") from None
    if again != data:
        raise refused(f"{what} is not CBOR in its shortest form, or bytes follow it ({len(data):,} bytes came)")
    return value


def _parts(cose: Any) -> tuple[bytes, bytes, bytes]:
    if type(cose) is not list or len(cose) != 4:
        raise refused(f"a COSE_Sign1 array of 4 was expected, {_shown(cose)} came")
    protected, unprotected, payload, signature = cose
    if protected != _ES384_HEADER:
        raise refused(f"its protected header is {_shown(protected)}, only ES384 ({_ES384_HEADER.hex()}) is accepted")
    if type(unprotected) is not dict or unprotected:
        raise refused(f"its unprotected header has to be an empty map, {_shown(unprotected)} came")
    return (
        protected,
        _bytes("payload", payload, range(1, _MAX_PAYLOAD + 1)),
        _bytes("signature", signature, range(_SIGNATURE_BYTES, _SIGNATURE_BYTES + 1)),
    )


def _document(content: Any) -> Document:
    if type(content) is not dict:
        raise refused(f"its payload has to be a map, {_shown(content)} came")
    missing = sorted(_REQUIRED - content.keys())
    unknown = sorted(map(_shown, content.keys() - _REQUIRED - _OPTIONAL_BYTES.keys()))
    if missing or unknown:
        raise refused(f"missing fields: {', '.join(missing) or 'none'}; unknown fields: {', '.join(unknown) or 'none'}")
    if content["digest"] != _DIGEST:
        raise refused(f"its digest is {_shown(content['digest'])}, {_DIGEST} was expected")
    return Document(
        module_id=_module_id(content["module_id"]),
        timestamp=_timestamp(content["timestamp"]),
        pcrs=_pcrs(content["pcrs"]),
        certificate=_bytes("certificate", content["certificate"], range(1, _MAX_CERTIFICATE + 1)),
        ca_bundle=_ca_bundle(content["cabundle"]),
        **{name: _optional(name, content.get(name), sizes) for name, sizes in _OPTIONAL_BYTES.items()},
    )


def _module_id(value: Any) -> str:
    if type(value) is not str or not value:
        raise refused(f"module_id has to be a text that is not empty, {_shown(value)} came")
    return value


def _timestamp(value: Any) -> datetime:
    if type(value) is not int or not 0 < value <= _LAST_MILLISECOND:
        raise refused(f"timestamp has to be milliseconds since 1970, {_shown(value)} came")
    return _EPOCH + timedelta(milliseconds=value)


def _pcrs(value: Any) -> dict[int, bytes]:
    if type(value) is not dict or not 1 <= len(value) <= _PCRS:
        raise refused(f"pcrs has to be a map of 1 to {_PCRS}, {_shown(value)} came")
    for index in value:
        if type(index) is not int or not 0 <= index < _PCRS:
            raise refused(f"a PCR's index has to be an integer from 0 to {_PCRS - 1}, {_shown(index)} came")
    return {index: _bytes(f"PCR{index}", pcr, range(PCR_BYTES, PCR_BYTES + 1)) for index, pcr in value.items()}


def _ca_bundle(value: Any) -> tuple[bytes, ...]:
    if type(value) is not list or not 1 <= len(value) <= _MAX_CA_BUNDLE:
        raise refused(f"cabundle has to be an array of 1 to {_MAX_CA_BUNDLE}, {_shown(value)} came")
    return tuple(_bytes("cabundle's certificate", item, range(1, _MAX_CERTIFICATE + 1)) for item in value)


def _optional(name: str, value: Any, sizes: range) -> bytes | None:
    return None if value is None else _bytes(name, value, sizes)


def _bytes(name: str, value: Any, sizes: range) -> bytes:
    # Exact types: cbor2 knows more of them, and True is an int.
    if type(value) is not bytes:
        raise refused(f"{name} has to be a byte string, {_shown(value)} came")
    if len(value) not in sizes:
        raise refused(f"{name} has {len(value):,} bytes, {sizes.start:,} to {sizes.stop - 1:,} were expected")
    return value


def _shown(value: Any) -> str:
    """A value of the sender's, short enough for a message."""
    text = value.hex() if type(value) is bytes else repr(value)
    return f"{type(value).__name__} {text[:60]}"
