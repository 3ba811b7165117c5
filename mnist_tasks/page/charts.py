"""The page's plots: SVG made on the server.

The page has to load in a moment, inside a frame with a strict Content-Security-Policy, in every Airflow process that
loads plugins. A plotting library for the browser would be a few hundred kilobytes of somebody else's script; matplotlib
(which draws the report) takes half a second to import and writes style attributes, which the policy forbids. Two plots
of lines and dots are a page of code; their colours are the classes of `page.css`, so they follow light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mnist_tasks.history import Epoch
from mnist_tasks.page.data import Move
from mnist_tasks.states import State

if TYPE_CHECKING:
    from markupsafe import Markup

Point = tuple[float, float]

_TOP, _BOTTOM = 12, 22  # in the drawing's own units, about a pixel each


@dataclass
class Canvas:
    """A drawing with a linear scale: `x` and `y` are the ranges of the data."""

    x: Point
    y: Point
    width: int = 340
    height: int = 150
    left: int = 42
    right: int = 74
    parts: list[str] = field(default_factory=list)

    def at(self, point: Point) -> Point:
        """Where a value is drawn."""
        (x0, x1), (y0, y1) = self.x, self.y
        across = self.left + (point[0] - x0) / (x1 - x0 or 1) * (self.width - self.left - self.right)
        down = _TOP + (1 - (point[1] - y0) / (y1 - y0 or 1)) * (self.height - _TOP - _BOTTOM)
        return round(across, 1), round(down, 1)

    def line(self, points: Sequence[Point], kind: str) -> None:
        """Straight from point to point; a single one is a dot, or nobody would see it."""
        if len(points) == 1:
            self.dot(points[0], f"dot {kind}", 2)
        elif points:
            places = " ".join(f"{x},{y}" for x, y in map(self.at, points))
            self.parts.append(f'<polyline class="line {kind}" points="{places}"/>')

    def dot(self, point: Point, kind: str, radius: float = 4) -> None:
        """A circle."""
        x, y = self.at(point)
        self.parts.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="{radius}"/>')

    def text(self, place: Point, words: str, kind: str = "", anchor: str = "start") -> None:
        """Words at a place of the drawing."""
        self.parts.append(f'<text class="{kind}" x="{place[0]}" y="{place[1]}" text-anchor="{anchor}">{words}</text>')

    def grid(self, ticks: Iterable[float], unit: str) -> None:
        """Horizontal lines with their values."""
        for tick in ticks:
            _, y = self.at((self.x[0], tick))
            self.parts.append(f'<line class="grid" x1="{self.left}" x2="{self.width - self.right}" y1="{y}" y2="{y}"/>')
            self.text((self.left - 6, y + 4), f"{tick:g}{unit}", "quiet", "end")

    def svg(self, label: str) -> Markup:
        """The whole drawing; `label` is what a screen reader says instead."""
        from markupsafe import Markup, escape

        head = f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(label)}">'
        return Markup(head + "".join(self.parts) + "</svg>")  # noqa: S704 - numbers and fixed words, the label escaped


def learning_curve(state: State, quantity: str, ticks: Sequence[float]) -> Markup:
    """`quantity` (accuracy or loss) of one candidate, over all epochs that it is going to have: the curve grows.

    `ticks` are those that all candidates share, so that their plots can be compared.
    """
    scale, unit = (100, "%") if quantity == "accuracy" else (1, "")
    span = (ticks[0], ticks[-1])
    canvas = Canvas(x=(0, state.job.epochs), y=span)
    canvas.grid(ticks, unit)
    for epoch in _epoch_ticks(state.job.epochs):
        x, _ = canvas.at((epoch, span[0]))
        canvas.text((x, canvas.height - 6), str(epoch), "quiet", "middle")
    training, validation = _points(state, quantity, scale)
    canvas.line([point for point in training if span[0] <= point[1] <= span[1]], "training")
    canvas.line(validation, "validation")
    _label_ends(canvas, training, validation, unit)
    best = state.manifest.best_epoch if state.manifest else None
    if best and best <= len(validation):
        canvas.dot(validation[best - 1], "dot validation")
    return canvas.svg(_spoken(state, quantity, training, validation, unit))


def _points(state: State, quantity: str, scale: int) -> tuple[list[Point], list[Point]]:
    epochs: tuple[Epoch, ...] = ()
    if state.progress and state.progress.history:
        epochs = state.progress.history.epochs
    training = [(float(e.epoch), scale * float(getattr(e, quantity))) for e in epochs]
    validation = [(float(e.epoch), scale * float(getattr(e, f"validation_{quantity}"))) for e in epochs]
    if not epochs and state.progress:
        images = state.images
        training = [(r.images / images, scale * float(getattr(r, quantity))) for r in state.progress.start]
    return training, validation


def _label_ends(canvas: Canvas, training: list[Point], validation: list[Point], unit: str) -> None:
    """The newest values beside the ends of the lines, moved apart where they would touch."""
    ends = [(points[-1], kind) for points, kind in ((training, "training"), (validation, "validation")) if points]
    places = sorted(((*canvas.at(point), point[1], kind) for point, kind in ends), key=lambda end: end[1])
    lowest = -math.inf
    for x, y, value, kind in places:
        at = min(max(y + 4, lowest + 13), canvas.height - _BOTTOM + 6)
        lowest = at
        word = "val." if kind == "validation" else "train"
        canvas.text((x + 7, at), f"{word} {value:.{1 if unit else 3}f}{unit}", kind)


def _spoken(state: State, quantity: str, training: list[Point], validation: list[Point], unit: str) -> str:
    if not training:
        return f"{quantity} of {state.job.candidate}: nothing yet"
    digits = 2 if unit else 3
    told = f"training {training[-1][1]:.{digits}f}{unit}"
    if validation:
        told += f", validation {validation[-1][1]:.{digits}f}{unit}"
    return f"{quantity} of {state.job.candidate} by epoch, {len(validation)} of {state.job.epochs} epochs: {told}"


def common_ticks(states: Sequence[State], quantity: str) -> list[float]:
    """Round values around those of all candidates: of whole epochs, or of what there is before the first one's end."""
    scale = 100 if quantity == "accuracy" else 1
    pairs = [_points(state, quantity, scale) for state in states]
    finished = [value for training, validation in pairs if validation for _, value in (*training, *validation)]
    values = finished or [value for training, _ in pairs for _, value in training]
    ticks = nice_ticks(min(values, default=0), max(values, default=scale), around=True)
    return [tick for tick in ticks if quantity == "loss" or tick <= 100]


def nice_ticks(low: float, high: float, *, around: bool = False) -> list[float]:
    """Three to six round values from `low` to `high`; `around`: the outer ones enclose both.

    >>> nice_ticks(90.2, 98.7, around=True)
    [90.0, 92.0, 94.0, 96.0, 98.0, 100.0]
    """
    width = max(high - low, 1e-6)
    step = 10 ** math.floor(math.log10(width / 3))
    step *= next(factor for factor in (1, 2, 5, 10) if width / (step * factor) <= 5)
    first = math.floor(low / step + 1e-9) if around else math.ceil(low / step - 1e-9)
    last = math.ceil(high / step - 1e-9) if around else math.floor(high / step + 1e-9)
    if around and first == last:
        last += 1
    return [round(number * step, 9) for number in range(first, last + 1)]


def _epoch_ticks(epochs: int) -> list[int]:
    step = max(1, math.ceil(epochs / 10))
    return list(range(step, epochs + 1, step)) if epochs > 1 else [1]


def timeline(moves: Sequence[Move]) -> Markup:
    """Test accuracy of each decision, and the champion's as a line of steps. `moves`: newest first."""
    ordered = list(reversed(moves))
    numbers = [float(move.decision.sequence) for move in ordered]
    champions = [100 * m.decision.champion.accuracy if m.decision.champion else None for m in ordered]
    tried = [100 * move.decision.evaluation.accuracy for move in ordered]
    around = nice_ticks(*_extent([*tried, *(c for c in champions if c is not None)]), around=True)
    ticks = [tick for tick in around if tick <= 100]
    across, up = (numbers[0] - 0.5, numbers[-1] + 0.5), (ticks[0], ticks[-1])
    canvas = Canvas(x=across, y=up, width=460, height=190, left=56, right=86)
    canvas.grid(ticks, "%")
    canvas.line(_steps(numbers, champions), "champion")
    for number, value, move in zip(numbers, tried, ordered, strict=True):
        canvas.dot((number, value), f"dot {move.decision.outcome}", 4.5 if move.decision.changes_champion else 3.5)
    for number in numbers[:: max(1, math.ceil(len(numbers) / 10))]:
        canvas.text((canvas.at((number, ticks[0]))[0], canvas.height - 6), f"{number:.0f}", "quiet", "middle")
    if champions[-1] is not None:
        x, y = canvas.at((numbers[-1] + 0.5, champions[-1]))
        canvas.text((x + 5, y - 3), "champion", "champion")
        canvas.text((x + 5, y + 11), f"{champions[-1]:.2f}%", "champion")
    return canvas.svg(
        f"Test accuracy of the last {len(moves)} decisions; the champion's is "
        f"{f'{champions[-1]:.2f}%' if champions[-1] is not None else 'not there yet'}. The list below says the same."
    )


def _extent(values: Sequence[float]) -> Point:
    # Models of one kind differ by a few tenths of a point; the tenths beside them keep dots off the border.
    return min(values) - 0.05, max(values) + 0.05


def _steps(numbers: Sequence[float], values: Sequence[float | None]) -> list[Point]:
    points = []
    for number, value in zip(numbers, values, strict=True):
        if value is not None:
            points += [(number - 0.5, value), (number + 0.5, value)]
    return points
