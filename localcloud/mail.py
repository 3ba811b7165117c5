"""The mail server of the local account: it delivers everything, to one Maildir."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def start(maildir: Path, port: int) -> Any:
    """Serve SMTP on 127.0.0.1 in a thread of its own; the answer's `stop()` ends it."""
    # Only the servers' environment has it, and the supervisor says so in one line when it has not.
    from aiosmtpd.controller import Controller
    from aiosmtpd.handlers import Mailbox

    controller = Controller(Mailbox(maildir), hostname="127.0.0.1", port=port)
    controller.start()
    return controller
