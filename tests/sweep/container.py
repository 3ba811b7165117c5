"""Both containers, with a wire in between: `python -m tests.sweep.container training|promotion` in place of theirs.

`SWEEP_FOLDER` is where the sweep leaves a fault for the next container and the time that it is in there, and where
containers keep their journals.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from tests.sweep.clock import stopped_clock
from tests.sweep.faults import Fault, Journal, Wire

FAULT, NOW = "fault.json", "now"


def leave(folder: Path, fault: Fault | None) -> None:
    """Empty the folder, and leave `fault` to the first container that comes."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    if fault:
        (folder / FAULT).write_text(fault.to_json())


def set_clock(folder: Path, now: datetime) -> None:
    """For the containers that come from here on it is `now`."""
    (folder / NOW).write_text(now.isoformat())


def journals(folder: Path) -> list[Journal]:
    """Those of the containers so far, the first one first."""
    return [Journal(path) for path in sorted(folder.glob("calls-*.jsonl"), key=lambda path: path.stat().st_ctime_ns)]


def main(words: Sequence[str]) -> int:
    """Take the fault, if there is one, and do what the image is for."""
    folder = Path(os.environ["SWEEP_FOLDER"])
    taken = folder / f"taken-{os.getpid()}.json"
    fault = None
    with suppress(FileNotFoundError):
        (folder / FAULT).rename(taken)
        fault = Fault.from_json(taken.read_text())
    Wire(Journal(folder / f"calls-{os.getpid()}.jsonl"), fault).install()
    now = datetime.fromisoformat((folder / NOW).read_text())
    return _promote(now, words[1:]) if words[0] == "promotion" else _train()


def _promote(now: datetime, arguments: Sequence[str]) -> int:
    from mnist_tasks.promotion import __main__ as promotion

    promotion.datetime = stopped_clock(now)  # type: ignore[attr-defined]
    return promotion.main(arguments, os.environ)


def _train() -> int:
    from mnist_tasks.training import __main__ as training
    from mnist_tasks.training import telling

    # Every point is told, however fast they come: how many calls there are must not depend on the clock.
    telling._SECONDS_BETWEEN_PUTS = 0
    return training.main(os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
