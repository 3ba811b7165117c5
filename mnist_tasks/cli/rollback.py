"""`mnist rollback`: asks Airflow to put an earlier final back into service.

The classifier's DAG (`mnist_rollback`) does it, whoever triggers it: the same code, the same record, the same mail.
Nothing is written to S3 from here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Group, RenderableType

from mnist_tasks.cli.airflow import Airflow
from mnist_tasks.cli.place import Place
from mnist_tasks.cli.terminal import facts, percent, styled
from mnist_tasks.config import RollbackConfig
from mnist_tasks.errors import ConfigurationError, MnistError
from mnist_tasks.layout import classifier_of, run_slug
from mnist_tasks.promotion import decisions
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.promotion.finals import read_final
from mnist_tasks.promotion.in_service import read_in_service
from mnist_tasks.report.words import run_url

# Its step that decides; its cause of a failure is the run's.
_STEP = "rollback"
_SECONDS = 1.0


@dataclass(frozen=True)
class Triggered:
    """A run of the DAG; `decision` is known once it has ended."""

    url: str
    dag_id: str
    run_id: str
    decision: Decision | None = None

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "url": run_url(self.url, self.dag_id, self.run_id),
            "decision": self.decision.summary() if self.decision else None,
        }


def wish(to: str, reason: str) -> RollbackConfig:
    """What was asked for, checked as the DAG checks it.

    Raises:
        ConfigurationError: a value is outside its bounds.
    """
    return RollbackConfig.checked(
        {"to": to, "reason": reason},
        mend="name a final as mnist history lists it, and give a reason of 10 to 500 characters",
        names={"to": "--to", "reason": "--reason"},
    )


def check(place: Place, wanted: RollbackConfig) -> str:
    """What would be moved, as a question; the DAG checks all of it again.

    Raises:
        NotFoundError: there is no such final.
        ConfigurationError: it is in service already.
        IntegrityError: it, or what is in service, is damaged or not signed by anybody whom we trust.
    """
    service = read_in_service(place.chain)
    champion = service.champion if service else None
    if champion and champion.name == wanted.to:
        raise ConfigurationError(f"{wanted.to} is in service already", mend="name the final to go back to")
    final = read_final(place.chain, wanted.to)
    now = f"{champion.name} (accuracy {percent(champion.accuracy)})" if champion else "nothing"
    return (
        f"In service: {now}\n"
        f"Put back:   {wanted.to} (validation accuracy {percent(final.validation_accuracy)}, run {final.run})\n"
        f"Move the champion of {place.name}?"
    )


def trigger(airflow: Airflow, wanted: RollbackConfig) -> Triggered:
    """Start the DAG.

    Raises:
        ConfigurationError: it is paused, so that its run would wait.
    """
    dag_id = f"{classifier_of(wanted.to)}_rollback"
    if airflow.is_paused(dag_id):
        raise ConfigurationError(
            f"the DAG {dag_id} is paused in {airflow.url}: a run of it would wait",
            mend="switch it on in the Airflow UI",
        )
    return Triggered(airflow.url, dag_id, airflow.trigger(dag_id, wanted.model_dump()))


def wait(airflow: Airflow, place: Place, triggered: Triggered) -> Triggered:
    """Until the run has ended well.

    Raises:
        MnistError: it failed; the error has its cause.
        TemporaryError: Airflow does not answer any more; the run goes on without us.
    """
    while (state := airflow.state(triggered.dag_id, triggered.run_id)) not in {"success", "failed"}:
        time.sleep(_SECONDS)
    if state == "failed":
        cause = airflow.cause(triggered.dag_id, triggered.run_id, _STEP)
        where = run_url(triggered.url, triggered.dag_id, triggered.run_id)
        raise MnistError(
            f"the rollback failed: {cause.get('problem') or 'its log says why'} ({where})",
            mend=str(cause.get("mend", "")),
        )
    decision = decisions.find_of_run(place.chain, run_slug(triggered.dag_id, triggered.run_id))
    return replace(triggered, decision=decision)


def view(triggered: Triggered) -> RenderableType:
    """For people."""
    decision = triggered.decision
    run = facts(("run", triggered.run_id), ("page", run_url(triggered.url, triggered.dag_id, triggered.run_id)))
    if decision is None:
        return Group(styled("The rollback was triggered; mnist history shows when it is done.", "bold"), run)
    told = f"{decision.champion_after} is in service, by decision {decision.sequence}."
    return Group(styled(told, "bold"), run)
