"""What the page tells, read from S3: of one run, and of all. The number of reads does not grow with the bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Literal

from mnist_tasks import attempts, states
from mnist_tasks.attempts import Attempt
from mnist_tasks.checkpoints import StoredObject
from mnist_tasks.classifier import Classifier
from mnist_tasks.config import Frozen
from mnist_tasks.cost import Cost, Prices, cost_of
from mnist_tasks.layout import Layout, run_slug
from mnist_tasks.page.found import Found, begin
from mnist_tasks.page.verification import Verified, verify_final
from mnist_tasks.plan import Plan, find_plan
from mnist_tasks.promotion import decisions
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.promotion.finals import read_release
from mnist_tasks.promotion.records import Champion
from mnist_tasks.states import State
from mnist_tasks.storage import Content, Storage, parse
from mnist_tasks.validation import ValidationReport

# How many decisions, and how many runs, the overview shows: bounds of its cost.
DECISIONS, RUNS = 12, 10
# A run's decision stands right behind the place where it began to decide, unless others came in between.
_RECORDS = 5

Stage = Literal["waiting", "preparing", "training", "deciding", "rolling_back", "decided", "failed", "gone"]


@dataclass(frozen=True)
class AirflowRun:
    """What Airflow knows of a run. `user` is who triggered it, if a person did; `state` is `unknown` of no such run."""

    dag_id: str
    run_id: str
    state: str
    started: datetime | None = None
    user: str | None = None
    failed_steps: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """The part of every S3 key that belongs to this run."""
        return run_slug(self.dag_id, self.run_id)


@dataclass(frozen=True)
class Place:
    """Where a page reads, whose signatures it believes, and what the deployment pays."""

    chain: Chain
    prices: Prices

    @property
    def storage(self) -> Storage:
        """The bucket."""
        return self.chain.storage

    @property
    def layout(self) -> Layout:
        """Its keys."""
        return self.chain.layout


class _Published(Frozen, extra="ignore"):
    """The part of `report.json` that the page reads; reports of an older version have no pictures."""

    digits: StoredObject | None = None


@dataclass(frozen=True)
class RunView:
    """One run, as far as it has come. What is not there yet is None."""

    classifier: Classifier
    run: AirflowRun
    now: datetime
    plan: Found[Plan]
    states: Found[tuple[State, ...]]
    decision: Found[Decision]
    validation: Found[ValidationReport]
    published: Found[_Published]
    cost: Found[Cost]
    verified: Verified | None

    @property
    def stage(self) -> Stage:
        """How far it is. S3 says what was done, Airflow that nothing more will come."""
        if self.decision.value:
            return "decided"
        if self.run.state == "failed":
            return "failed"
        if not self.is_open:
            return "gone"
        if self.run.state != "queued" and self.is_rollback:
            return "rolling_back"
        if not self.plan.value:
            return "waiting" if self.run.state == "queued" else "preparing"
        return "deciding" if all(state.committed for state in self.states.value or ()) else "training"

    @property
    def is_rollback(self) -> bool:
        """Whether it moves the champion back, and trains nothing."""
        return self.run.dag_id == self.classifier.rollback_dag

    @property
    def is_open(self) -> bool:
        """Whether anything can still change."""
        return self.run.state not in {"success", "failed", "unknown"} and not (
            self.decision.value and self.published.value
        )


@dataclass(frozen=True)
class Move:
    """A record of the chain, newest first, with who asked for it and what is known of its final."""

    decision: Decision
    run: AirflowRun | None
    verified: Verified | None


@dataclass(frozen=True)
class RunLine:
    """A run in the table."""

    run: AirflowRun
    decision: Decision | None
    cost: Found[Cost]


@dataclass(frozen=True)
class Overview:
    """What is in service, how it came there, and the newest runs; `newest` is the run that people look for.

    `vouched`: what is known of the champion's final, whichever decision put it into service.
    """

    classifier: Classifier
    now: datetime
    moves: tuple[Move, ...]
    trouble: Found[None]
    vouched: Found[Verified]
    newest: RunView | None
    runs: tuple[RunLine, ...]


def read_run(place: Place, run: AirflowRun, now: datetime) -> RunView:
    """Everything about one run: ten reads, two for each candidate, and one for each of its ECS tasks.

    Raises:
        TemporaryError: S3 does not answer.
        ConfigurationError: it refuses.
    """
    storage, layout, slug = place.storage, place.layout, run.slug
    planned = begin(partial(find_plan, storage, layout, slug))
    decided = begin(partial(decisions.find_of_run, place.chain, slug, within=_RECORDS))
    validated = begin(partial(_find, ValidationReport, storage, layout.run(slug, "validation.json")))
    published = begin(partial(_find, _Published, storage, layout.run(slug, "report.json")))
    tried = begin(partial(attempts.read_all, storage, layout, slug))
    plan, decision = planned.result(), decided.result()
    trained = begin(partial(states.read_states, storage, layout, plan.value)) if plan.value else None
    final = begin(partial(verify_final, place.chain, decision.value)) if decision.value else None
    found = trained.result() if trained else Found[tuple[State, ...]]()
    return RunView(
        classifier=layout.classifier,
        run=run,
        now=now,
        plan=plan,
        states=found,
        decision=decision,
        validation=validated.result(),
        published=published.result(),
        cost=_cost(tried.result(), place.prices, now, _failed(run, found.value or ())),
        verified=final.result().value if final else None,
    )


def _find(kind: type[Content], storage: Storage, key: str) -> Content | None:
    stored = storage.find(key)
    return parse(kind, storage, stored) if stored else None


def _failed(run: AirflowRun, found: Sequence[State]) -> frozenset[str]:
    """The candidates that a run has ended without."""
    return frozenset(state.job.candidate for state in found if run.state == "failed" and not state.committed)


def _cost(
    tried: Found[tuple[Attempt, ...]], prices: Prices, now: datetime, failed: frozenset[str] = frozenset()
) -> Found[Cost]:
    if not tried.value:
        return Found(trouble=tried.trouble)
    return Found(cost_of(tried.value, prices, now, failed=failed))


def read_overview(place: Place, runs: Sequence[AirflowRun], rollbacks: Sequence[AirflowRun], now: datetime) -> Overview:
    """What there is to see without naming a run: at most so many reads, however many runs there were.

    Args:
        place: Where to read.
        runs: The newest runs of the training DAG, newest first, as Airflow knows them.
        rollbacks: Those of the rollback DAG: they say who moved the champion.
        now: The time of the page.

    Raises:
        TemporaryError: S3 does not answer.
        ConfigurationError: it refuses.
    """
    records = begin(partial(_newest_decisions, place))
    shown = runs[:RUNS]
    tried = [begin(partial(attempts.read_all, place.storage, place.layout, run.slug)) for run in shown]
    newest = read_run(place, shown[0], now) if shown else None
    found = records.result()
    known = {run.slug: run for run in (*rollbacks, *runs)}
    decided = {decision.run: decision for decision in found.value or ()}
    finals = [begin(partial(verify_final, place.chain, decision)) for decision in found.value or ()]
    champion = found.value[0].champion if found.value else None
    vouched = begin(partial(_verify_champion, place.chain, champion)) if champion else None
    return Overview(
        classifier=place.layout.classifier,
        now=now,
        moves=tuple(
            Move(decision, known.get(decision.run), final.result().value)
            for decision, final in zip(found.value or (), finals, strict=True)
        ),
        trouble=Found(trouble=found.trouble),
        vouched=vouched.result() if vouched else Found(),
        newest=newest,
        runs=tuple(
            RunLine(run, decided.get(run.slug), _cost(cost.result(), place.prices, now))
            for run, cost in zip(shown, tried, strict=True)
        ),
    )


def _newest_decisions(place: Place) -> tuple[Decision, ...]:
    links = islice(place.chain.backwards(place.chain.find_newest()), DECISIONS)
    return tuple(link.decision for link in links)


def _verify_champion(chain: Chain, champion: Champion) -> Verified | None:
    # Nights that keep it are many: its release need not be among the decisions that are shown.
    return verify_final(chain, read_release(chain, champion))


def read_digits(place: Place, slug: str) -> bytes | None:
    """The picture of a run's worst mistakes, checked against the report's record; None where there is none.

    Raises:
        MnistError: it cannot be read, or is not what the report wrote.
    """
    published = _find(_Published, place.storage, place.layout.run(slug, "report.json"))
    if published is None or published.digits is None:
        return None
    return place.storage.get_verified(place.layout.plot(slug, "digits"), published.digits.sha256)


def read_report(place: Place, slug: str) -> bytes | None:
    """The run's report in HTML; None before it is written.

    Raises:
        MnistError: it cannot be read.
    """
    stored = place.storage.find(place.layout.run(slug, "report.html"))
    return stored.body if stored else None
