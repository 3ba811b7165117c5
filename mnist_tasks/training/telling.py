"""Progress as the container tells it: events, and an object in S3 that is overwritten."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mnist_tasks import events
from mnist_tasks.config import TrainingJob
from mnist_tasks.errors import MnistError
from mnist_tasks.history import History, Running
from mnist_tasks.layout import Layout
from mnist_tasks.progress import Progress, end_message, epoch_message, running_message
from mnist_tasks.storage import Storage, to_json

# People look once a second at most: more puts would only cost.
_SECONDS_BETWEEN_PUTS = 1.0


@dataclass
class Telling:
    """Tells the progress of one job, trained on `images` images. That S3 does not take it is no reason to stop."""

    storage: Storage
    layout: Layout
    job: TrainingJob
    images: int
    _start: tuple[Running, ...] = field(default=(), init=False)
    _next_put: float = field(default=0.0, init=False)

    def running(self, running: Running) -> None:
        """Figures inside the first epoch."""
        self._start = (*self._start, running)
        # Other names than those of whole epochs, so that a metric never mixes the two.
        figures = {"running_loss": running.loss, "running_accuracy": running.accuracy}
        events.tell("running", running_message(running, self.job), figures=figures, epoch=1, batch=running.batch)
        self._put(Progress(job=self.job, updated=datetime.now(UTC), start=self._start))

    def epoch(self, history: History) -> None:
        """A whole epoch has ended."""
        newest = history.epochs[-1]
        figures = newest.model_dump(exclude={"epoch"}) | {
            "images_per_second": round(self.images / newest.seconds, 1),
            "peak_memory_mb": history.peak_memory_mb,
        }
        events.tell("epoch", epoch_message(history, self.job), figures=figures, epoch=newest.epoch)
        self._put_history(history)

    def end(self, history: History) -> None:
        """The last epoch has ended."""
        converged = history.converged(self.job.validation_images)
        events.tell(
            "trained",
            end_message(history, self.job),
            figures={"training_seconds": history.seconds},
            best_epoch=history.best.epoch,
            converged_epoch=converged,
        )
        self._next_put = 0
        self._put_history(history)

    def _put_history(self, history: History) -> None:
        self._put(Progress(job=self.job, updated=datetime.now(UTC), start=history.start, history=history))

    def _put(self, progress: Progress) -> None:
        now = time.monotonic()
        if now < self._next_put:
            return
        self._next_put = now + _SECONDS_BETWEEN_PUTS
        key = self.layout.progress(self.job.run, self.job.candidate)
        try:
            self.storage.put(key, to_json(progress.model_dump(mode="json")))
        except MnistError as error:
            events.warn("progress not stored", f"progress was not stored: {error.problem}")
