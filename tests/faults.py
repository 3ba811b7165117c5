"""An S3 client that dies at a chosen call, and what a bucket holds before and after."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from mnist_tasks.storage import Storage

When = Literal["before", "after"]


class Killed(BaseException):
    """The process ends here. Not an `Exception`: nothing may catch it and carry on."""


class MortalClient:
    """Passes calls on to a real client, and dies before or after the call number `fatal` takes effect.

    `fatal` counts from 1; 0 never dies. `calls` lists the operations and keys so far.
    """

    def __init__(self, client: Any, *, fatal: int = 0, when: When = "before") -> None:
        self._client, self._fatal, self._when = client, fatal, when
        self.calls: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        return self._mortal(name, attribute) if callable(attribute) else attribute

    def _mortal(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.calls.append((name, arguments.get("Key", "")))
            fatal = len(self.calls) == self._fatal
            if fatal and self._when == "before":
                raise Killed
            try:
                return operation(**arguments)
            finally:
                if fatal:
                    raise Killed  # also in place of an error that the caller would have handled

        return call


def mortal(storage: Storage, *, fatal: int = 0, when: When = "before") -> Storage:
    """The same bucket through a client that dies."""
    return replace(storage, client=MortalClient(storage.client, fatal=fatal, when=when))


def listing(storage: Storage) -> dict[str, str]:
    """Every object in the bucket with the MD5 of its content: without multipart uploads, that is what the ETag is."""
    pages = storage.client.get_paginator("list_objects_v2").paginate(Bucket=storage.bucket)
    return {found["Key"]: found["ETag"].strip('"') for page in pages for found in page.get("Contents", [])}


def contents(storage: Storage) -> dict[str, bytes]:
    """Every object in the bucket."""
    return {key: storage.get(key).body for key in listing(storage)}


def restore(storage: Storage, before: dict[str, bytes]) -> None:
    """Bring the bucket back to what it held."""
    now = listing(storage)
    for key in now.keys() - before.keys():
        storage.client.delete_object(Bucket=storage.bucket, Key=key)
    for key, body in before.items():
        if now.get(key) != hashlib.md5(body).hexdigest():
            storage.put(key, body)


def finals(storage: Storage) -> set[str]:
    return {key.split("/")[1] for key in contents(storage) if "_final/" in key}
