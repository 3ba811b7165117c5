"""The model in service, followed from its pointer to its weights, each step checked against the one before."""

from __future__ import annotations

from dataclasses import dataclass

from mnist_tasks import checkpoints
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.errors import IntegrityError
from mnist_tasks.layout import Layout
from mnist_tasks.promotion.chain import Head, walk
from mnist_tasks.promotion.records import Champion, Decision
from mnist_tasks.promotion.release import read_champion
from mnist_tasks.storage import Storage, parse, sha256_of


@dataclass(frozen=True)
class InService:
    """A champion with the decision that put it into service and the manifest of its final."""

    champion: Champion
    decision: Decision
    final: Manifest


def read_in_service(storage: Storage, layout: Layout) -> InService | None:
    """The champion, if pointer, decision and manifest agree; None before the first release.

    `checkpoints.load_weights` checks the last step, from the manifest to the weights.

    Raises:
        IntegrityError: they do not agree, or the decision is not what the one after it follows.
        NotFoundError: the final is gone.
    """
    champion = read_champion(storage, layout)
    if champion is None:
        return None
    decision = _read_decision(storage, layout, champion)
    return InService(champion, decision, read_final_of(storage, layout, champion))


def _read_decision(storage: Storage, layout: Layout, champion: Champion) -> Decision:
    stored = storage.find(layout.decision(champion.decision))
    decision = parse(Decision, storage, stored) if stored else None
    if stored is None or decision is None or decision.champion != champion:
        raise IntegrityError(
            f"{storage.uri(layout.champion)} says that decision {champion.decision} put {champion.name} into service, "
            f"but that record {'names another champion' if decision else 'is gone'}",
            mend="find out who changed it; the next promotion or rollback writes the pointer anew from the decisions",
        )
    # The next record, if there is one, carries the hash of this one.
    next(walk(storage, layout, Head(sequence=champion.decision, sha256=sha256_of(stored.body))), None)
    return decision


def read_final_of(storage: Storage, layout: Layout, champion: Champion) -> Manifest:
    """The manifest of the final that a decision put into service.

    Raises:
        IntegrityError: it describes other weights than those.
        NotFoundError: it is gone.
    """
    final = checkpoints.read(storage, layout, champion.name)
    if final.weights.plaintext_sha256 != champion.weights_sha256:
        raise IntegrityError(
            f"{champion.name} has weights with SHA-256 {final.weights.plaintext_sha256}, but decision "
            f"{champion.decision} put {champion.weights_sha256} into service",
            mend="restore the final's first version in S3, or roll back to one that is intact (DAG mnist_rollback)",
        )
    return final
