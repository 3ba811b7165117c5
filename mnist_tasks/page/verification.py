"""What a page can say of a final without reading its weights, which its role may not."""

from __future__ import annotations

from dataclasses import dataclass

from mnist_tasks.errors import MnistError, NotFoundError, TemporaryError
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.promotion.finals import read_vouched


@dataclass(frozen=True)
class Verified:
    """The state of one final: `ok`, a word for it, and the sentence behind it."""

    ok: bool
    word: str
    sentence: str


def verify_final(chain: Chain, decision: Decision) -> Verified | None:
    """Hold a final's manifest against the signed record that speaks of it; None where the decision made none.

    Args:
        chain: Where to read.
        decision: As the chain gave it: its signature is verified.

    Raises:
        TemporaryError: S3 does not answer.
    """
    if decision.final is None:
        return None
    try:
        final = read_vouched(chain, decision)
    except TemporaryError:
        raise
    except NotFoundError as error:
        return Verified(False, "gone", error.problem)
    except MnistError as error:
        return Verified(False, "changed", error.problem)
    return Verified(
        True,
        "signed",
        f"Decision {decision.sequence} is signed with a key that this deployment trusts, and vouches for the manifest, "
        f"which names the weights by their SHA-256 ({final.weights.sha256[:12]}…). The page does not read the weights "
        "themselves." + (f" The place that decided: {attested}." if (attested := decision.evidence.attested) else ""),
    )
