"""What a page can say of a final without reading its weights, which its role may not."""

from __future__ import annotations

from dataclasses import dataclass

from mnist_tasks import checkpoints
from mnist_tasks.errors import MnistError, TemporaryError
from mnist_tasks.layout import Layout
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.storage import Storage


@dataclass(frozen=True)
class Verified:
    """The state of one final: `ok`, a word for it, and the sentence behind it."""

    ok: bool
    word: str
    sentence: str


def verify_final(storage: Storage, layout: Layout, decision: Decision) -> Verified | None:
    """Hold a final's manifest against the record that speaks of it; None where the decision made none.

    Raises:
        TemporaryError: S3 does not answer.
    """
    if decision.final is None:
        return None
    try:
        final = checkpoints.find(storage, layout, decision.final)
    except TemporaryError:
        raise
    except MnistError as error:
        return Verified(False, "damaged", error.problem)
    if final is None:
        return Verified(False, "gone", f"{decision.final} has no manifest any more.")
    if final.weights.sha256 != decision.weights_sha256:
        return Verified(
            False,
            "changed",
            f"Its manifest names weights with SHA-256 {final.weights.sha256}, decision {decision.sequence} "
            f"{decision.weights_sha256}.",
        )
    return Verified(
        True,
        "hashes agree",
        f"Manifest and decision {decision.sequence} name the same weights (SHA-256 {final.weights.sha256[:12]}…), and "
        "the record is what the next one says that it is. The page does not read the weights themselves.",
    )
