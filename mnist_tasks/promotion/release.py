"""The model in service: the pointer that consumers read, and the way back to an earlier final."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mnist_tasks import checkpoints
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.dataset import load
from mnist_tasks.encryption import Encryption
from mnist_tasks.errors import ConfigurationError, Conflict, NotFoundError
from mnist_tasks.inference import predict, read_weights
from mnist_tasks.layout import Layout, is_final
from mnist_tasks.metrics import Evaluation, evaluate
from mnist_tasks.promotion import decisions
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.decisions import NO_EVIDENCE, Champion, Decision, Evidence, Verdict
from mnist_tasks.promotion.finals import is_promotion, read_final
from mnist_tasks.storage import Storage, parse, to_json

_TRIES = 20


@dataclass(frozen=True)
class Settled:
    """A decision all of which has been done. `in_service`: it moved the champion, and none has moved it since."""

    decision: Decision
    in_service: bool


def read_champion(storage: Storage, layout: Layout) -> Champion | None:
    """What the pointer for consumers says; None before the first release.

    It carries no signature: `in_service.read_in_service` is for whoever wants to use the model.

    Raises:
        IntegrityError: what is stored there is no such pointer.
    """
    stored = storage.find(layout.champion)
    return parse(Champion, storage, stored) if stored else None


def find_settled(chain: Chain, slug: str) -> Settled | None:
    """The decision of a run once all that follows from it is done; None before that.

    That is: its copy lies beside its final, and `champion.json` shows it, or a later one. After one that has no final,
    what is left to do is the pointer to the newest record.

    Raises:
        IntegrityError: the pointer or the chain of decisions is damaged.
    """
    decision = decisions.find_of_run(chain, slug)
    if decision is None:
        return None
    if is_promotion(decision) and not chain.storage.exists(chain.layout.final_decision(decision.final or "")):
        return None
    if decision.final is None and not chain.points_as_far_as(decision.sequence):
        return None
    if decision.champion is None:
        return Settled(decision, in_service=False)
    shown = read_champion(chain.storage, chain.layout)
    if shown is None or shown.decision < decision.champion.decision:
        return None
    return Settled(decision, in_service=shown.decision == decision.sequence and _is_in_service(chain, shown))


def _is_in_service(chain: Chain, shown: Champion) -> bool:
    """The pointer for consumers may be a decision behind."""
    last = chain.find_newest()
    return last is not None and last.decision.champion == shown


def update_champion(chain: Chain) -> None:
    """Make `champion.json` agree with the chain of decisions, whatever it holds.

    A step that was killed after its decision and before this leaves the pointer behind; its retry, or the next
    decision, comes past here. The pointer is read before the chain: so what the chain says is at least as new as what
    was read, and the compare-and-set can only move the pointer forward.

    Raises:
        IntegrityError: the chain is damaged.
        Conflict: others changed the pointer again and again.
    """
    storage, key = chain.storage, chain.layout.champion
    for _ in range(_TRIES):
        stored = storage.find(key)
        last = chain.newest()
        if last is None or last.decision.champion is None:
            return
        body = to_json(last.decision.champion.model_dump(mode="json"))
        if stored and stored.body == body:
            return
        try:
            storage.replace(key, body, etag=stored.etag if stored else None)
        except (Conflict, NotFoundError):
            continue
        return
    raise Conflict(f"{storage.uri(key)} changed {_TRIES} times at once", mend="run the step again")


def rollback(
    chain: Chain,
    encryption: Encryption,
    *,
    to: str,
    reason: str,
    slug: str,
    now: datetime,
    evidence: Evidence = NO_EVIDENCE,
) -> Decision:
    """Put an earlier final back into service; done again for the same run, it returns the decision that was made.

    The final is read, verified and asked about all test images first, so that nothing broken gets into service.

    Raises:
        ConfigurationError: `to` is no final's name, or is in service already; or the chain has no signer, or one that
            nobody trusts.
        NotFoundError: there is no such final.
        IntegrityError: the final, or the chain of decisions, is damaged, or not signed by anybody whom we trust.
    """
    decision = decisions.find_of_run(chain, slug)
    if decision is None:
        final = _read_final(chain, to)
        fingerprint = checkpoints.fingerprint(chain.storage, chain.layout, final)
        evaluation = _evaluate(chain.storage, encryption, chain.layout, final)

        def decide(champion: Champion | None) -> Verdict:
            _check_is_a_change(to, champion)
            return Verdict(
                kind="rollback",
                outcome="rolled_back",
                candidate=final.promoted_from,
                final=to,
                weights_sha256=final.weights.plaintext_sha256,
                ciphertext_sha256=final.weights.sha256,
                manifest_sha256=fingerprint,
                evaluation=evaluation,
                reason=reason,
                dataset_sha256=final.job.dataset_sha256,
            )

        known = evidence.model_copy(update={"trainer_image": final.trainer_image})
        decision = decisions.record(chain, slug, decide, now=now, evidence=known)
    update_champion(chain)
    return decision


def _read_final(chain: Chain, name: str) -> Manifest:
    if not is_final(name):
        raise ConfigurationError(
            f"{name!r} is not the name of a final; expected {chain.layout.classifier.name}_model_YYYYMMDD_HHMMSS_final",
            mend="only a promoted model can be put into service: take its name from a report",
        )
    return read_final(chain, name)


def _evaluate(storage: Storage, encryption: Encryption, layout: Layout, final: Manifest) -> Evaluation:
    weights = read_weights(checkpoints.load_weights(storage, encryption, final), layout.classifier)
    dataset = load(storage, layout, final.job.dataset_sha256)
    return evaluate(predict(weights, dataset.x_test), dataset.y_test)


def _check_is_a_change(to: str, champion: Champion | None) -> None:
    if champion and champion.name == to:
        raise ConfigurationError(
            f"{to} is in service already, since decision {champion.decision}", mend="name the final to go back to"
        )
