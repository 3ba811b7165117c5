"""`make down`: stop what `make up` started. What was stored stays."""

from __future__ import annotations

import localcloud
from tools import services
from tools.up import HOME


def main() -> None:
    """Stop Airflow first: its tasks may still talk to the cloud."""
    if running := services.read(HOME):
        running.stop()
    localcloud.down()
    print("stopped")


if __name__ == "__main__":
    main()
