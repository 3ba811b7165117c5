"""Requests to and answers of the Nitro Security Module, byte for byte.

The device is not to be had outside an enclave: a stand-in for its driver reads the structure that the driver reads.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import struct
from pathlib import Path

import pytest

from mnist_tasks.attestation import NitroSource
from mnist_tasks.attestation.nsm import decode_response, encode_request
from mnist_tasks.errors import AttestationRefused, ConfigurationError

REQUEST = bytes.fromhex(
    "a1"  # map of 1
    "6b4174746573746174696f6e"  # "Attestation"
    "a3"  # map of 3
    "69757365725f646174614101"  # "user_data": h'01'
    "656e6f6e6365420203"  # "nonce": h'0203'
    "6a7075626c69635f6b657943040506"  # "public_key": h'040506'
)
RESPONSE = bytes.fromhex(
    "a1"
    "6b4174746573746174696f6e"  # "Attestation"
    "a1"
    "68646f63756d656e7443d28443"  # "document": h'd28443'
)


def test_a_request_is_encoded_as_the_module_reads_it():
    assert encode_request(public_key=b"\x04\x05\x06", nonce=b"\x02\x03", user_data=b"\x01") == REQUEST


def test_what_is_not_asked_for_is_null():
    assert encode_request(public_key=None, nonce=None, user_data=None) == bytes.fromhex(
        "a16b4174746573746174696f6ea369757365725f64617461f6656e6f6e6365f66a7075626c69635f6b6579f6"
    )


def test_a_request_that_is_too_long_is_not_sent():
    with pytest.raises(AttestationRefused, match="the module takes 4,096"):
        encode_request(public_key=bytes(4096), nonce=None, user_data=None)


def test_an_answer_holds_the_document():
    assert decode_response(RESPONSE) == bytes.fromhex("d28443")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"", "not CBOR"),
        (RESPONSE[:-1], "not CBOR"),
        (bytes.fromhex("a1654572726f726d496e707574546f6f4c61726765"), "the error 'InputTooLarge'"),
        (bytes.fromhex("a1696765745f72616e646f6d41ff"), "no document"),
        (bytes.fromhex("a16b4174746573746174696f6ea168646f63756d656e7440"), "no document"),
        (bytes.fromhex("a16b4174746573746174696f6ea168646f63756d656e746161"), "no document"),
        (bytes.fromhex("674c6f636b504352"), "no document"),
    ],
)
def test_any_other_answer_is_refused(response, reason):
    with pytest.raises(AttestationRefused, match=reason):
        decode_response(response)


def test_without_the_device_the_message_says_where_it_would_be():
    with pytest.raises(ConfigurationError, match=r"/nowhere/nsm cannot be opened.*\n.*Fargate is neither"):
        NitroSource(Path("/nowhere/nsm")).attest(public_key=b"k")


def test_a_file_that_is_no_security_module_is_refused(tmp_path):
    (tmp_path / "nsm").touch()

    with pytest.raises(AttestationRefused, match="ENOTTY"):
        NitroSource(tmp_path / "nsm").attest(public_key=b"k")


@pytest.fixture
def driver(monkeypatch, tmp_path):
    """The driver's side of the ioctl: reads the request where the structure points, writes answer and length."""
    (tmp_path / "nsm").touch()
    seen = {}

    def ioctl(descriptor, number, message):
        request, size, response, capacity = struct.unpack("=4Q", bytes(message))
        seen.update(number=number, request=ctypes.string_at(request, size), capacity=capacity)
        if "errno" in seen:
            raise OSError(seen["errno"], "refused by the driver")
        ctypes.memmove(response, RESPONSE, len(RESPONSE))
        struct.pack_into("=Q", message, 24, seen.get("length", len(RESPONSE)))
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    return seen, NitroSource(tmp_path / "nsm")


def test_the_driver_gets_the_request_and_its_answer_is_read(driver):
    seen, source = driver

    assert source.attest(public_key=b"\x04\x05\x06", nonce=b"\x02\x03", user_data=b"\x01") == bytes.fromhex("d28443")
    assert seen == {"number": 0xC0200A00, "request": REQUEST, "capacity": 0x3000}


def test_an_error_of_the_driver_is_named(driver):
    seen, source = driver
    seen["errno"] = errno.EMSGSIZE

    with pytest.raises(AttestationRefused, match="EMSGSIZE"):
        source.attest(public_key=b"k")


def test_nothing_is_read_beyond_the_length_that_the_driver_gives(driver):
    seen, source = driver
    seen["length"] = 0

    with pytest.raises(AttestationRefused, match="not CBOR"):
        source.attest(public_key=b"k")
