"""Reading an npz file that may be anything: every defect has a message of its own, and nothing is inflated for it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_tasks.dataset import Dataset, read_npz, write_npz
from mnist_tasks.errors import DataError
from tests.small_dataset import SHAPES, small_dataset

Arrays = dict[str, Any]
SMALL = small_dataset()


def saved(compressed: bool = False, **changes: Any) -> bytes:
    """What NumPy itself writes for the small data set with `changes` (None leaves an array out)."""
    arrays = {name: array for name, array in (dict(SMALL.arrays()) | changes).items() if array is not None}
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def zipped(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), **options)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def members(**changes: bytes) -> list[tuple[str, bytes]]:
    """The small data set's members, some with other bytes."""
    return [(f"{name}.npy", changes.get(name, npy(array))) for name, array in SMALL.arrays().items()]


def refusal(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        read_npz(data, SHAPES)
    assert caught.value.mend
    return caught.value.problem


def same(one: Dataset, other: Dataset) -> bool:
    return all(np.array_equal(array, other.arrays()[name]) for name, array in one.arrays().items())


@pytest.mark.parametrize(
    "data", [saved(), saved(compressed=True), write_npz(SMALL)], ids=["stored", "deflated", "ours"]
)
def test_what_numpy_and_this_package_write_is_read(data: bytes) -> None:
    assert same(read_npz(data, SHAPES), SMALL)


def test_numpy_reads_what_this_package_writes() -> None:
    with np.load(io.BytesIO(write_npz(SMALL)), allow_pickle=False) as loaded:
        assert {name: loaded[name].tolist() for name in loaded} == {
            name: array.tolist() for name, array in SMALL.arrays().items()
        }


def test_the_arrays_that_were_read_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        read_npz(saved(), SHAPES).x_train[0] = 1


def test_the_same_arrays_always_give_the_same_bytes() -> None:
    images = (np.arange(3 * 28 * 28) % 256).astype(np.uint8).reshape(3, 28, 28)
    labels = np.arange(3, dtype=np.uint8)
    written = write_npz(Dataset(images, labels, images[:2], labels[:2]))
    # Another hash here means that REBUILT_FILE in definitions/mnist.py no longer names what is rebuilt.
    assert hashlib.sha256(written).hexdigest() == "d0d3376c837a3961e7a5f62aaeb6d84e525e78b8457b3b613ae0bcbe06da4a00"


def test_something_else_than_an_archive_is_shown_with_its_first_bytes() -> None:
    assert "not an npz archive: 21 bytes that start with b'<html>Proxy login" in refusal(b"<html>Proxy login</h>")
    assert "not an npz archive: 0 bytes" in refusal(b"")


@pytest.mark.parametrize("keep", [3, 1000, len(saved()) // 2, len(saved()) - 1])
def test_a_cut_archive_says_so(keep: int) -> None:
    assert f"cut off or has something appended: after {keep:,} bytes" in refusal(saved()[:keep])


def test_something_appended_to_the_archive_is_refused() -> None:
    assert "something appended" in refusal(saved() + b"#!/bin/sh\n")


def test_a_missing_array_is_named() -> None:
    assert "missing: 'y_test.npy'" in refusal(saved(y_test=None))


def test_an_extra_member_is_named() -> None:
    assert "unexpected: '../../evil.npy'" in refusal(zipped([*members(), ("../../evil.npy", b"")]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_named() -> None:
    assert "there twice: 'x_test.npy'" in refusal(zipped([*members(), ("x_test.npy", npy(SMALL.x_train[:100]))]))


def test_a_zip_bomb_is_refused_before_it_is_inflated() -> None:
    bomb = zipped(members(x_train=npy(np.zeros((400_000, 28, 28), np.uint8))), zipfile.ZIP_DEFLATED)
    assert len(bomb) < 400_000
    tracemalloc.start()
    try:
        assert "x_train.npy declares 313,600,128 bytes, expected at most" in refusal(bomb)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_bomb_whose_directory_lies_about_its_size_is_not_inflated_either() -> None:
    honest = SMALL.x_train.size + 128
    bomb = zipped(members(x_train=npy(np.zeros((400_000, 28, 28), np.uint8))), zipfile.ZIP_DEFLATED)
    lying = bomb.replace(struct.pack("<L", 313_600_128), struct.pack("<L", honest))
    assert lying != bomb
    tracemalloc.start()
    try:
        refusal(lying)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_size_in_the_directory_below_the_true_one_is_found_out() -> None:
    data = zipped(members(y_test=npy(SMALL.y_test) + b"more"))
    true = SMALL.y_test.size + 128 + 4
    assert "damaged: Bad CRC-32" in refusal(data.replace(struct.pack("<L", true), struct.pack("<L", true - 4)))


def test_more_data_than_the_header_announces_is_refused() -> None:
    assert "y_test.npy holds at least 101 bytes of data, expected 100" in refusal(
        zipped(members(y_test=npy(SMALL.y_test) + b"more"))
    )


def test_less_data_than_the_header_announces_is_refused() -> None:
    assert "y_test.npy holds 97 bytes of data, expected 100" in refusal(zipped(members(y_test=npy(SMALL.y_test)[:-3])))


def test_millions_of_entries_are_refused_before_they_are_listed() -> None:
    crowd = zipped([*members(), *((f"{number}.npy", b"") for number in range(1000))])
    assert "directory is too large: 5" in refusal(crowd)


def test_a_zip64_directory_is_refused() -> None:
    data = saved()
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    assert "(or zip64)" in refusal(data[:-22] + locator + data[-22:])


def test_an_object_array_is_never_unpickled(capfd: pytest.CaptureFixture[str]) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return print, ("unpickled!",)

    data = zipped(members(y_test=npy(np.array([Payload()] * 100, dtype=object), allow_pickle=True)))
    assert "y_test.npy holds Python objects (a pickle, type |O), which are never read" in refusal(data)
    assert "unpickled" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (SMALL.y_test.astype(np.int64), "y_test.npy has type <i8, expected |u1"),
        (SMALL.y_test.astype("S1"), "y_test.npy has type |S1"),
        (SMALL.y_test[:50], "y_test.npy has shape (50,), expected (100,)"),
        (SMALL.y_test.reshape(100, 1), "y_test.npy has shape (100, 1), expected (100,)"),
        (np.zeros(100, [("a", "u1")]), "y_test.npy has a header that NumPy does not write for one plain type"),
    ],
)
def test_another_type_or_shape_is_named(array: Any, message: str) -> None:
    assert message in refusal(zipped(members(y_test=npy(array))))


def test_fortran_order_is_refused() -> None:
    data = zipped(members(x_test=npy(np.asfortranarray(SMALL.x_test))))
    assert refusal(data) == "x_test.npy is in Fortran order, expected C order"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "y_test.npy is not an npy file of version 1.0: it starts with b''"),
        (b"\x80\x04cposix\nsystem\n", "y_test.npy is not an npy file of version 1.0"),
        (npy(SMALL.y_test, version=(2, 0)), "y_test.npy is not an npy file of version 1.0"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b" " * 300, "y_test.npy has a header of 65,535 bytes, expected at most 1,024"),
        (b"\x93NUMPY\x01\x00\x10\x00__import__('os')" + b" " * 100, "has a header that NumPy does not write"),
    ],
)
def test_a_member_that_is_no_npy_file_is_named(content: bytes, message: str) -> None:
    assert message in refusal(zipped(members(y_test=content)))


@pytest.mark.parametrize(("compression", "number"), [(zipfile.ZIP_BZIP2, 12), (zipfile.ZIP_LZMA, 14)])
def test_a_compression_that_numpy_does_not_use_is_refused(compression: int, number: int) -> None:
    assert f"x_train.npy has compression type {number}, expected 0 or 8" in refusal(zipped(members(), compression))


def test_an_encrypted_member_is_refused() -> None:
    data = bytearray(zipped(members()))
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory's first entry
    assert refusal(bytes(data)) == "x_train.npy is encrypted, expected plain data"


def test_a_flipped_pixel_is_found_by_the_checksum() -> None:
    data = bytearray(saved())
    data[len(data) // 2] ^= 1
    assert "the npz archive is damaged: Bad CRC-32" in refusal(bytes(data))


def mutated(original: bytes) -> st.SearchStrategy[bytes]:
    """`original` with a few bytes changed, a piece cut out, or a piece written twice."""
    places = st.integers(0, len(original) - 1)
    # Headers and the directory are where a reader can be led astray; most of the file is pixels.
    edges = st.one_of(places, st.integers(0, 200), st.integers(len(original) - 400, len(original) - 1))

    def overwrite(changes: list[tuple[int, bytes]]) -> bytes:
        data = bytearray(original)
        for place, new in changes:
            data[place : place + len(new)] = new
        return bytes(data)

    def cut(ends: tuple[int, int]) -> bytes:
        return original[: min(ends)] + original[max(ends) :]

    def repeat(ends: tuple[int, int]) -> bytes:
        return original[: max(ends)] + original[min(ends) :]

    return st.one_of(
        st.lists(st.tuples(edges, st.binary(min_size=1, max_size=8)), min_size=1, max_size=4).map(overwrite),
        st.tuples(edges, edges).map(cut),
        st.tuples(edges, edges).map(repeat),
    )


@settings(max_examples=400)
@given(st.one_of(mutated(saved()), mutated(saved(compressed=True)), mutated(write_npz(SMALL)), st.binary(max_size=300)))
def test_damaged_bytes_give_the_data_set_or_a_data_error_and_nothing_else(data: bytes) -> None:
    with contextlib.suppress(DataError):
        assert same(read_npz(data, SHAPES), SMALL)
