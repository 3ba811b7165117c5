"""Progress as the container tells it: lines on stdout, and an object in S3 that is overwritten.

A terminal gets readable lines. Anything else gets one JSON line a point, which CloudWatch turns into metrics by itself
(embedded metric format) and Logs Insights can query by field; its `message` is the readable line:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mnist_tasks.config import TrainingJob
from mnist_tasks.errors import MnistError
from mnist_tasks.history import History, Running
from mnist_tasks.layout import Layout
from mnist_tasks.progress import Progress, end_message, epoch_message, running_message
from mnist_tasks.storage import Storage, to_json

# People look once a second at most: more puts would only cost.
_SECONDS_BETWEEN_PUTS = 1.0
_UNITS = {"seconds": "Seconds", "images_per_second": "Count/Second", "peak_memory_mb": "Megabytes"}


@dataclass
class Telling:
    """Tells the progress of one job, trained on `images` images. That S3 does not take it is no reason to stop.

    `say` gets the lines: readable ones for a `terminal`, JSON for everything else.
    """

    storage: Storage
    layout: Layout
    job: TrainingJob
    say: Callable[[str], None]
    images: int
    terminal: bool
    _start: tuple[Running, ...] = field(default=(), init=False)
    _next_put: float = field(default=0.0, init=False)

    def running(self, running: Running) -> None:
        """Figures inside the first epoch."""
        self._start = (*self._start, running)
        # Other names than those of whole epochs, so that a metric never mixes the two.
        figures = {"running_loss": running.loss, "running_accuracy": running.accuracy}
        self._point(running_message(running, self.job), {"epoch": 1, "batch": running.batch}, figures)
        self._put(Progress(job=self.job, updated=datetime.now(UTC), start=self._start))

    def epoch(self, history: History) -> None:
        """A whole epoch has ended."""
        newest = history.epochs[-1]
        figures = newest.model_dump(exclude={"epoch"}) | {
            "images_per_second": round(self.images / newest.seconds, 1),
            "peak_memory_mb": history.peak_memory_mb,
        }
        self._point(epoch_message(history, self.job), {"epoch": newest.epoch}, figures)
        self._put_history(history)

    def end(self, history: History) -> None:
        """The last epoch has ended."""
        converged = history.converged(self.job.validation_images)
        epochs = {"best_epoch": history.best.epoch, "converged_epoch": converged}
        self._point(end_message(history, self.job), epochs, {"training_seconds": history.seconds})
        self._next_put = 0
        self._put_history(history)

    def _put_history(self, history: History) -> None:
        self._put(Progress(job=self.job, updated=datetime.now(UTC), start=history.start, history=history))

    def _point(self, message: str, place: Mapping[str, int], figures: Mapping[str, float]) -> None:
        self.say(message if self.terminal else json.dumps(metric_line(message, place, figures, self.job)))

    def _put(self, progress: Progress) -> None:
        now = time.monotonic()
        if now < self._next_put:
            return
        self._next_put = now + _SECONDS_BETWEEN_PUTS
        key = self.layout.progress(self.job.run, self.job.candidate)
        try:
            self.storage.put(key, to_json(progress.model_dump(mode="json")))
        except MnistError as error:
            self.say(f"progress was not stored: {error.problem}")


def metric_line(
    message: str, place: Mapping[str, int], figures: Mapping[str, float], job: TrainingJob
) -> dict[str, Any]:
    """A point in CloudWatch's embedded metric format.

    Run and candidate are fields and no dimensions: each pair would be a metric of its own, and be billed as one.
    """
    metrics = [{"Name": name, "Unit": _UNITS.get(name.removeprefix("training_"), "None")} for name in figures]
    return {
        "message": message,
        "run": job.run,
        "candidate": job.candidate,
        **place,
        **figures,
        "_aws": {
            "Timestamp": time.time_ns() // 1_000_000,
            # One for each classifier: MNIST's alarms must not ring for another one.
            "CloudWatchMetrics": [{"Namespace": job.classifier, "Dimensions": [[]], "Metrics": metrics}],
        },
    }
