"""`mnist compare A B`: the figures of two checkpoints side by side, and whether their difference is more than luck.

Both are asked about the same test images again; nothing that was recorded is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Group, RenderableType

from mnist_tasks import checkpoints, dataset
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.cli import terminal
from mnist_tasks.cli.place import Place
from mnist_tasks.cli.terminal import percent, styled
from mnist_tasks.dataset import Dataset
from mnist_tasks.inference import predict, read_weights
from mnist_tasks.metrics import Evaluation, evaluate, wilson_interval
from mnist_tasks.promotion.gates import Comparison
from mnist_tasks.promotion.gates import compare as mcnemar


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two, asked about all test images; `right` has an entry for each."""

    manifest: Manifest
    evaluation: Evaluation
    right: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pair:
    """Both, the one-sided exact McNemar test in either direction, and what the classes are called."""

    first: Side
    second: Side
    first_better: Comparison
    second_better: Comparison
    classes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The verdict."""
        if self.first_better.verdict:
            return f"{self.first.manifest.name} is significantly better."
        if self.second_better.verdict:
            return f"{self.second.manifest.name} is significantly better."
        return "Too close to tell which one is better."

    @property
    def figures(self) -> str:
        """What the verdict rests on."""
        ahead, behind = self.first_better.challenger_only_right, self.first_better.champion_only_right
        p_value = min(self.first_better.p_value, self.second_better.p_value)
        return (
            f"{ahead} images are read rightly by the first alone, {behind} by the second alone: exact McNemar test, "
            f"one-sided, p = {p_value:.2g}, alpha {self.first_better.alpha:g}."
        )


def compare(place: Place, first: Manifest, second: Manifest) -> Pair:
    """Ask both about the test images of the first one's data set.

    Raises:
        NotFoundError: weights or data set are gone.
        IntegrityError: they are not what they have to be.
    """
    data = dataset.load(place.storage, place.layout, first.job.dataset_sha256)
    one, two = _ask(place, first, data), _ask(place, second, data)
    better = partial(mcnemar, rule="better", thresholds=place.layout.classifier.thresholds)
    names = place.layout.classifier.classes
    return Pair(one, two, better(one.right, two.right), better(two.right, one.right), names)


def _ask(place: Place, manifest: Manifest, data: Dataset) -> Side:
    stored = checkpoints.load_weights(place.storage, place.encryption, manifest)
    weights = read_weights(stored, place.layout.classifier)
    probabilities = predict(weights, data.x_test)
    right = np.asarray(probabilities.argmax(axis=1) == data.y_test)
    return Side(manifest, evaluate(probabilities, data.y_test), right)


def to_dict(pair: Pair) -> dict[str, Any]:
    """For machines: `p_value` of each is that of being better than the other."""
    sides = ((pair.first, pair.first_better), (pair.second, pair.second_better))
    return {
        "verdict": pair.sentence,
        "test": "exact McNemar, one-sided",
        "alpha": pair.first_better.alpha,
        "models": [
            {
                "manifest": side.manifest.model_dump(mode="json"),
                "evaluation": side.evaluation.model_dump(mode="json"),
                "only_this_right": comparison.challenger_only_right,
                "p_value": comparison.p_value,
                "significantly_better": comparison.verdict,
            }
            for side, comparison in sides
        ],
    }


def view(pair: Pair) -> RenderableType:
    """For people."""
    table = terminal.table("", pair.first.manifest.name, pair.second.manifest.name)
    for name, one, two in zip(_names(pair.classes), _column(pair.first), _column(pair.second), strict=True):
        table.add_row(styled(name, "bold"), one, two)
    other = pair.first.manifest.job.dataset_sha256 != pair.second.manifest.job.dataset_sha256
    note = "\nThey were trained on different data sets; the test images are those of the first." if other else ""
    return Group(styled(pair.sentence, "bold"), styled(pair.figures + "\n", ""), table, styled(note, ""))


def _names(classes: tuple[str, ...]) -> tuple[str, ...]:
    # Short enough for two finals beside them in 80 columns.
    recalls = (f"recall {name}" for name in classes)
    return ("accuracy", "95%", "loss", "wrong", *recalls, "val acc", "best epoch", "rate", "seed", "run")


def _column(side: Side) -> tuple[str, ...]:
    manifest, evaluation = side.manifest, side.evaluation
    right = int(side.right.sum())
    low, high = wilson_interval(right, evaluation.images)
    return (
        percent(evaluation.accuracy),
        f"{percent(low)} to {percent(high)}",
        f"{evaluation.loss:.4f}",
        f"{evaluation.images - right:,} of {evaluation.images:,}",
        *(percent(recall) for recall in evaluation.recall),
        percent(manifest.validation_accuracy),
        f"{manifest.best_epoch} of {manifest.job.epochs}",
        f"{manifest.job.learning_rate:g}",
        str(manifest.job.seed),
        manifest.run,
    )
