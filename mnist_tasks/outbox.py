"""Send a run's mail once, however often its step runs.

The record of a delivery is written after it: a crash between the two sends the mail a second time, with the same
Message-ID. The other order could lose it, and SMTP offers no third.
"""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage

from mnist_tasks.layout import Layout, RunObject
from mnist_tasks.notify import MailServer, deliver
from mnist_tasks.storage import Storage, to_json


def send_once(
    storage: Storage,
    layout: Layout,
    slug: str,
    message: EmailMessage,
    server: MailServer,
    *,
    now: datetime,
    record: RunObject = "mail.json",
) -> bool:
    """Deliver `message` unless `record`, an object of the run, says that it has been; returns whether it was sent now.

    Raises:
        TemporaryError: the mail server did not take it for now.
        ConfigurationError: the mail server refuses it, or one of its recipients.
    """
    key = layout.run(slug, record)
    if storage.exists(key):
        return False
    deliver(message, server)
    delivered = {"message_id": message["Message-ID"], "to": message["To"], "subject": message["Subject"]}
    storage.put(key, to_json({name: str(value) for name, value in delivered.items()} | {"delivered": now.isoformat()}))
    return True
