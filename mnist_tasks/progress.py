"""How far a candidate's training is: what the container writes while it trains, and whoever looks on reads."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from mnist_tasks.config import Frozen, TrainingJob
from mnist_tasks.history import History, Running
from mnist_tasks.layout import Layout
from mnist_tasks.storage import Storage, parse


class Progress(Frozen):
    """The figures so far. During the first epoch there are those of `start` only, afterwards `history` has them all."""

    version: Literal[1] = 1
    job: TrainingJob
    updated: AwareDatetime
    start: tuple[Running, ...] = ()
    history: History | None = None

    @property
    def done(self) -> bool:
        """Whether the last epoch has ended. The manifest, and nothing else, says that the candidate is committed."""
        return self.history is not None and len(self.history.epochs) == self.job.epochs

    @property
    def message(self) -> str:
        """The newest figures, for people."""
        if self.history is not None:
            return epoch_message(self.history, self.job)
        return running_message(self.start[-1], self.job) if self.start else "started"


def find(storage: Storage, layout: Layout, slug: str, candidate: str) -> Progress | None:
    """What the candidate's training told last; None before its first batch.

    Raises:
        IntegrityError: what is stored there is no progress.
    """
    stored = storage.find(layout.progress(slug, candidate))
    return None if stored is None else parse(Progress, storage, stored)


def running_message(running: Running, job: TrainingJob) -> str:
    """Figures inside the first epoch, for people."""
    return f"{_position(1, job)}  batch {running.batch:<4}  loss {running.loss:.4f}  accuracy {running.accuracy:.2%}"


def epoch_message(history: History, job: TrainingJob) -> str:
    """The newest epoch's figures, for people."""
    newest = history.epochs[-1]
    return (
        f"{_position(newest.epoch, job)}"
        f"  loss {newest.loss:.4f}  accuracy {newest.accuracy:.2%}"
        f"  val_loss {newest.validation_loss:.4f}  val_accuracy {newest.validation_accuracy:.2%}"
        f"  {newest.seconds:.1f} s"
    )


def end_message(history: History, job: TrainingJob) -> str:
    """What came of it all, for people."""
    converged = history.converged(job.validation_images)
    return (
        f"best epoch {history.best.epoch}, validation accuracy no longer rises from epoch {converged} on, "
        f"{history.seconds:.1f} s, {history.peak_memory_mb:.0f} MB at most"
    )


def _position(epoch: int, job: TrainingJob) -> str:
    return f"epoch {epoch:{len(str(job.epochs))}}/{job.epochs}"
