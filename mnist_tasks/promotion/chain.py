"""The append-only chain of signed decisions in S3: it cannot fork, and a change of it shows.

Record N+1 carries the SHA-256 of record N as it is stored, signature and all, and is written only if there is no record
N+1 yet (`If-None-Match`): of several writers one is first, and the others notice. The signature says who wrote it, the
hashes that none is missing and none out of its place.

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
from mnist_tasks.errors import ConfigurationError, Conflict, IntegrityError, NotFoundError
from mnist_tasks.layout import Layout, classifier_of
from mnist_tasks.promotion.records import Champion, Decision
from mnist_tasks.promotion.statement import believe, sign
from mnist_tasks.signing import Signer, TrustedKeys
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
    """A record, its place, and its bytes as they are stored."""

    decision: Decision
    head: Head
    body: bytes


@dataclass(frozen=True)
class Chain:
    """The decisions of one bucket, as those see them who trust `keys`. Only who promotes has a `signer`.

    Every method that returns a decision has verified its signature, and raises SignatureRefused (an IntegrityError)
    where it does not hold.
    """

    storage: Storage
    layout: Layout
    keys: TrustedKeys
    signer: Signer | None = None

    def append(self, decision: Decision) -> bool:
        """Sign a record and write it as the newest one; False if another one has its number.

        Raises:
            ConfigurationError: there is no signer, it cannot sign, or its key is not trusted.
            TemporaryError: it cannot sign now.
        """
        body = sign(decision, signer=self._required_signer(), keys=self.keys)
        if not self.storage.put_if_absent(self.layout.decision(decision.sequence), body):
            return False
        self._advance_hint(Head(sequence=decision.sequence, sha256=sha256_of(body)))
        return True

    def _required_signer(self) -> Signer:
        if self.signer is None:
            raise ConfigurationError(
                "a decision was to be recorded, but there is no key to sign it with",
                mend="set MNIST_SIGNING_KEY to the output SigningKey of infra/mnist.yaml where promotion runs",
            )
        return self.signer

    def newest(self) -> Link | None:
        """The newest record; None if nothing was ever decided. Moves the hint on if it had stayed behind.

        Raises:
            IntegrityError: the chain is damaged.
        """
        hint, last = self._hint_and_newest()
        if last and last.head != hint:
            self._advance_hint(last.head)
        return last

    def find_newest(self) -> Link | None:
        """The newest record, as `newest` finds it, for readers who write nothing.

        Raises:
            IntegrityError: the chain is damaged.
        """
        return self._hint_and_newest()[1]

    def points_as_far_as(self, sequence: int) -> bool:
        """Whether the hint tells of this record, or of a later one."""
        return self._read_hint().sequence >= sequence

    def _hint_and_newest(self) -> tuple[Head, Link | None]:
        hint = self._read_hint()
        last = self.read_link(hint)
        for last in self.walk(hint):  # noqa: B007 - the last one counts
            pass
        return hint, last

    def _read_hint(self) -> Head:
        stored = self.storage.find(self.layout.decisions_head)
        return (self._parsed_hint(stored) if stored else None) or START

    def _parsed_hint(self, stored: Stored) -> Head | None:
        # What cannot be read costs a walk from the first record, and is then written anew: it is only a hint.
        with suppress(IntegrityError):
            return parse(Head, self.storage, stored)
        return None

    def _advance_hint(self, head: Head) -> None:
        stored = self.storage.find(self.layout.decisions_head)
        hint = self._parsed_hint(stored) if stored else None
        if hint and hint.sequence >= head.sequence:
            return
        # Whoever was faster wrote a hint that is as good.
        with suppress(Conflict, NotFoundError):
            body = to_json(head.model_dump(mode="json"))
            self.storage.replace(self.layout.decisions_head, body, etag=stored.etag if stored else None)

    def read(self, sequence: int) -> Link:
        """The record of that number, believed by its signature alone.

        Raises:
            IntegrityError: it is gone, or belongs to another place.
        """
        stored = self.storage.find(self.layout.decision(sequence))
        if stored is None:
            raise self._damaged(sequence, "is gone")
        link = self._link(stored)
        if link.head.sequence != sequence:
            raise self._damaged(sequence, f"calls itself number {link.head.sequence}")
        return link

    def read_link(self, head: Head) -> Link | None:
        """The record at a known place; None before the first one.

        Raises:
            IntegrityError: it is gone, or another one.
        """
        if head == START:
            return None
        link = self.read(head.sequence)
        if link.head != head:
            raise self._damaged(head.sequence, f"has SHA-256 {link.head.sha256}, expected {head.sha256}")
        return link

    def walk(self, start: Head) -> Iterator[Link]:
        """The records after `start` in their order, each checked against the one before.

        Raises:
            IntegrityError: one of them does not follow.
        """
        head = start
        while stored := self.storage.find(self.layout.decision(head.sequence + 1)):
            link = self._link(stored)
            if (link.head.sequence, link.decision.previous_sha256) != (head.sequence + 1, head.sha256):
                what = (
                    f"calls itself number {link.head.sequence} and follows the record with SHA-256 "
                    f"{link.decision.previous_sha256}, but the one before it has {head.sha256}"
                )
                raise self._damaged(head.sequence + 1, what)
            head = link.head
            yield link

    def _link(self, stored: Stored) -> Link:
        decision = believe(stored.body, keys=self.keys, where=self.storage.uri(stored.key))
        self._check_is_the_classifiers(decision)
        return Link(decision, Head(sequence=decision.sequence, sha256=sha256_of(stored.body)), stored.body)

    def _check_is_the_classifiers(self, decision: Decision) -> None:
        """One key signs for all classifiers, so a record of one would else pass for one of another."""
        own = self.layout.classifier.name
        for name in filter(None, (decision.candidate, decision.final, decision.champion_after)):
            if classifier_of(name) != own:
                raise self._damaged(decision.sequence, f"is about {name}, which is no checkpoint of {own}")

    def backwards(self, start: Link | None) -> Iterator[Link]:
        """`start` and the records before it, newest first, each checked against the one after.

        Raises:
            IntegrityError: one of them is gone, or another one.
        """
        link = start
        while link:
            yield link
            link = self.read_link(Head(sequence=link.head.sequence - 1, sha256=link.decision.previous_sha256))

    def verify(self) -> int:
        """Check every record from the first one on; returns how many there are.

        Raises:
            IntegrityError: a record was changed or removed, or its champion does not follow from the one before.
        """
        hint = self._read_hint()
        self.read_link(hint)
        champion: Champion | None = None
        count = 0
        for link in self.walk(START):
            self._check_champion(link.decision, champion)
            champion, count = link.decision.champion, link.head.sequence
        if count < hint.sequence:
            raise self._damaged(count + 1, f"is gone, though there is a record {hint.sequence}")
        return count

    def _check_champion(self, decision: Decision, before: Champion | None) -> None:
        expected = before.name if before else None
        if decision.champion_before != expected:
            what = f"says that the champion before it was {decision.champion_before}, expected {expected}"
            raise self._damaged(decision.sequence, what)
        if not decision.changes_champion and decision.champion != before:
            raise self._damaged(decision.sequence, f"keeps {expected} and tells something else about it")

    def _damaged(self, sequence: int, what: str) -> IntegrityError:
        return IntegrityError(
            f"the chain of decisions is damaged: {self.storage.uri(self.layout.decision(sequence))} {what}",
            mend="records are never changed or removed: find out who did it, and restore the object's first version in "
            "S3",
        )
