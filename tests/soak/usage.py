"""What a living process holds and has used, as Linux tells it (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from localcloud.processes import ProcessId

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Holding:
    """At one moment: resident memory in MB of 1,000,000 bytes, open descriptors, CPU seconds since the start.

    `identity` is another one after a restart: figures from before and after it do not belong to one line.
    """

    identity: str
    rss_mb: float
    descriptors: int
    cpu_seconds: float


def holding(pid: int) -> Holding:
    """Look at a process. Raises ProcessLookupError when there is none."""
    process = ProcessId.of(pid)
    folder = Path(f"/proc/{pid}")
    pages = int((folder / "statm").read_text().split()[1])
    # The name, in parentheses, may hold anything; then fields 14 and 15 are the user's and the system's ticks.
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return Holding(
        identity=f"{process.pid}/{process.started}",
        rss_mb=pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        descriptors=sum(1 for _ in (folder / "fd").iterdir()),
        cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
    )
