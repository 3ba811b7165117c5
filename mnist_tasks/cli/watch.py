"""`mnist watch RUN`: training as it goes on, until the run's candidates are committed.

What is shown comes from S3 alone, where each container writes its figures about once a second: the command may be
started late, stopped and started again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar

from mnist_tasks import states
from mnist_tasks.cli import terminal
from mnist_tasks.cli.place import Place
from mnist_tasks.history import Epoch
from mnist_tasks.plan import Plan, read_plan
from mnist_tasks.states import State

_SECONDS = 1.0
# Longer than an epoch of this model takes anywhere; a container that starts on Fargate may need as long.
_SILENCE = timedelta(minutes=2)

States = tuple[State, ...]


def watch(place: Place, slug: str, console: Console, *, quiet: bool) -> States:
    """Show the run's training until all candidates are committed, and return how they ended.

    A terminal has a picture that changes, anything else a line for each piece of news; `quiet`: nothing.

    Raises:
        NotFoundError: the run has no plan.
        IntegrityError: what is stored is not what it has to be.
    """
    plan = read_plan(place.storage, place.layout, slug)

    def look() -> States:
        return states.read_states(place.storage, place.layout, plan)

    if console.is_terminal and not quiet:
        # The picture is made once for each look: between two of them, nothing has changed.
        with Live(console=console, auto_refresh=False) as live:
            return _follow(look, lambda found: live.update(picture(plan, found, datetime.now(UTC)), refresh=True))
    told: dict[str, str] = {}
    return _follow(look, lambda found: None if quiet else _tell(console, found, told))


def _follow(look: Callable[[], States], tell: Callable[[States], None]) -> States:
    while True:
        found = look()
        tell(found)
        if all(state.committed for state in found):
            return found
        time.sleep(_SECONDS)


def _tell(console: Console, found: States, told: dict[str, str]) -> None:
    for state in found:
        message = "committed" if state.committed else state.progress.message if state.progress else "waiting"
        if told.get(state.job.candidate) != message:
            told[state.job.candidate] = message
            console.print(f"{state.job.candidate}  {message}", soft_wrap=True)


def picture(plan: Plan, found: States, now: datetime) -> RenderableType:
    """A bar for each candidate, and under them what the whole is waiting for."""
    table = terminal.table("candidate", "", "epoch", "loss", "acc", "val acc", "left")
    for state in found:
        table.add_row(state.job.candidate, _bar(state), *_figures(state), _left(state, now))
    return Group(terminal.styled(f"run {plan.run}", "bold"), table, terminal.styled(_news(plan, found, now), "dim"))


def _bar(state: State) -> ProgressBar:
    return ProgressBar(total=1.0, completed=state.share, width=9)


def _figures(state: State) -> tuple[str, str, str, str]:
    newest = state.newest
    if newest is None:
        return "", "", "", ""
    whole = isinstance(newest, Epoch)
    epoch = f"{newest.epoch if isinstance(newest, Epoch) else 1}/{state.job.epochs}"
    validation = f"{newest.validation_accuracy:.1%}" if isinstance(newest, Epoch) else ""
    return epoch if whole else f"~{epoch}", f"{newest.loss:.3f}", f"{newest.accuracy:.1%}", validation


def _left(state: State, now: datetime) -> str:
    if state.committed:
        return "done"
    remaining = state.remaining(now)
    if remaining is None:
        return "waiting" if state.progress is None else ""
    return terminal.duration(remaining) if remaining else "saving"


def _news(plan: Plan, found: States, now: datetime) -> str:
    if all(state.committed for state in found):
        return f"All candidates are committed. mnist show {plan.run}"
    silence = now - states.last_news(plan, found)
    if silence > _SILENCE:
        return f"No news for {terminal.duration(silence)}: see in Airflow whether the run goes on (Ctrl-C ends this)."
    if not any(state.progress for state in found):
        return "Training has not started yet: its containers are on their way."
    return "Ctrl-C ends this; the run goes on."
