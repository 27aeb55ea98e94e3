"""Retention: empties raw items past their time, in steps that suit a function and a busy database.

The archive is emptied by segments, whatever they hold (`…_archive.sql`). So an item is kept for up to a thirtieth of
the retention time longer.
"""

import time
from datetime import datetime, timedelta

from lib.archive.store import ArchiveStore
from lib.core import log
from lib.core.deadline import Deadline
from lib.core.model import Model

STEP = 2000
"""Dead letters in one transaction: it works, and holds its locks, for well under a second."""

FOREVER_DAYS = 100 * 365
"""A longer time gives a date that neither Postgres nor Python can hold, and means the same."""

_summary_log = log.summary(__name__)


class Expired(Model):
    """How many raw items and dead letters were emptied. `done` says that no more are due."""

    expired: int
    done: bool


def due_before(now: datetime, keep_days: int) -> datetime:
    """Returns the moment before which a raw item was recorded, if it is past its time at `now`."""
    return now - timedelta(days=min(keep_days, FOREVER_DAYS))


async def expire(archive: ArchiveStore, *, now: datetime, keep_days: int, deadline: Deadline) -> Expired:
    """Empties the raw items that were recorded more than `keep_days` days before `now`.

    Starts no step after the deadline; the next run does the rest. Raises the database's errors; the steps that are
    done stay done.
    """
    started_s = time.monotonic()
    before = due_before(now, keep_days)
    expired, done = 0, False
    while not done and deadline.left_s() > 0:
        step = await archive.expire_raw(before=before, limit=STEP)
        expired += step.items + step.letters
        done = step.done
    _summary_log.info(
        "Raw items expired",
        count=expired,
        before=before.isoformat(),
        outcome="done" if done else "unfinished",
        code="ok",
        ms=log.ms_since(started_s),
    )
    return Expired(expired=expired, done=done)
