"""Finals, believed because a signed decision vouches for them.

A decision carries the SHA-256 of the manifest that it is about, the manifest those of the weights. Beside each final
lies a copy of the decision that promoted it, signature and all: so a final can be verified by itself, wherever it was
copied to, at a cost that does not depend on how many decisions there are.
"""

from __future__ import annotations

from mnist_tasks import checkpoints
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.errors import IntegrityError, SignatureRefused
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.records import Champion, Decision
from mnist_tasks.promotion.statement import believe


def read_final(chain: Chain, name: str) -> Manifest:
    """The manifest of a final that a signed decision has promoted.

    Raises:
        NotFoundError: there is no such final.
        SignatureRefused: nobody whom we trust has promoted it.
        IntegrityError: it is not the one that was promoted.
    """
    # The manifest first: for a name that is none, "not signed" would be the wrong answer.
    checkpoints.read(chain.storage, chain.layout, name)
    return read_vouched(chain, read_promotion(chain, name))


def read_promotion(chain: Chain, name: str) -> Decision:
    """The decision that promoted a final, from the copy beside it.

    Raises:
        SignatureRefused: there is none, or nobody whom we trust has signed it.
        IntegrityError: it is about something else.
    """
    storage, key = chain.storage, chain.layout.final_decision(name)
    stored = storage.find(key)
    if stored is None:
        raise SignatureRefused(
            f"{name} has no signed decision at {storage.uri(key)}, so nobody vouches for it",
            mend="if its run was stopped before the end of its step promote, clear that step; otherwise find out who "
            "wrote the final, and use another one",
        )
    decision = believe(stored.body, keys=chain.keys, where=storage.uri(key))
    if (decision.kind, decision.final) != ("promotion", name):
        raise IntegrityError(
            f"{storage.uri(key)} is decision {decision.sequence}, a {decision.kind} of {decision.final}; expected the "
            f"promotion of {name}",
            mend="restore the object's first version in S3",
        )
    return decision


def is_promotion(decision: Decision) -> bool:
    """Whether a final came to be by it."""
    return decision.kind == "promotion" and decision.final is not None


def keep_promotion(chain: Chain, decision: Decision) -> None:
    """Put the copy of a promotion's record beside its final, once.

    Raises:
        IntegrityError: another one lies there.
    """
    if not is_promotion(decision):
        return
    key = chain.layout.final_decision(decision.final or "")
    if not chain.storage.put_if_absent(key, chain.read(decision.sequence).body):
        raise IntegrityError(
            f"{chain.storage.uri(key)} is not a copy of decision {decision.sequence}",
            mend="find out who wrote it before you remove it; then run the step again",
        )


def read_final_of(chain: Chain, champion: Champion) -> Manifest:
    """The manifest of the final that a decision put into service.

    Raises:
        IntegrityError: the decision says otherwise, or the final is not the one that it was about.
        NotFoundError: it is gone.
    """
    return read_vouched(chain, read_release(chain, champion))


def read_release(chain: Chain, champion: Champion) -> Decision:
    """The decision that put a champion into service.

    Raises:
        IntegrityError: it is gone, not signed by anybody whom we trust, or names another champion.
    """
    decision = chain.read(champion.decision).decision
    if decision.champion != champion or not decision.changes_champion:
        raise IntegrityError(
            f"decision {champion.decision} is said to have put {champion.name} into service, but that record names "
            f"another champion",
            mend="find out who changed it; the next promotion or rollback writes the pointer anew from the decisions",
        )
    return decision


def read_vouched(chain: Chain, decision: Decision) -> Manifest:
    """The manifest of the final that a decision is about.

    Raises:
        IntegrityError: it is another one by now.
        NotFoundError: it is gone.
    """
    name = decision.final or ""
    final = checkpoints.read_known(chain.storage, chain.layout, name, decision.manifest_sha256)
    weights = (final.weights.sha256, final.weights.plaintext_sha256)
    if weights != (decision.ciphertext_sha256, decision.weights_sha256):
        raise IntegrityError(
            f"{name} has weights with SHA-256 {' and '.join(weights)} (stored, decrypted), but decision "
            f"{decision.sequence} is about {decision.ciphertext_sha256} and {decision.weights_sha256}",
            mend="restore the final's first version in S3, or roll back to one that is intact (DAG mnist_rollback)",
        )
    return final
