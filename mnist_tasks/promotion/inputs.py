"""What a promotion rests on besides the candidates: the run's plan, and the report on its data set.

Airflow's worker writes both, without a signature: it could write others. The decision carries their SHA-256, so that
nobody can change afterwards what was decided on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mnist_tasks import plan as plans
from mnist_tasks.errors import IntegrityError, NotFoundError
from mnist_tasks.layout import RunObject
from mnist_tasks.plan import Plan
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.records import Decision
from mnist_tasks.storage import parse, sha256_of
from mnist_tasks.validation import ValidationReport

_VALIDATION: Final = "validation.json"


@dataclass(frozen=True)
class Inputs:
    """A run's plan, and the SHA-256 of it and of its validation report as they are stored."""

    plan: Plan
    plan_sha256: str
    validation_sha256: str


def read_inputs(chain: Chain, slug: str) -> Inputs:
    """What the run `slug` is decided on.

    Raises:
        NotFoundError: there is no plan, or its data set was not validated.
        IntegrityError: one of them is not what it has to be, or the data set that is trained on did not pass.
    """
    plan = plans.read_plan(chain.storage, chain.layout, slug)
    return Inputs(plan, plans.fingerprint(chain.storage, chain.layout, plan), _passed_validation(chain, plan))


def _passed_validation(chain: Chain, plan: Plan) -> str:
    key = chain.layout.run(plan.run, _VALIDATION)
    stored = chain.storage.find(key)
    if stored is None:
        raise NotFoundError(
            f"run {plan.run} has no validation report at {chain.storage.uri(key)}",
            mend="clear the step `validate`: nothing is promoted whose data set nobody has checked",
        )
    report = parse(ValidationReport, chain.storage, stored)
    if not report.passed or report.dataset_sha256 != plan.dataset_sha256:
        verdict = "passed" if report.passed else "refused"
        raise IntegrityError(
            f"{chain.storage.uri(key)} {verdict} the data set {report.dataset_sha256}; expected that it passed "
            f"{plan.dataset_sha256}, which the run was trained on",
            mend="find out who changed the report or the plan; train again in a new run",
        )
    return sha256_of(stored.body)


def check_inputs(chain: Chain, decision: Decision) -> None:
    """Hold a run's plan and validation report against the decision that was made on them.

    A rollback, and a decision of before they were recorded, has none.

    Raises:
        IntegrityError: one of them was changed since.
        NotFoundError: one of them is gone: they expire with the rest of their run.
    """
    known: tuple[tuple[RunObject, str | None], ...] = (
        ("plan.json", decision.plan_sha256),
        (_VALIDATION, decision.validation_sha256),
    )
    for name, sha256 in known:
        if sha256 is not None:
            chain.storage.get_verified(chain.layout.run(decision.run, name), sha256)
