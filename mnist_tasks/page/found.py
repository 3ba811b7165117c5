"""Reading side by side, and going on without what is damaged: a page shows the rest and says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from mnist_tasks.errors import MnistError, TemporaryError

Value = TypeVar("Value")

# S3 answers each of a page's few dozen reads in 10 to 30 ms: one after the other, that is a second. boto3's clients
# are safe to share between threads, and keep ten connections.
READERS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="mnist-page")


@dataclass(frozen=True)
class Found(Generic[Value]):
    """What was read, or what is wrong with it."""

    value: Value | None = None
    trouble: MnistError | None = None


def begin(read: Callable[[], Value | None]) -> Future[Found[Value]]:
    """Read in the background. `result()` gives what came of it, or raises what concerns the page as a whole.

    That is an S3 that does not answer: every other read would only wait for it as well.
    """
    return READERS.submit(_found, read)


def _found(read: Callable[[], Value | None]) -> Found[Value]:
    try:
        return Found(read())
    except TemporaryError:
        raise
    except MnistError as error:
        return Found(trouble=error)
