"""The model in service: what the signed decisions say, and what the pointer for consumers makes of it.

`champion.json` has no signature of its own. It repeats what a signed record says, and is believed as far as it does.
"""

from __future__ import annotations

from dataclasses import dataclass

from mnist_tasks.checkpoints import Manifest
from mnist_tasks.errors import IntegrityError
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.finals import read_release, read_vouched
from mnist_tasks.promotion.records import Champion, Decision
from mnist_tasks.promotion.release import read_champion


@dataclass(frozen=True)
class InService:
    """A champion with the decision that put it into service and the manifest of its final."""

    champion: Champion
    decision: Decision
    final: Manifest


def read_in_service(chain: Chain) -> InService | None:
    """The champion of the newest decision; None before the first release.

    A pointer that names an earlier champion, or none, is no error: between a decision and its pointer lies a moment,
    in which a process may die. What is read here is what the decisions say. `checkpoints.load_weights` checks the last
    step, from the manifest to the weights.

    Raises:
        IntegrityError: the pointer says what no decision has said, a decision is not signed by anybody whom we trust,
            or the final is not the one that was promoted.
        NotFoundError: the final is gone.
    """
    pointer = read_champion(chain.storage, chain.layout)
    newest = chain.find_newest()
    champion = newest.decision.champion if newest else None
    if pointer and pointer != champion:
        _check_was_champion(chain, pointer)
    if champion is None:
        return None
    decision = read_release(chain, champion)
    return InService(champion, decision, read_vouched(chain, decision))


def _check_was_champion(chain: Chain, pointer: Champion) -> None:
    try:
        read_release(chain, pointer)
    except IntegrityError as error:
        raise type(error)(
            f"{chain.storage.uri(chain.layout.champion)} says that decision {pointer.decision} put {pointer.name} into "
            f"service, but no signed decision does: {error.problem}",
            mend=error.mend,
        ) from error
