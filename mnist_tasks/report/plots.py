"""The plots, made once by matplotlib and used twice: as SVG inside the report, as PNG inside the mail.

Mail clients show no SVG, so a plotting library is needed anyway; one for both keeps the two alike. In the SVG, text
stays text (selectable, in the page's own font) and every colour becomes a CSS variable of the page, so that the same
plot is right in light and in dark.

matplotlib is imported inside functions: it costs half a second, which only the step that draws should pay. `Figure` is
used without `pyplot`, which would look for a display and keep every figure alive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from mnist_tasks.history import History
from mnist_tasks.metrics import Evaluation, Mistake, wilson_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours of the mail, and the names of the CSS variables that take their place in the report. No two may be equal.
# `heat` lies below text, where the dark page needs another shade than for the lines in `bad`.
COLOURS = {
    "ink": "#1c2530",
    "quiet": "#66707c",
    "line": "#d8dee5",
    "accent": "#0b62b4",
    "bad": "#c2440c",
    "heat": "#c2440d",
}

_WIDTH = 360  # points; on a phone one point is about one pixel, so that letters keep a readable size
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "svg.fonttype": "none",
    "axes.axisbelow": True,
    "axes.edgecolor": COLOURS["line"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.8,
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["line"],
    "ytick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["quiet"],
    "ytick.labelcolor": COLOURS["quiet"],
    "ytick.major.size": 0,
}


def learning_curve(
    histories: Mapping[str, History], best: str, best_epoch: int, quantity: Literal["accuracy", "loss"]
) -> Figure:
    """`quantity` by epoch: of the candidate `best` in colour, on both kinds of data; of the others in grey."""
    scale, unit = (100, "%") if quantity == "accuracy" else (1, "")
    training = [scale * getattr(epoch, quantity) for epoch in histories[best].epochs]
    validation = {
        name: [scale * getattr(epoch, f"validation_{quantity}") for epoch in history.epochs]
        for name, history in histories.items()
    }
    chosen = validation.pop(best)
    with _canvas(height=220, left=0.11, right=0.80, bottom=0.15, top=0.92) as (figure, axes):
        for values in validation.values():
            _line(axes, values, color=COLOURS["quiet"], linewidth=1, alpha=0.55)
        _line(axes, training, color=COLOURS["accent"], linewidth=1.3, dashes=(3, 2))
        _line(axes, chosen, color=COLOURS["accent"], linewidth=2.2)
        label = f"{chosen[best_epoch - 1]:.{2 if unit else 3}f}{unit}"
        _mark(axes, (best_epoch, chosen[best_epoch - 1]), label, below=quantity == "accuracy", last=len(chosen))
        _label_ends(axes, training, chosen, list(validation.values()))
        _epochs_below(axes, len(chosen))
        axes.margins(y=0.14)
        axes.grid(axis="y")
        axes.yaxis.set_major_formatter(f"{{x:g}}{unit}")
    return figure


def confusion_matrix(evaluation: Evaluation, classes: Sequence[str], noun: str) -> Figure:
    """How often each class (rows) was read as which (columns); colour shows the mistakes only, or they would drown."""
    counts = np.array(evaluation.confusion)
    mistakes = counts - np.diag(np.diag(counts))
    most = max(int(mistakes.max()), 1)
    with _canvas(height=335, left=0.09 + _width(classes), right=0.99, bottom=0.01, top=0.90) as (
        figure,
        axes,
    ):
        from matplotlib.patches import Rectangle

        for (true, predicted), count in np.ndenumerate(counts):
            if count == 0:
                continue
            right = true == predicted
            fill, alpha, ink = ("line", 0.45, "quiet") if right else ("heat", 0.7 * count / most, "ink")
            place = (predicted - 0.47, true - 0.47)
            axes.add_patch(Rectangle(place, 0.94, 0.94, color=COLOURS[fill], alpha=alpha, linewidth=0))
            axes.text(predicted, true, f"{count}", ha="center", va="center", color=COLOURS[ink])
        _label_classes(axes, classes, noun)
    return figure


def recall_by_class(evaluation: Evaluation, classes: Sequence[str], floor: float | None) -> Figure:
    """The share of each class's images that was read rightly, with its 95% Wilson interval and the gate's floor."""
    intervals = evaluation.recall_intervals
    with _canvas(height=250, left=0.03 + _width(classes), right=0.86, bottom=0.11, top=0.93) as (
        figure,
        axes,
    ):
        for label, ((low, high), recall) in enumerate(zip(intervals, evaluation.recall, strict=True)):
            colour = COLOURS["bad" if floor is not None and recall < floor else "accent"]
            axes.plot([100 * low, 100 * high], [label, label], color=colour, linewidth=2.5, alpha=0.4)
            axes.plot([100 * recall], [label], "o", color=colour, markersize=6)
            axes.text(
                1.02,
                label,
                f"{100 * recall:.1f}%",
                va="center",
                color=COLOURS["ink"],
                transform=axes.get_yaxis_transform(),
            )
        if floor is not None:
            axes.axvline(100 * floor, color=COLOURS["bad"], linewidth=1, dashes=(3, 2))
            axes.text(100 * floor, -0.9, f" floor {100 * floor:g}%", color=COLOURS["bad"], va="bottom")
        axes.set_yticks(range(len(classes)), classes)
        axes.set_ylim(len(classes) - 0.4, -0.9)
        axes.grid(axis="x")
        axes.xaxis.set_major_formatter("{x:g}%")
    return figure


def reliability(evaluation: Evaluation) -> Figure:
    """How often answers were right by how sure the model was of them, with 95% Wilson intervals and numbers of images.

    On the diagonal the two are alike; below it the model is surer than it may be.
    """
    low = 100 * evaluation.calibration[0].low
    with _canvas(height=270, left=0.11, right=0.97, bottom=0.25, top=0.90) as (figure, axes):
        axes.plot([low, 100], [low, 100], color=COLOURS["quiet"], linewidth=1, dashes=(3, 2))
        for part in evaluation.calibration:
            sure, right = 100 * part.confidence, 100 * part.accuracy
            interval = wilson_interval(round(part.accuracy * part.images), part.images)
            axes.plot([sure, sure], [100 * bound for bound in interval], color=COLOURS["accent"], lw=2.5, alpha=0.4)
            axes.plot([sure], [right], "o", color=COLOURS["accent"], markersize=6)
            axes.text(
                50 * (part.low + part.high),
                -0.16,
                f"{part.images:,}",
                ha="center",
                va="center",
                fontsize=8,
                color=COLOURS["quiet"],
                transform=axes.get_xaxis_transform(),
            )
        axes.text(0, 1.05, "right", color=COLOURS["quiet"], transform=axes.transAxes)
        axes.set_xlim(low, 101)
        axes.set_ylim(0, 103)
        axes.grid(axis="y")
        axes.set_xlabel("confidence, and number of images", color=COLOURS["quiet"], loc="right", labelpad=20)
        axes.xaxis.set_major_formatter("{x:g}%")
        axes.yaxis.set_major_formatter("{x:g}%")
    return figure


def worst_mistakes(mistakes: Sequence[Mistake], classes: Sequence[str], images: npt.NDArray[np.uint8]) -> Figure:
    """The most confident mistakes as images, dark ink on the page, each with what it is and what it was read as.

    Args:
        mistakes: The first ones of `Evaluation.worst`.
        classes: What the classes are called.
        images: Their images (n, height, width), in the same order.
    """
    columns, cell, picture = 4, 90, 56  # points
    rows = -(-len(mistakes) // columns)
    with _canvas(height=max(rows, 1) * cell, left=0, right=1, bottom=0, top=1) as (figure, axes):
        axes.axis("off")
        axes.set_xlim(0, _WIDTH)
        axes.set_ylim(max(rows, 1) * cell, 0)
        for place, (mistake, image) in enumerate(zip(mistakes, images, strict=True)):
            height, width = (picture * side / max(image.shape) for side in image.shape)
            left, top = place % columns * cell + (cell - width) / 2, place // columns * cell
            extent = (left, left + width, top + height, top)
            # On black, as MNIST is, an image would be a hole in a light page; its light ground is right in both.
            axes.imshow(image, cmap="gray_r", vmin=0, vmax=255, extent=extent, interpolation="none", aspect="auto")
            middle = left + width / 2
            read = f"{classes[mistake.label]} read as {classes[mistake.predicted]}"
            # Long names in smaller letters, so that neighbours do not meet.
            size = min(10.0, 150 / len(read))
            axes.text(middle, top + picture + 11, read, ha="center", va="center", fontsize=size)
            # Rounding up to "100.0% sure" would claim what no softmax says.
            sure = f"{min(100 * mistake.confidence, 99.94):.1f}% sure"
            axes.text(middle, top + picture + 23, sure, ha="center", va="center", color=COLOURS["quiet"], fontsize=9)
        axes.set_xlim(0, _WIDTH)
        axes.set_ylim(max(rows, 1) * cell, 0)
    return figure


@contextmanager
def _canvas(*, height: int, **margins: float) -> Iterator[tuple[Figure, Axes]]:
    """An empty transparent plot of `height` points; `margins` are fractions of the figure."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH / 72, height / 72), facecolor="none")
        axes = figure.add_subplot(facecolor="none")
        figure.subplots_adjust(**margins)
        yield figure, axes


def _line(axes: Axes, values: Sequence[float], **style: object) -> None:
    # A single epoch makes no line: without a marker the plot would be empty.
    marker = "o" if len(values) == 1 else ""
    axes.plot(range(1, len(values) + 1), values, marker=marker, **style)  # type: ignore[arg-type]


def _mark(axes: Axes, point: tuple[int, float], text: str, *, below: bool, last: int) -> None:
    """A dot with its value, on the side away from the training curve, clear of the words at the lines' ends."""
    axes.plot(*zip(point, strict=True), "o", color=COLOURS["accent"], markersize=7)
    axes.annotate(
        text,
        point,
        (0, -16 if below else 7),
        textcoords="offset points",
        ha="right" if point[0] > 0.8 * last else "center",
        fontweight="bold",
        color=COLOURS["accent"],
    )


def _label_ends(axes: Axes, training: list[float], chosen: list[float], others: list[list[float]]) -> None:
    """Words beside the lines' ends instead of a legend, moved apart where the lines end close together."""
    ends = [("validation", chosen[-1], "accent"), ("training", training[-1], "accent")]
    if others:
        ends.append(("others", float(np.mean([values[-1] for values in others])), "quiet"))
    ends.sort(key=lambda end: end[1])
    low, high = axes.get_ylim()
    places = _apart([value for _, value, _ in ends], gap=(high - low) * 0.085)
    for (word, _, colour), place in zip(ends, places, strict=True):
        axes.annotate(
            word,
            (1.02, place),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            color=COLOURS[colour],
            annotation_clip=False,
        )


def _apart(places: list[float], gap: float) -> list[float]:
    """Ascending `places` moved until neighbours are `gap` apart; their mean stays where it was.

    >>> _apart([1.0, 1.0, 4.0], gap=1.5)
    [0.5, 2.0, 3.5]
    """
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap) if moved else place)
    shift = (sum(moved) - sum(places)) / len(places)
    return [place - shift for place in moved]


def _epochs_below(axes: Axes, epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    axes.set_xlim(0.7, max(epochs, 2) + 0.3)
    axes.set_xlabel("epoch", color=COLOURS["quiet"], loc="right", labelpad=1)


def _width(classes: Sequence[str]) -> float:
    """What the longest name takes of the figure's width."""
    return 0.02 * max(map(len, classes))


def _label_classes(axes: Axes, classes: Sequence[str], noun: str) -> None:
    edge = len(classes) - 0.5
    axes.set_xlim(-0.5, edge)
    axes.set_ylim(edge, -0.5)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xlabel("read as", color=COLOURS["quiet"], loc="left")
    axes.xaxis.set_label_position("top")
    axes.set_ylabel(noun, color=COLOURS["quiet"], loc="top", labelpad=6)
