"""How far the candidates of a run are: what they told while they trained, and what they have committed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mnist_tasks import checkpoints, progress
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.config import TrainingJob
from mnist_tasks.history import Epoch, Running
from mnist_tasks.layout import Layout
from mnist_tasks.plan import Plan
from mnist_tasks.progress import Progress
from mnist_tasks.storage import Storage


@dataclass(frozen=True)
class State:
    """One candidate: what its training told last, and its manifest once it is committed. `images` an epoch has."""

    job: TrainingJob
    images: int
    progress: Progress | None
    manifest: Manifest | None

    @property
    def committed(self) -> bool:
        """Whether the candidate is there: its manifest says so, nothing else."""
        return self.manifest is not None

    @property
    def epochs_done(self) -> int:
        """Whole epochs so far."""
        return len(self.progress.history.epochs) if self.progress and self.progress.history else 0

    @property
    def newest(self) -> Epoch | Running | None:
        """The newest figures."""
        if self.progress is None:
            return None
        if self.progress.history:
            return self.progress.history.epochs[-1]
        return self.progress.start[-1] if self.progress.start else None

    @property
    def share(self) -> float:
        """Which part of the training is done, 0 to 1; batches count within the first epoch only."""
        if self.committed:
            return 1.0
        newest = self.newest
        begun = newest.images / self.images if isinstance(newest, Running) else 0.0
        return min(1.0, (self.epochs_done + begun) / self.job.epochs)

    def remaining(self, now: datetime) -> timedelta | None:
        """How long it will still train if epochs go on taking as long as so far; None before the first has ended."""
        if self.committed:
            return timedelta(0)
        if self.progress is None or self.progress.history is None:
            return None
        seconds = self.progress.history.seconds / self.epochs_done * (self.job.epochs - self.epochs_done)
        return max(timedelta(0), timedelta(seconds=seconds) - (now - self.progress.updated))

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "candidate": self.job.candidate,
            "committed": self.committed,
            "share": self.share,
            "progress": self.progress.model_dump(mode="json") if self.progress else None,
        }


def read_states(storage: Storage, layout: Layout, plan: Plan) -> tuple[State, ...]:
    """The candidates in the order of the plan: two reads for each.

    Raises:
        IntegrityError: a manifest or what a training told is not what it has to be.
    """
    return tuple(
        State(
            job=job,
            images=layout.classifier.training_images - job.validation_images,
            progress=progress.find(storage, layout, plan.run, job.candidate),
            manifest=checkpoints.find(storage, layout, job.candidate),
        )
        for job in plan.jobs
    )


def last_news(plan: Plan, states: tuple[State, ...]) -> datetime:
    """When the run was heard of last."""
    return max([plan.created, *(state.progress.updated for state in states if state.progress)])
