"""Deciding, once for each run: who becomes champion is settled by the chain of decisions and nowhere else.

Of several runs that decide at once, one adds its record first; the others see it, and decide afresh about the champion
that it names. A run finds its own record again because, before its first try to add one, it notes where the chain ended
(`decision_base.json`): a retry looks only behind that place, and never decides twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice

from mnist_tasks import __version__
from mnist_tasks.errors import Conflict, GateFailed, NotFoundError
from mnist_tasks.promotion.chain import START, Chain, Head, Link
from mnist_tasks.promotion.records import NO_EVIDENCE, Champion, Decision, Evidence, Verdict
from mnist_tasks.storage import parse, to_json

__all__ = [
    "NO_EVIDENCE",
    "Champion",
    "Decision",
    "Evidence",
    "Verdict",
    "find_of_run",
    "passed",
    "read_of_run",
    "record",
]

# Each lost race is another run's decision; that many within one step means that something else is wrong.
_TRIES = 20


def record(
    chain: Chain,
    slug: str,
    decide: Callable[[Champion | None], Verdict],
    *,
    now: datetime,
    evidence: Evidence = NO_EVIDENCE,
) -> Decision:
    """Add this run's decision to the chain, once: a run that has one already gets it back.

    Args:
        chain: Where to; it needs a signer.
        slug: The run that decides.
        decide: The verdict, given the champion; called again whenever another run's decision came first.
        now: Goes into the record.
        evidence: Goes into the record.

    Raises:
        IntegrityError: the chain is damaged.
        Conflict: other runs' decisions came first every time.
    """
    base = _claim_base(chain, slug)
    for _ in range(_TRIES):
        # Looking for our own record and for the last one is one walk: a record that comes later makes the put fail.
        links = list(chain.walk(base))
        if own := _of_run(links, slug):
            return own
        last = links[-1] if links else chain.read_link(base)
        champion = last.decision.champion if last else None
        decision = _following(last, slug, decide(champion), now, evidence)
        if chain.append(decision):
            return decision
    raise Conflict(
        f"{_TRIES} decisions of other runs came before that of {slug}", mend="run the step again when they are done"
    )


def _following(last: Link | None, slug: str, verdict: Verdict, now: datetime, evidence: Evidence) -> Decision:
    head, before = (last.head, last.decision.champion) if last else (START, None)
    champion = before
    if verdict.changes_champion:
        champion = Champion(
            name=verdict.final or "",
            decision=head.sequence + 1,
            weights_sha256=verdict.weights_sha256,
            accuracy=verdict.evaluation.accuracy,
            released=now,
            run=slug,
            reason=verdict.reason,
        )
    return Decision(
        **dict(verdict),
        sequence=head.sequence + 1,
        previous_sha256=head.sha256,
        run=slug,
        created=now,
        champion_before=before.name if before else None,
        champion=champion,
        code_version=__version__,
        evidence=evidence,
    )


def find_of_run(chain: Chain, slug: str, *, within: int | None = None) -> Decision | None:
    """The decision of a run; None if it has not come to one.

    `within`: look only at so many records behind the place where the run began to decide. Only a run that was killed
    there, or lost a race to so many others, has its own decision later or none: the steps search without this bound.

    Raises:
        IntegrityError: the chain is damaged.
    """
    stored = chain.storage.find(_base_key(chain, slug))
    if stored is None:
        return None
    return _of_run(islice(chain.walk(parse(Head, chain.storage, stored)), within), slug)


def read_of_run(chain: Chain, slug: str) -> Decision:
    """The decision of a run that has come to one.

    Raises:
        NotFoundError: it has not.
        IntegrityError: the chain is damaged.
    """
    decision = find_of_run(chain, slug)
    if decision is None:
        raise NotFoundError(f"run {slug} has no decision yet", mend="let the step that decides end first")
    return decision


def passed(decision: Decision) -> Decision:
    """The decision itself, unless the candidate did not pass.

    Raises:
        GateFailed: it says which gates, and the figures.
    """
    if decision.outcome == "rejected":
        raise GateFailed(
            f"{decision.reason} ({decision.candidate} is not promoted)",
            mend=f"the champion stays in service; see what this run did otherwise: mnist show {decision.run}",
        )
    return decision


def _of_run(links: Iterable[Link], slug: str) -> Decision | None:
    return next((link.decision for link in links if link.decision.run == slug), None)


def _base_key(chain: Chain, slug: str) -> str:
    return chain.layout.run(slug, "decision_base.json")


def _claim_base(chain: Chain, slug: str) -> Head:
    """Where the chain ended before this run's first try to add to it; a record of its own can only come after."""
    storage, key = chain.storage, _base_key(chain, slug)
    if stored := storage.find(key):
        return parse(Head, storage, stored)
    last = chain.newest()
    head = last.head if last else START
    if storage.put_if_absent(key, to_json(head.model_dump(mode="json"))):
        return head
    return parse(Head, storage, storage.get(key))
