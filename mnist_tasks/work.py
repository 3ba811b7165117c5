"""The work that Airflow leaves to containers: what each of them is to bring about, and where that can be seen."""

from __future__ import annotations

from typing import Any

from mnist_tasks import checkpoints, progress
from mnist_tasks.config import PromotionJob, TrainingJob
from mnist_tasks.ecs import Work
from mnist_tasks.layout import Layout
from mnist_tasks.promotion import decisions, release
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.storage import Storage


def training(storage: Storage, layout: Layout, job: TrainingJob) -> Work:
    """Done when the candidate's manifest is there."""

    def result() -> dict[str, Any] | None:
        manifest = checkpoints.find(storage, layout, job.candidate)
        return {"candidate": manifest.name} if manifest else None

    def told() -> str | None:
        found = progress.find(storage, layout, job.run, job.candidate)
        return found.message if found else None

    def clean_up() -> None:
        # The container does so itself, unless it was killed between its commit and that. To ask for the object, one
        # would have to be allowed to read it.
        resume = layout.resume(job.run, job.candidate)
        if resume in storage.keys(resume, page=1):
            storage.delete(resume)

    return Work(job, layout, "its checkpoint is not committed", result, told, clean_up)


def promotion(chain: Chain, job: PromotionJob) -> Work:
    """Done when the run's decision is in the chain, and what follows from it is there. A rejection is an outcome."""

    def result() -> dict[str, Any] | None:
        settled = release.find_settled(chain, job.run)
        if settled is None:
            return None
        return {**decisions.passed(settled.decision).summary(), "in_service": settled.in_service}

    return Work(job, chain.layout, "its decision is not recorded", result, progress=lambda: None, clean_up=lambda: None)
