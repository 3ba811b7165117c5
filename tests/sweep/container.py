"""The training container, with a wire in between: `python -m tests.sweep.container` in place of `mnist_tasks.training`.

`SWEEP_FOLDER` is where the sweep leaves a fault for the next container, and where containers keep their journals.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from mnist_tasks.training import __main__ as training
from mnist_tasks.training import telling
from tests.sweep.faults import Fault, Journal, Wire

FAULT = "fault.json"


def leave(folder: Path, fault: Fault | None) -> None:
    """Empty the folder, and leave `fault` to the first container that comes."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    if fault:
        (folder / FAULT).write_text(fault.to_json())


def journals(folder: Path) -> list[Journal]:
    """Those of the containers so far, the first one first."""
    return [Journal(path) for path in sorted(folder.glob("calls-*.jsonl"), key=lambda path: path.stat().st_ctime_ns)]


def main() -> int:
    """Take the fault, if there is one, and train."""
    folder = Path(os.environ["SWEEP_FOLDER"])
    taken = folder / f"taken-{os.getpid()}.json"
    fault = None
    with suppress(FileNotFoundError):
        (folder / FAULT).rename(taken)
        fault = Fault.from_json(taken.read_text())
    Wire(Journal(folder / f"calls-{os.getpid()}.jsonl"), fault).install()
    # Every point is told, however fast they come: how many calls there are must not depend on the clock.
    telling._SECONDS_BETWEEN_PUTS = 0
    return training.main(os.environ)


if __name__ == "__main__":
    sys.exit(main())
