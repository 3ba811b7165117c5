"""How the commands end: errors as a person or a script wants to read them, and the exit status.

typer would show a traceback for our errors and a box for its own; here both are the same two lines on standard error,
or with `--json` the same JSON document.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from mnist_tasks.cli import terminal
from mnist_tasks.errors import (
    AttestationRefused,
    ConfigurationError,
    Conflict,
    DataError,
    IntegrityError,
    MnistError,
    NotFoundError,
    TemporaryError,
)

FAILED, USAGE, MISSING, TEMPORARY, DAMAGED, BAD_DATA, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130

_STATUS: tuple[tuple[type[MnistError], int], ...] = (
    (ConfigurationError, USAGE),
    (NotFoundError, MISSING),
    (TemporaryError, TEMPORARY),
    (Conflict, TEMPORARY),
    (IntegrityError, DAMAGED),
    (AttestationRefused, DAMAGED),
    (DataError, BAD_DATA),
)

EXIT_STATUS = (
    "Exit status: 0 done; 1 it was tried and failed; 2 usage or configuration; 3 not found; 4 may pass on its own, try "
    "again; 5 what is stored is damaged; 6 the image or data set is not what it has to be; 130 interrupted."
)


def status_of(error: MnistError) -> int:
    """The exit status for an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), FAILED)


class Group(TyperGroup):
    """Ends every command the same way, whoever runs it."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run the command that `args` name and end the process (SystemExit) with its status."""
        words = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in words
        try:
            status = super().main(words, *rest, **{**options, "standalone_mode": False})
        except MnistError as error:
            status = status_of(error)
            tell(type(error).__name__, error.problem, error.mend, status, as_json=as_json)
        except typer.TyperException as error:
            status = error.exit_code
            tell("UsageError", error.format_message(), _help_for(error), status, as_json=as_json)
        except typer.Abort:
            status = FAILED
            tell("Abort", "nothing was done", "", status, as_json=as_json)
        sys.exit(status if isinstance(status, int) else 0)


def _help_for(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path if context else 'mnist'} --help"


def tell(kind: str, problem: str, mend: str, status: int, *, as_json: bool) -> None:
    """An error on standard error."""
    if as_json:
        content = {"kind": kind, "problem": problem, "mend": mend, "exit_status": status}
        typer.echo(json.dumps({"error": content}, indent=1), err=True)
        return
    lines = [terminal.styled(f"error: {problem}", "bold red")]
    if mend:
        lines.append(terminal.styled(f"  To mend it: {mend}", ""))
    for line in lines:
        terminal.console(stderr=True).print(line)
