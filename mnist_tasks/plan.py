"""The plan of a run: its candidates with names and seeds, settled before anything is started.

`plan.json` is written once, and the first writer wins: every retry, of this step or a later one, goes on with the same
candidates, and a crash orphans nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from pydantic import AwareDatetime, Field, model_validator

from mnist_tasks import checkpoints
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.config import Frozen, RunConfig, S3KeyPart, Seed, Sha256, TrainingJob, derived_seed
from mnist_tasks.errors import Conflict, IntegrityError, NotFoundError
from mnist_tasks.layout import Layout, final_name, run_slug
from mnist_tasks.storage import Storage, parse, sha256_of, to_json

# An hour's worth: nobody takes that many by accident, and a search without end would hide who did.
_MAXIMUM_TRIES = 3600


class Plan(Frozen):
    """What a run is going to train. `run` is its slug; `seed` the one that all candidates' seeds derive from."""

    run: S3KeyPart
    run_id: str = Field(min_length=1)
    dag_id: str = Field(min_length=1)
    created: AwareDatetime
    config: RunConfig
    dataset_sha256: Sha256
    seed: Seed
    jobs: tuple[TrainingJob, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _jobs_are_its_own(self) -> Self:
        names = {job.candidate for job in self.jobs}
        if len(names) != len(self.jobs) or {job.run for job in self.jobs} != {self.run}:
            raise ValueError(f"run {self.run} needs candidates of its own with different names, came {sorted(names)}")
        if {job.dataset_sha256 for job in self.jobs} != {self.dataset_sha256}:
            raise ValueError(f"run {self.run} has to train on its own data set, {self.dataset_sha256}")
        return self


def make_plan(
    storage: Storage,
    layout: Layout,
    *,
    dag_id: str,
    run_id: str,
    config: RunConfig,
    dataset_sha256: str,
    now: datetime,
) -> Plan:
    """Settle the run's candidates; done again for the same run, it returns what was settled the first time.

    Args:
        storage: The bucket.
        layout: Its keys.
        dag_id: Whose run it is.
        run_id: Which run.
        config: What the run is to train.
        dataset_sha256: What on.
        now: The run's own moment, the same at every try: candidates are named after it, so that a try which was killed
            between its claims and the plan leaves none behind that the next one would not claim as well.

    Raises:
        ConfigurationError: `dataset_sha256` is none, or `config` leaves none of its images to train on.
        IntegrityError: what is stored as this run's plan is none.
    """
    slug = run_slug(dag_id, run_id)
    settled = find_plan(storage, layout, slug)
    if settled:
        return settled
    layout.classifier.check(config)
    layout.dataset(dataset_sha256)  # an XCom's word: refused before a name is claimed
    seed = config.seed if config.seed is not None else derived_seed(slug)
    names = _claim_names(storage, layout, slug, config.candidates, now)
    plan = Plan(
        run=slug,
        run_id=run_id,
        dag_id=dag_id,
        created=now,
        config=config,
        dataset_sha256=dataset_sha256,
        seed=seed,
        jobs=tuple(
            TrainingJob(
                bucket=storage.bucket,
                checkpoints_prefix=layout.checkpoints,
                run=slug,
                candidate=name,
                dataset_sha256=dataset_sha256,
                seed=derived_seed(seed, number),
                epochs=config.epochs,
                batch_size=config.batch_size,
                learning_rate=config.learning_rate_of(number),
                validation_images=config.validation_images,
                classifier=layout.classifier.name,
            )
            for number, name in enumerate(names)
        ),
    )
    if storage.put_if_absent(layout.run(slug, "plan.json"), to_json(plan.model_dump(mode="json"))):
        return plan
    return read_plan(storage, layout, slug)


def _claim_names(storage: Storage, layout: Layout, slug: str, count: int, now: datetime) -> list[str]:
    """`count` names that nobody else has: a second apart, each later than the one before."""
    names: list[str] = []
    for second in range(_MAXIMUM_TRIES):
        name = layout.candidate_name(now + timedelta(seconds=second))
        if _claim(storage, layout, slug, name):
            names.append(name)
        if len(names) == count:
            return names
    raise Conflict(
        f"only {len(names)} of {count} names were free in the {_MAXIMUM_TRIES:,} seconds from "
        f"{layout.candidate_name(now)} on",
        mend="check this machine's clock: another run claims names in its future",
    )


def _claim(storage: Storage, layout: Layout, slug: str, name: str) -> bool:
    # The claim is what decides between runs. But claims expire with the rest of `runs/`, checkpoints may not: a clock
    # that went backwards must not lead to a name that had been used.
    if not storage.put_if_absent(layout.claim(name), to_json({"run": slug})):
        return False
    return not any(storage.exists(layout.manifest(used)) for used in (name, final_name(name)))


def read_plan(storage: Storage, layout: Layout, slug: str) -> Plan:
    """The plan of a run that has one.

    Raises:
        NotFoundError: it has none yet.
        IntegrityError: what is stored there is not this run's plan.
    """
    plan = find_plan(storage, layout, slug)
    if plan is None:
        raise NotFoundError(
            f"run {slug} has no plan at {storage.uri(layout.run(slug, 'plan.json'))}",
            mend="let the step `plan` end first; a plan expires with the rest of its run",
        )
    return plan


def find_plan(storage: Storage, layout: Layout, slug: str) -> Plan | None:
    """The plan of a run, or None where there is none.

    Raises:
        IntegrityError: what is stored there is not this run's plan.
    """
    stored = storage.find(layout.run(slug, "plan.json"))
    if stored is None:
        return None
    plan = parse(Plan, storage, stored)
    if plan.run != slug:
        raise IntegrityError(
            f"{storage.uri(stored.key)} is the plan of run {plan.run}", mend="restore that object's previous version"
        )
    return plan


def fingerprint(storage: Storage, layout: Layout, plan: Plan) -> str:
    """The SHA-256 of a plan as it is stored: for whoever wants to record what he has acted upon.

    Raises:
        IntegrityError: what is stored there by now says something else.
        NotFoundError: it is gone.
    """
    stored = storage.get(layout.run(plan.run, "plan.json"))
    if parse(Plan, storage, stored) != plan:
        raise IntegrityError(
            f"{storage.uri(stored.key)} was changed while it was acted upon",
            mend="a plan is never replaced: find out who did it, and restore its first version in S3",
        )
    return sha256_of(stored.body)


def pick_best(storage: Storage, layout: Layout, slug: str) -> Manifest:
    """The best candidate of a run; the cost depends on the run's candidates only, not on what else is in the bucket.

    Raises:
        NotFoundError: a candidate of the plan was not committed; the message names it.
        IntegrityError: a candidate was trained by another job than the plan's.
    """
    return best_of(storage, layout, read_plan(storage, layout, slug))


def best_of(storage: Storage, layout: Layout, plan: Plan) -> Manifest:
    """The same for a plan that was read."""
    return checkpoints.best([_read_planned(storage, layout, job) for job in plan.jobs])


def _read_planned(storage: Storage, layout: Layout, job: TrainingJob) -> Manifest:
    manifest = checkpoints.read(storage, layout, job.candidate)
    if manifest.job != job:
        raise IntegrityError(
            f"{storage.uri(layout.manifest(job.candidate))} was trained by another job than the plan of {job.run} says",
            mend="find out who wrote it; train again in a new run",
        )
    return manifest
