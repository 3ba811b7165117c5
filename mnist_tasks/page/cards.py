"""A candidate as the page shows it, while it trains and afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mnist_tasks.checkpoints import best as best_of
from mnist_tasks.history import Epoch
from mnist_tasks.page import charts, texts
from mnist_tasks.page.data import RunView
from mnist_tasks.report import words
from mnist_tasks.states import State

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Card:
    """One candidate. `stand` says how far it is, `left` how long it will take; `accuracy` and `loss` are SVG."""

    number: int
    name: str
    seed: int
    rate: str
    best: bool
    stand: str
    left: str
    percent: int
    started: bool
    epochs: tuple[Epoch, ...]
    accuracy: Markup
    loss: Markup

    @property
    def id(self) -> str:
        """Unique on the page."""
        return f"candidate-{self.number}"


def cards(view: RunView) -> list[Card]:
    """The candidates of a run in the order of its plan."""
    states = view.states.value or ()
    ticks = {quantity: charts.common_ticks(states, quantity) for quantity in ("accuracy", "loss")}
    best = _best(states)
    return [
        Card(
            number=number,
            name=state.job.candidate,
            seed=state.job.seed,
            rate=f"{state.job.learning_rate:g}",
            best=state.job.candidate == best,
            stand=_stand(state, view),
            left=_left(state, view.now) if view.is_open else "",
            percent=round(100 * state.share),
            started=state.progress is not None,
            epochs=state.progress.history.epochs if state.progress and state.progress.history else (),
            accuracy=charts.learning_curve(state, "accuracy", ticks["accuracy"]),
            loss=charts.learning_curve(state, "loss", ticks["loss"]),
        )
        for number, state in enumerate(states, 1)
    ]


def _best(states: tuple[State, ...]) -> str | None:
    """The one that the run goes on with, once all are committed and there is a choice."""
    manifests = [state.manifest for state in states if state.manifest]
    return best_of(manifests).name if len(manifests) == len(states) > 1 else None


def _stand(state: State, view: RunView) -> str:
    if manifest := state.manifest:
        return f"{manifest.validation_accuracy:.2%} on validation, best epoch {manifest.best_epoch}"
    if not view.is_open:
        return f"ended after {texts.epochs(state.epochs_done)}"
    if state.epochs_done == state.job.epochs:
        return "saving"
    if state.progress is None:
        return "waiting for its container"
    return f"epoch {state.epochs_done} of {state.job.epochs}" if state.epochs_done else "in its first epoch"


def _left(state: State, now: datetime) -> str:
    remaining = state.remaining(now)
    return f"about {words.duration(remaining.total_seconds())} left" if remaining else ""
