"""Retention: raw items go after their time, in steps short enough for a function and for a busy database.

Knows how long and how much at a time. Must not know who asks for it (a cron job, a command).
"""

import time
from datetime import datetime, timedelta

from lib.archive.store import ArchiveStore
from lib.core import log
from lib.core.deadline import Deadline
from lib.core.model import Model

STEP = 2000
"""Rows a transaction: well under a second of work, and of locks."""

FOREVER_DAYS = 100 * 365
"""More days than this are no date in Postgres or Python, and mean the same."""

_log = log.get(__name__)


class Expired(Model):
    """How many raw items went, and whether those were all that were due."""

    expired: int
    done: bool


def due_before(now: datetime, keep_days: int) -> datetime:
    """What was recorded before this moment is past its time at `now`."""
    return now - timedelta(days=min(keep_days, FOREVER_DAYS))


async def expire(archive: ArchiveStore, *, now: datetime, keep_days: int, deadline: Deadline) -> Expired:
    """Empties the raw items that were recorded more than `keep_days` days before `now`.

    Begins no further step once the deadline has passed; what is left is due the next time. Raises what the
    database client raises: the steps before stand.
    """
    started_s = time.monotonic()
    before = due_before(now, keep_days)
    expired, done = 0, False
    while not done and deadline.left_s() > 0:
        step = await archive.expire_raw(before=before, limit=STEP)
        expired += step
        done = step == 0
    _log.info(
        "Raw items expired",
        count=expired,
        before=before.isoformat(),
        outcome="done" if done else "unfinished",
        code="ok",
        ms=log.ms_since(started_s),
    )
    return Expired(expired=expired, done=done)
