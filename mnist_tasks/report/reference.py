"""The figures that were expected (MNIST: the specification's), beside those that were measured in a run.

They are there to be recognised, not to be hit: they came from one training, and what one training gives is a draw. No
seed is ever chosen for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from mnist_tasks.report.data import ReportData
from mnist_tasks.report.words import percent

# Up to which batch counts as early: settled here once, not by what a run shows.
_EARLY = 30


@dataclass(frozen=True)
class Comparison:
    """One figure: what was expected, and what the best candidate of the run showed."""

    name: str
    specified: str
    measured: str


def reference_figures(data: ReportData) -> tuple[Comparison, ...]:
    """The comparisons in the order in which a training shows them.

    Left out is what the classifier's definition expects nothing of, and what an old history does not know.
    """
    return tuple(comparison for comparison in (*_start(data), *_whole(data)) if comparison.specified)


def _whole(data: ReportData) -> list[Comparison]:
    expected = data.layout.classifier.expected
    history = data.histories[data.best.name]
    first, last = history.epochs[0], history.epochs[-1]
    found = [
        Comparison("Training loss, first to last epoch", expected.loss, f"{first.loss:.2f} to {last.loss:.2f}"),
        Comparison("Validation accuracy no longer rises", expected.converged, f"from epoch {data.converged} on"),
        Comparison("Accuracy at the end", expected.accuracy, f"{percent(data.evaluation.accuracy)} of the test images"),
    ]
    if memory := history.memory:
        size = f"{memory.images_mb:.2f} MB as bytes; as floats {memory.images_as_float32_mb:.2f} MB"
        found.append(Comparison("Images in memory", expected.memory, size))
    return found


def _start(data: ReportData) -> list[Comparison]:
    expected = data.layout.classifier.expected
    start = data.histories[data.best.name].start
    early = [f"{percent(running.accuracy)} after {running.batch}" for running in start if 1 < running.batch <= _EARLY]
    found = []
    if start:
        right = round(start[0].accuracy * start[0].images)
        measured = f"{percent(start[0].accuracy)} ({right} of {start[0].images})"
        found.append(Comparison("Accuracy in the first batch", expected.first_batch, measured))
    if early:
        found.append(Comparison("Accuracy early in the first epoch", expected.early, f"{', '.join(early)} batches"))
    return found
