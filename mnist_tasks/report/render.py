"""From data to the report's HTML (one file that needs no other) and JSON. Pure: nothing is read, nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mnist_tasks.checkpoints import StoredObject
from mnist_tasks.cost import Cost
from mnist_tasks.metrics import BINS, Evaluation
from mnist_tasks.report import pictures, plots, words
from mnist_tasks.report.data import ReportData
from mnist_tasks.report.reference import reference_figures

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from matplotlib.figure import Figure

_TEMPLATES = Path(__file__).parent.parent / "templates"


@cache
def templates() -> Environment:
    """The templates: HTML is escaped, text is not; control characters pass in neither; an unknown name is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": words.amount,
        "breakable": _breakable,
        "count": lambda value: f"{value:,}",
        "duration": words.duration,
        "money": words.money,
        "pct": words.percent,
        "when": _when,
    }
    return environment


def _printable(value: Any) -> Any:
    # Markup (a plot, a macro's output) consists of values that came past here already.
    if type(value) is not str or value.isprintable():
        return value
    return "".join(c if c.isprintable() or c == "\n" else " " for c in value)


def _breakable(name: str) -> Markup:
    """A name of parts, so that a narrow line ends between two of them."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def draw(data: ReportData, test_images: npt.NDArray[np.uint8]) -> dict[str, Figure]:
    """The plots of a run by name. `test_images`: all of them; the worst mistakes are taken from there."""
    best, evaluation, classifier = data.best, data.evaluation, data.layout.classifier
    worst = [mistake.index for mistake in evaluation.worst]
    return {
        "accuracy": plots.learning_curve(data.histories, best.name, best.best_epoch, "accuracy"),
        "loss": plots.learning_curve(data.histories, best.name, best.best_epoch, "loss"),
        "recall": plots.recall_by_class(evaluation, classifier.classes, recall_floor(data)),
        "confusion": plots.confusion_matrix(evaluation, classifier.classes, classifier.noun),
        "mistakes": plots.worst_mistakes(evaluation.worst, classifier.classes, test_images[worst]),
    } | ({"calibration": plots.reliability(evaluation)} if evaluation.calibration else {})


def recall_floor(data: ReportData) -> float | None:
    """The highest floor that a gate sets for the recall of a class."""
    return max((gate.threshold for gate in data.decision.gates if gate.name.startswith("recall")), default=None)


def render_html(data: ReportData, figures: Mapping[str, Figure], cost: Cost) -> str:
    """The report as one HTML file; `figures` as `draw` makes them."""
    from markupsafe import Markup

    # Markup: matplotlib escapes what it writes into SVG, and our plots write numbers and a definition's words only.
    svg = {name: Markup(pictures.to_svg(figure, name)) for name, figure in figures.items()}  # noqa: S704
    own = {"svg": svg, "cost": cost, "limits": words.limits(data.layout.classifier), "bins": BINS}
    own["classes"] = classes(data.evaluation, data.layout.classifier.classes)
    return templates().get_template("report.html").render(facts(data) | own)


def facts(data: ReportData) -> dict[str, Any]:
    """What the templates of report and mail have in common."""
    low, high = data.accuracy_interval
    return {
        "data": data,
        "classifier": data.layout.classifier,
        "plan": data.plan,
        "decision": data.decision,
        "evaluation": data.evaluation,
        "headline": words.headline(data.decision),
        "reason": words.reason(data.decision),
        "mixups": mixups(data.evaluation, data.layout.classifier.classes),
        "reference": reference_figures(data),
        "resumed": words.resumed(data),
        "interval": f"{100 * low:.2f}% to {100 * high:.2f}%",
        "errors": data.evaluation.images - sum(row[i] for i, row in enumerate(data.evaluation.confusion)),
        "steps": words.next_steps(data),
        "repeat": words.repeat_command(data.plan),
        "bias": words.BIAS,
    }


@dataclass(frozen=True)
class ClassFigures:
    """The figures of one class on the test images; `interval` is the 95% Wilson interval of its recall."""

    digit: int
    name: str
    images: int
    recall: float
    interval: tuple[float, float]
    precision: float
    f1: float


def classes(evaluation: Evaluation, names: Sequence[str]) -> tuple[ClassFigures, ...]:
    """The figures by class."""
    return tuple(
        ClassFigures(
            digit=label,
            name=names[label],
            images=sum(row),
            recall=evaluation.recall[label],
            interval=evaluation.recall_intervals[label],
            precision=evaluation.precision[label],
            f1=evaluation.f1[label],
        )
        for label, row in enumerate(evaluation.confusion)
    )


def mixups(evaluation: Evaluation, names: Sequence[str], most: int = 8) -> list[tuple[str, str, int, float]]:
    """The most frequent mistakes: class, what it was read as, how often, share of the class's images."""
    found = [
        (true, predicted, count, count / sum(row))
        for true, row in enumerate(evaluation.confusion)
        for predicted, count in enumerate(row)
        if true != predicted and count
    ]
    found = sorted(found, key=lambda mixup: (-mixup[2], mixup[:2]))[:most]
    return [(names[true], names[predicted], count, share) for true, predicted, count, share in found]


def to_dict(
    data: ReportData,
    plots: Mapping[str, StoredObject],
    digits: StoredObject | None = None,
    cost: Cost | None = None,
) -> dict[str, Any]:
    """The report for machines: what the HTML says, as JSON values. `docs/report.md` describes them.

    Args:
        data: The run.
        plots: Where the PNGs are, by name.
        digits: Where the images of the worst mistakes are, if there are any.
        cost: What its ECS tasks cost; None if nobody has worked it out.
    """
    low, high = data.accuracy_interval
    return {
        "version": 1,
        "classifier": data.layout.classifier.name,
        "run": data.plan.run,
        "outcome": data.decision.outcome,
        "headline": words.headline(data.decision),
        "test": {
            "images": data.evaluation.images,
            "accuracy": data.evaluation.accuracy,
            "accuracy_interval_95": [low, high],
            "loss": data.evaluation.loss,
            "expected_calibration_error": data.evaluation.expected_calibration_error,
            "digits": [asdict(figures) for figures in classes(data.evaluation, data.layout.classifier.classes)],
        },
        "champion": {
            "before": data.decision.champion_before,
            "before_accuracy": data.champion_accuracy,
            "after": data.decision.champion_after,
        },
        "reference": [asdict(figure) for figure in reference_figures(data)],
        "plan": data.plan.model_dump(mode="json"),
        "validation": data.validation.model_dump(mode="json"),
        "candidates": [
            {
                "manifest": manifest.model_dump(mode="json"),
                "history": data.histories[manifest.name].model_dump(mode="json"),
            }
            for manifest in data.manifests
        ],
        "final": data.final.model_dump(mode="json") if data.final else None,
        "decision": data.decision.model_dump(mode="json"),
        "verification": {
            "decision_signed_by_one_of": list(data.trusted_keys),
            "final_is_the_one_decided_about": data.final is not None,
            "attestation": data.decision.evidence.attested,
            "approved_by": data.decision.evidence.approved_by,
        },
        "cost": _bill(cost) if cost else None,
        "limits": list(words.limits(data.layout.classifier)),
        "plots": {name: plot.model_dump(mode="json") for name, plot in plots.items()},
        "digits": digits.model_dump(mode="json") if digits else None,
        "repeat": words.repeat_command(data.plan),
    }


def _bill(cost: Cost) -> dict[str, Any]:
    return {
        "dollars": cost.dollars,
        "on_demand_dollars": cost.on_demand_dollars,
        "wasted_dollars": cost.wasted_dollars,
        "vcpu_seconds": cost.vcpu_seconds,
        "gb_seconds": cost.gb_seconds,
        "prices": asdict(cost.prices),
        "tasks": [
            {
                "attempt": line.attempt.model_dump(mode="json"),
                "seconds": line.seconds,
                "dollars": line.dollars,
                "wasted": line.wasted,
            }
            for line in cost.lines
        ],
    }
