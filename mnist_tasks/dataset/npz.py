"""Read an npz file that may be anything, and write one whose bytes depend on the arrays alone.

`np.load(allow_pickle=False)` unpickles nothing, but it inflates whatever an archive declares: 389 KB can become
400 MB. Here the archive's directory and each array's header are compared with what has to be there before anything is
inflated, and no more is ever inflated than the shapes allow. Formats: APPNOTE.TXT of PKWARE for zip,
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html for npy.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from typing import IO

import numpy as np
from numpy.typing import NDArray

from mnist_tasks.dataset.arrays import Dataset
from mnist_tasks.errors import DataError

Shapes = Mapping[str, tuple[int, ...]]

_MEND = "fetch the file again from its source, or write it anew with mnist_tasks.dataset.write_npz"
_END_OF_DIRECTORY = struct.Struct("<4sHHHHLLH")  # signature, two disk numbers, two counts, size, offset, comment
_END_SIGNATURE = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_ZIP64_LOCATOR_SIZE = 20
_ENCRYPTED = 0x1
_MAX_DIRECTORY = 4096  # four entries take about 220 bytes
_MAX_HEADER = 1024  # NumPy writes 54 to 118 bytes for such arrays
_NPY_MAGIC = b"\x93NUMPY\x01\x00"
_NPY_HEADER = re.compile(
    rb"\{'descr': '(?P<type>[^']{1,16})', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>[0-9, ]{0,64})\), \} *\n"
)
# What the standard library raises for archives that are broken in some way of their own.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
    struct.error,
)


def read_npz(data: bytes, shapes: Shapes) -> Dataset:
    """The data set in the bytes of an npz file; the arrays are read-only.

    Args:
        data: The whole file.
        shapes: The shape of each array that has to be there.

    Raises:
        DataError: the archive, a header or an array is not what it has to be. Nothing else, whatever `data` is.
    """
    _check_directory(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive, shapes)
            return Dataset(**{name: _read_array(archive, members[name], shapes[name]) for name in shapes})
    except _BROKEN as error:
        raise DataError(f"the npz archive is damaged: {error}", mend=_MEND) from error


def _check_directory(data: bytes) -> None:
    """Before `zipfile` reads the directory: it would make an object of every entry, and there may be millions."""
    if not data.startswith(b"PK"):
        raise DataError(
            f"not an npz archive: {len(data):,} bytes that start with {data[:20]!r}, expected b'PK'", mend=_MEND
        )
    tail = data[-_END_OF_DIRECTORY.size :]
    if len(tail) < _END_OF_DIRECTORY.size or not tail.startswith(_END_SIGNATURE):
        raise DataError(
            f"the npz archive is cut off or has something appended: after {len(data):,} bytes there is no directory",
            mend=_MEND,
        )
    size = _END_OF_DIRECTORY.unpack(tail)[5]
    locator = data[-_END_OF_DIRECTORY.size - _ZIP64_LOCATOR_SIZE :]
    if size > _MAX_DIRECTORY or locator.startswith(_ZIP64_LOCATOR):
        raise DataError(
            f"the npz archive's directory is too large: {size:,} bytes (or zip64), expected at most {_MAX_DIRECTORY:,}",
            mend=_MEND,
        )


def _members(archive: zipfile.ZipFile, shapes: Shapes) -> dict[str, zipfile.ZipInfo]:
    """The archive's entries by array name: exactly the expected ones, each small enough and readable."""
    entries = archive.infolist()
    found = Counter(entry.filename for entry in entries)
    expected = {f"{name}.npy" for name in shapes}
    problems = {
        "missing": sorted(expected - found.keys()),
        "unexpected": sorted(found.keys() - expected),
        "there twice": sorted(name for name, times in found.items() if times > 1),
    }
    if any(problems.values()):
        listed = "; ".join(f"{what}: {', '.join(map(repr, names))}" for what, names in problems.items() if names)
        raise DataError(f"the npz archive has to hold {', '.join(sorted(expected))}: {listed:.500}", mend=_MEND)
    members = {entry.filename.removesuffix(".npy"): entry for entry in entries}
    for name, entry in members.items():
        _check_entry(entry, math.prod(shapes[name]) + len(_NPY_MAGIC) + 2 + _MAX_HEADER)
    return members


def _check_entry(entry: zipfile.ZipInfo, limit: int) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise DataError(f"{entry.filename} is encrypted, expected plain data", mend=_MEND)
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise DataError(f"{entry.filename} has compression type {entry.compress_type}, expected 0 or 8", mend=_MEND)
    if entry.file_size > limit:
        raise DataError(
            f"{entry.filename} declares {entry.file_size:,} bytes, expected at most {limit:,}: is it a zip bomb?",
            mend=_MEND,
        )


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    size = math.prod(shape)
    with archive.open(entry) as stream:
        _check_header(entry.filename, _read_header(entry.filename, stream), shape)
        # One byte more than wanted: reading up to the end is what makes `zipfile` compare the checksum.
        body = stream.read(size + 1)
    if len(body) != size:
        least = "at least " if len(body) > size else ""
        raise DataError(f"{entry.filename} holds {least}{len(body):,} bytes of data, expected {size:,}", mend=_MEND)
    return np.frombuffer(body, np.uint8).reshape(shape)


def _read_header(name: str, stream: IO[bytes]) -> bytes:
    start = stream.read(len(_NPY_MAGIC) + 2)
    if len(start) < len(_NPY_MAGIC) + 2 or not start.startswith(_NPY_MAGIC):
        raise DataError(f"{name} is not an npy file of version 1.0: it starts with {start!r}", mend=_MEND)
    (length,) = struct.unpack_from("<H", start, len(_NPY_MAGIC))
    if length > _MAX_HEADER:
        raise DataError(f"{name} has a header of {length:,} bytes, expected at most {_MAX_HEADER:,}", mend=_MEND)
    return stream.read(length)


def _check_header(name: str, header: bytes, shape: tuple[int, ...]) -> None:
    fields = _NPY_HEADER.fullmatch(header)
    if fields is None:
        raise DataError(
            f"{name} has a header that NumPy does not write for one plain type: {header[:200]!r}", mend=_MEND
        )
    kind = fields["type"].decode("ascii", "replace")
    if "O" in kind:
        raise DataError(
            f"{name} holds Python objects (a pickle, type {kind}), which are never read; expected |u1", mend=_MEND
        )
    if kind != "|u1":
        raise DataError(f"{name} has type {kind}, expected |u1 (uint8)", mend=_MEND)
    found = tuple(map(int, re.findall(rb"[0-9]+", fields["shape"])))
    if found != shape:
        raise DataError(f"{name} has shape {found}, expected {shape}", mend=_MEND)
    if fields["fortran"] == b"True":
        raise DataError(f"{name} is in Fortran order, expected C order", mend=_MEND)


def write_npz(dataset: Dataset) -> bytes:
    """The bytes of an npz file: the same arrays give the same bytes, with any version of Python, NumPy and zlib.

    Stored, not deflated: versions of zlib differ in what they write, and the trainer starts faster with 55 MB that
    need no inflating than with 11 MB that do.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in dataset.arrays().items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, also where this runs on something else
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, _npy_header(array.shape) + array.tobytes())
    return buffer.getvalue()


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """As NumPy writes it, but not with NumPy: how far it pads has changed between its versions."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    length = 128 - len(_NPY_MAGIC) - 2
    return _NPY_MAGIC + struct.pack("<H", length) + text.ljust(length - 1) + b"\n"
