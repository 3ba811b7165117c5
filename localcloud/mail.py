"""The mail server of the local account: it delivers everything, to one Maildir."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def start(maildir: Path, address: str, port: int) -> Any:
    """Serve SMTP in a thread of its own; the answer's `stop()` ends it."""
    # Only the servers' environment has it, and the supervisor says so in one line when it has not.
    from aiosmtpd.controller import Controller
    from aiosmtpd.handlers import Mailbox

    # Five seconds, its default, are too few for a thread to start on a busy machine.
    controller = Controller(Mailbox(maildir), hostname=address, port=port, ready_timeout=60)
    controller.start()
    return controller
