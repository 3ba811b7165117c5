"""DSSE, the "Dead Simple Signing Envelope": a payload, its type, and signatures over both.

The signature covers the bytes that are stored, so that nothing has to be parsed, let alone brought into a canonical
form, before it is believed: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md

Stricter than that text in one point: an envelope with a field that the text does not name is refused. Nobody has signed
such a field, so it has no place in a record.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer

from mnist_tasks.config import Frozen
from mnist_tasks.errors import ConfigurationError, SignatureRefused
from mnist_tasks.signing.keys import TrustedKeys
from mnist_tasks.signing.kms import Signer
from mnist_tasks.strictjson import from_json

_URL_SAFE = str.maketrans("-_", "+/")


def _from_base64(value: object) -> object:
    # A verifier must accept both alphabets. pydantic's own Base64Bytes skips characters that belong to neither.
    if not isinstance(value, str):
        raise ValueError("base64 is a string")  # noqa: TRY004 - what pydantic turns into its own error
    return base64.b64decode(value.translate(_URL_SAFE), validate=True)


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


Base64 = Annotated[bytes, BeforeValidator(_from_base64), PlainSerializer(_to_base64, return_type=str)]


class Signature(Frozen):
    """One signature. `keyid` is a hint at the key and no more: nobody has signed it."""

    keyid: str = ""
    sig: Base64


class Envelope(Frozen):
    """What is stored. Field names are DSSE's."""

    payload: Base64
    payloadType: str  # noqa: N815
    signatures: tuple[Signature, ...] = Field(min_length=1, max_length=8)

    @property
    def signed(self) -> bytes:
        """The bytes that the signatures are about."""
        return pae(self.payloadType, self.payload)


@dataclass(frozen=True)
class Believed:
    """A payload that one of the trusted keys has signed, and the id of that key."""

    payload: bytes
    keyid: str


def pae(payload_type: str, payload: bytes) -> bytes:
    """The Pre-Authentication Encoding: type and payload, each with its length, so that neither runs into the other.

    >>> pae("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(payload: bytes, payload_type: str, *, signer: Signer, keys: TrustedKeys) -> bytes:
    """Sign a payload; returns the envelope as it is stored.

    Raises:
        ConfigurationError: the signer's key is not among `keys`: what it signs, nobody would believe.
        TemporaryError: the signer cannot answer now.
    """
    signed = pae(payload_type, payload)
    signature = signer.sign(signed)
    keyid = keys.signer_of(signed, signature)
    if keyid is None:
        raise ConfigurationError(
            f"the signing key {signer.identity} is not among the {keys}",
            mend="put its public key into the file that MNIST_SIGNING_KEYS names, wherever decisions are read",
        )
    envelope = Envelope.model_construct(
        payload=payload,
        payloadType=payload_type,
        signatures=(Signature.model_construct(keyid=keyid, sig=signature),),
    )
    return (json.dumps(envelope.model_dump(mode="json"), sort_keys=True, indent=1) + "\n").encode()


def open_envelope(body: bytes, payload_type: str, *, keys: TrustedKeys, where: str) -> Believed:
    """The payload of an envelope, once one of the trusted keys is known to have signed it as `payload_type`.

    Args:
        body: What is stored.
        payload_type: The only type that is expected here.
        keys: Whom we believe.
        where: What that is, for the error.

    Raises:
        SignatureRefused: it is no envelope, of another type, or not signed by any of the keys.
    """
    envelope = _parsed(body, where)
    if envelope.payloadType != payload_type:
        raise _refused(where, f"is signed as {envelope.payloadType!r:.80}, expected {payload_type}")
    for signature in envelope.signatures:
        if keyid := keys.signer_of(envelope.signed, signature.sig):
            return Believed(envelope.payload, keyid)
    named = ", ".join(f"{signature.keyid or 'unnamed'!r:.70}" for signature in envelope.signatures)
    raise _refused(where, f"carries no valid signature of the {keys}; it names the key {named}")


def _parsed(body: bytes, where: str) -> Envelope:
    try:
        content = from_json(body)
    except ValueError as error:
        raise _refused(where, f"is not JSON ({error!s:.80}); it starts with {body[:40]!r}") from None
    try:
        return Envelope.checked(content if isinstance(content, dict) else {"": content}, mend="")
    except ConfigurationError as error:
        raise _refused(where, f"is no DSSE envelope: {error.problem}") from None


def _refused(where: str, what: str) -> SignatureRefused:
    return SignatureRefused(
        f"{where} {what}",
        mend="find out who wrote it, and restore the object's first version in S3; if the signing key is a new one, "
        "put its public key into the file that MNIST_SIGNING_KEYS names (docs/signing.md)",
    )
