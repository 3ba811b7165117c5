"""Finding runs, the newest first, at a cost that does not grow with the number of runs.

Every run claims its candidates' names before it starts anything, and names are times: read backwards, the claims give
the runs in the order in which they were planned. Slugs begin with what a person typed and do not sort by time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from mnist_tasks.config import Frozen, S3KeyPart
from mnist_tasks.layout import Layout, candidate_name
from mnist_tasks.plan import Plan, find_plan
from mnist_tasks.storage import Storage, parse

# Windows of 1, 2, 4, ... days: the last one begins ninety years ago.
_WINDOWS = 16


class Claim(Frozen):
    """Which run a candidate's name belongs to."""

    run: S3KeyPart


def newest_plans(storage: Storage, layout: Layout, *, now: datetime) -> Iterator[Plan]:
    """The plans of all runs that came as far as planning, newest first, read as they are asked for.

    Each costs two reads (claim and plan), and the listings of claims behind them at most the logarithm of the days
    gone back. A run that was killed while it planned has none and is left out.

    Raises:
        IntegrityError: a claim or a plan is not what it has to be.
    """
    runs: set[str] = set()
    candidates: set[str] = set()
    for name in _claimed_names(storage, layout, now):
        stored = storage.find(layout.claim(name)) if name not in candidates else None
        slug = parse(Claim, storage, stored).run if stored else None
        if slug is None or slug in runs:
            continue
        runs.add(slug)
        if plan := find_plan(storage, layout, slug):
            candidates.update(job.candidate for job in plan.jobs)
            yield plan


def _claimed_names(storage: Storage, layout: Layout, now: datetime) -> Iterator[str]:
    """Newest first, though S3 lists in ascending order only: window by window, each twice as far back."""
    prefix = layout.claims
    oldest = next(storage.keys(prefix, page=1), None)
    end = None
    for begin in (layout.claim(candidate_name(now - timedelta(days=2**n))) for n in range(_WINDOWS)):
        if oldest is None or (end is not None and end < oldest):
            return
        yield from reversed(list(_names(storage, prefix, begin, end)))
        end = begin


def _names(storage: Storage, prefix: str, begin: str, end: str | None) -> Iterator[str]:
    """Those claimed after the key `begin` and up to `end`; the newest window has no end, whatever the clock says."""
    for key in storage.keys(prefix, after=begin):
        if end is not None and key > end:
            return
        name = key.rpartition("/")[2]
        if re.fullmatch(r"mnist_model_\d{8}_\d{6}", name):
            yield name
