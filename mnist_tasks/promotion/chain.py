"""The append-only chain of decisions in S3: written so that it cannot fork, read so that a change shows.

Record N+1 carries the SHA-256 of record N, and is written only if there is no record N+1 yet (`If-None-Match`): of
several writers one is first, and the others notice.

`decisions/head.json` is a hint at the newest record and no more: readers start there and walk on, so that the cost
stays the same however long the chain grows. Behind, missing or unreadable, it is written anew by whoever comes past.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from pydantic import Field, model_validator

from mnist_tasks.config import Frozen, Sha256
from mnist_tasks.errors import Conflict, IntegrityError, NotFoundError
from mnist_tasks.layout import Layout
from mnist_tasks.promotion.records import Champion, Decision
from mnist_tasks.storage import Storage, Stored, parse, sha256_of, to_json


class Head(Frozen):
    """A place in the chain: a record's number and the SHA-256 of its bytes. Number 0 is before the first one."""

    sequence: int = Field(ge=0)
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _only_the_start_has_no_hash(self) -> Self:
        if (self.sha256 is None) != (self.sequence == 0):
            raise ValueError(f"record {self.sequence} with SHA-256 {self.sha256}")
        return self


START = Head(sequence=0)


@dataclass(frozen=True)
class Link:
    """A record, and its place."""

    decision: Decision
    head: Head


def append(storage: Storage, layout: Layout, decision: Decision) -> bool:
    """Write a record as the newest one; False if another one has its number."""
    body = to_json(decision.model_dump(mode="json"))
    if not storage.put_if_absent(layout.decision(decision.sequence), body):
        return False
    _advance_hint(storage, layout, Head(sequence=decision.sequence, sha256=sha256_of(body)))
    return True


def newest(storage: Storage, layout: Layout) -> Link | None:
    """The newest record; None if nothing was ever decided. Moves the hint on if it had stayed behind.

    Raises:
        IntegrityError: the chain is damaged.
    """
    hint, last = _hint_and_newest(storage, layout)
    if last and last.head != hint:
        _advance_hint(storage, layout, last.head)
    return last


def find_newest(storage: Storage, layout: Layout) -> Link | None:
    """The newest record, as `newest` finds it, for readers who write nothing.

    Raises:
        IntegrityError: the chain is damaged.
    """
    return _hint_and_newest(storage, layout)[1]


def _hint_and_newest(storage: Storage, layout: Layout) -> tuple[Head, Link | None]:
    hint = _read_hint(storage, layout)
    last = read_link(storage, layout, hint)
    for last in walk(storage, layout, hint):  # noqa: B007 - the last one counts
        pass
    return hint, last


def _read_hint(storage: Storage, layout: Layout) -> Head:
    stored = storage.find(layout.decisions_head)
    return (_parsed_hint(storage, stored) if stored else None) or START


def _parsed_hint(storage: Storage, stored: Stored) -> Head | None:
    # What cannot be read costs a walk from the first record, and is then written anew: it is only a hint.
    with suppress(IntegrityError):
        return parse(Head, storage, stored)
    return None


def _advance_hint(storage: Storage, layout: Layout, head: Head) -> None:
    stored = storage.find(layout.decisions_head)
    hint = _parsed_hint(storage, stored) if stored else None
    if hint and hint.sequence >= head.sequence:
        return
    # Whoever was faster wrote a hint that is as good.
    with suppress(Conflict, NotFoundError):
        body = to_json(head.model_dump(mode="json"))
        storage.replace(layout.decisions_head, body, etag=stored.etag if stored else None)


def read_link(storage: Storage, layout: Layout, head: Head) -> Link | None:
    """The record at a known place; None before the first one.

    Raises:
        IntegrityError: it is gone, or another one.
    """
    if head == START:
        return None
    stored = storage.find(layout.decision(head.sequence))
    if stored is None:
        raise _damaged(storage, layout, head.sequence, "is gone")
    if sha256_of(stored.body) != head.sha256:
        raise _damaged(storage, layout, head.sequence, f"has SHA-256 {sha256_of(stored.body)}, expected {head.sha256}")
    return Link(parse(Decision, storage, stored), head)


def walk(storage: Storage, layout: Layout, start: Head) -> Iterator[Link]:
    """The records after `start` in their order, each checked against the one before.

    Raises:
        IntegrityError: one of them does not follow.
    """
    head = start
    while stored := storage.find(layout.decision(head.sequence + 1)):
        decision = parse(Decision, storage, stored)
        if (decision.sequence, decision.previous_sha256) != (head.sequence + 1, head.sha256):
            what = (
                f"calls itself number {decision.sequence} and follows the record with SHA-256 "
                f"{decision.previous_sha256}, but the one before it has {head.sha256}"
            )
            raise _damaged(storage, layout, head.sequence + 1, what)
        head = Head(sequence=decision.sequence, sha256=sha256_of(stored.body))
        yield Link(decision, head)


def backwards(storage: Storage, layout: Layout, start: Link | None) -> Iterator[Link]:
    """`start` and the records before it, newest first, each checked against the one after.

    Raises:
        IntegrityError: one of them is gone, or another one.
    """
    link = start
    while link:
        yield link
        before = Head(sequence=link.head.sequence - 1, sha256=link.decision.previous_sha256)
        link = read_link(storage, layout, before)


def verify_chain(storage: Storage, layout: Layout) -> int:
    """Check every record from the first one on; returns how many there are.

    Raises:
        IntegrityError: a record was changed or removed, or its champion does not follow from the one before.
    """
    hint = _read_hint(storage, layout)
    read_link(storage, layout, hint)
    champion: Champion | None = None
    count = 0
    for link in walk(storage, layout, START):
        _check_champion(storage, layout, link, champion)
        champion, count = link.decision.champion, link.head.sequence
    if count < hint.sequence:
        raise _damaged(storage, layout, count + 1, f"is gone, though there is a record {hint.sequence}")
    return count


def _check_champion(storage: Storage, layout: Layout, link: Link, before: Champion | None) -> None:
    decision, expected = link.decision, before.name if before else None
    if decision.champion_before != expected:
        what = f"says that the champion before it was {decision.champion_before}, expected {expected}"
        raise _damaged(storage, layout, decision.sequence, what)
    if not decision.changes_champion and decision.champion != before:
        raise _damaged(storage, layout, decision.sequence, f"keeps {expected} and tells something else about it")


def _damaged(storage: Storage, layout: Layout, sequence: int, what: str) -> IntegrityError:
    return IntegrityError(
        f"the chain of decisions is damaged: {storage.uri(layout.decision(sequence))} {what}",
        mend="records are never changed or removed: find out who did it, and restore the object's first version in S3",
    )
