"""The one error that people see: what happened, and how to mend it."""

from __future__ import annotations


class LocalCloudError(RuntimeError):
    """The one-machine cloud cannot do what was asked; the message says why and what to do."""
