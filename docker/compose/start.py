"""Airflow with what the one-machine cloud tells it, as one process: `python -I start.py scheduler --skip-serve-logs`.

The cloud knows only once it runs which keys, roles and tokens it has and
leaves them in a file (localcloud/handover.py).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

FILE = Path("/handover/environment")


def main() -> None:
    """Become Airflow."""
    told = dict(line.split("=", 1) for line in FILE.read_text().splitlines())
    command = [sys.executable, "-P", "-m", "airflow", *sys.argv[1:]]
    os.execve(sys.executable, command, {**os.environ, **told})  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
