"""What all commands share of the terminal: consoles, tables that fit, and how values are written.

rich leaves colours out where there is no terminal and where NO_COLOR is set.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

OUTCOME_STYLES = {"released": "green", "kept": "yellow", "rejected": "red", "declined": "red", "rolled_back": "magenta"}


def console(*, stderr: bool = False) -> Console:
    """A console for what stands in the streams now; text is never taken for markup."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def present(value: Any, view: Callable[[], RenderableType], *, as_json: bool) -> None:
    """The result of a command: one JSON document, or what `view` makes of it."""
    if as_json:
        emit(value)
    else:
        console().print(view())


def emit(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, indent=1, allow_nan=False))


def printable(text: str) -> str:
    """`text` without control characters: run ids, reasons and file names must not move a terminal's cursor."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)


def styled(text: str, style: str) -> Text:
    """Text that folds anywhere, so that an id is never cut."""
    return Text(printable(text), style=style, overflow="fold")


def outcome(name: str) -> Text:
    """The outcome of a decision in its colour."""
    return styled(name.replace("_", " "), OUTCOME_STYLES.get(name, ""))


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table without lines; the columns named in `right` hold numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def facts(*rows: tuple[str, str | Text]) -> Table:
    """Names and values, a line each."""
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, value if isinstance(value, Text) else styled(value, ""))
    return made


def when(moment: datetime) -> str:
    """Date and minute in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def percent(share: float) -> str:
    """0.9793 as `97.93%`."""
    return f"{share:.2%}"


def duration(length: timedelta) -> str:
    """Two units at most: `43 s`, `4 min 12 s`, `3 h 05 min`.

    >>> duration(timedelta(seconds=252))
    '4 min 12 s'
    """
    seconds = max(0, round(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600:02} h"
