"""Documents from the Nitro Security Module of an enclave: one ioctl on `/dev/nsm` with CBOR both ways.

Form of the messages: https://github.com/aws/aws-nitro-enclaves-nsm-api (src/api/mod.rs, src/driver/mod.rs) and Linux,
include/uapi/linux/nsm.h. The device exists inside Nitro Enclaves and Nitro Sandboxes alone: what speaks to it here was
tested against a stand-in for the driver, never against the device.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cbor2

from mnist_tasks.errors import AttestationRefused, ConfigurationError

DEVICE: Final = Path("/dev/nsm")
NSM_IOCTL_RAW: Final = 0xC0200A00  # _IOWR(0x0A, 0, struct nsm_raw), whose size is 32
_MAX_REQUEST: Final = 0x1000
_MAX_RESPONSE: Final = 0x3000


class _IoVec(ctypes.Structure):
    _fields_ = (("address", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _NsmRaw(ctypes.Structure):
    _fields_ = (("request", _IoVec), ("response", _IoVec))


@dataclass(frozen=True)
class NitroSource:
    """The security module of the enclave that this process runs in."""

    device: Path = DEVICE

    def attest(self, *, public_key: bytes, nonce: bytes | None = None, user_data: bytes | None = None) -> bytes:
        """A document of this moment.

        Args:
            public_key: DER, at most 1,024 bytes; KMS encrypts to it.
            nonce: what the verifier asked for, at most 512 bytes.
            user_data: what the document should vouch for besides, at most 512 bytes.

        Raises:
            ConfigurationError: there is no such device here.
            AttestationRefused: the module refuses, or answers something else than a document.
        """
        request = encode_request(public_key=public_key, nonce=nonce, user_data=user_data)
        return decode_response(self._exchange(request))

    def _exchange(self, request: bytes) -> bytes:
        try:
            descriptor = os.open(self.device, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigurationError(
                f"no attestation document can be had: {self.device} cannot be opened ({error.strerror})",
                mend="run this inside a Nitro Enclave or a confidential Nitro Sandbox (Fargate is neither); for "
                "development see software attestation in docs/attestation.md",
            ) from error
        try:
            return _ioctl(descriptor, request)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "?")
            raise _refused(f"the ioctl on {self.device} failed with {name} ({error.strerror})") from error
        finally:
            os.close(descriptor)


def encode_request(*, public_key: bytes | None, nonce: bytes | None, user_data: bytes | None) -> bytes:
    """The module's `Attestation` request.

    Raises:
        AttestationRefused: it is longer than the module takes.
    """
    content = {"user_data": user_data, "nonce": nonce, "public_key": public_key}
    request = cbor2.dumps({"Attestation": content})
    if len(request) > _MAX_REQUEST:
        raise _refused(f"the request has {len(request):,} bytes, the module takes {_MAX_REQUEST:,}")
    return request


def decode_response(response: bytes) -> bytes:
    """The document in the module's answer.

    Raises:
        AttestationRefused: the answer is an error, or none that the module's interface describes.
    """
    try:
        answer: Any = cbor2.loads(response, max_depth=4, allow_duplicate_keys=False)
    except cbor2.CBORError as error:
        raise _refused(f"its answer is not CBOR: {error}") from None
    match answer:
        case {"Attestation": {"document": bytes(document)}} if document:
            return document
        case {"Error": code}:
            raise _refused(f"its answer is the error {code!r:.40}")
    raise _refused(f"its answer holds no document: {answer!r:.60}")


def _ioctl(descriptor: int, request: bytes) -> bytes:
    outgoing = ctypes.create_string_buffer(request, len(request))
    incoming = ctypes.create_string_buffer(_MAX_RESPONSE)
    message = _NsmRaw(
        _IoVec(ctypes.addressof(outgoing), len(outgoing)),
        _IoVec(ctypes.addressof(incoming), len(incoming)),
    )
    fcntl.ioctl(descriptor, NSM_IOCTL_RAW, message)
    # The driver writes the answer's length where the buffer's stood.
    return incoming.raw[: message.response.length]


def _refused(why: str) -> AttestationRefused:
    return AttestationRefused(
        f"the Nitro security module gave no document: {why}",
        mend="check that nonce and user_data have at most 512 bytes and the key 1,024; else restart the enclave",
    )
