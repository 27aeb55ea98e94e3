"""The sweeper: what was recorded and never finished gets another attempt, by the roads every event takes.

Knows how much at a time, and for how long. Must not know why something was not finished, nor how it is: the consumer
takes up what is owed, once, as with any event delivered twice.
"""

import time
from collections import Counter
from datetime import datetime

from lib.core import log
from lib.core.deadline import Deadline
from lib.core.model import Model
from lib.events.model import Event
from lib.ingest.ingestor import Ingestor
from lib.recovery.reconciler import Reconciler
from lib.recovery.sweep_store import SweepStore, UnfinishedEvent
from lib.webhooks.reparse import reparse

OLDER_THAN_S = 300
"""A consumer is at an event for 25 s at most; QStash comes back to one that failed after 12 s and after 2½ minutes."""

PAGE_SIZE = 100
"""Events at a time, so that a run that is cut off leaves few that were taken in vain."""

MOST_EVENTS = 2000
"""A run. What is left is older at the next, and goes first."""

RECONCILE_S = 15.0
"""Of a run, what unknown sends may take."""

PAGE_S = 15.0
"""With less time than this no further page is taken."""

_log = log.get(__name__)


class Swept(Model):
    """What a run did. `queued` events are QStash's now, `processed` ones were finished here as far as they could be,
    `failed` ones are taken up again later, `unreadable` ones have no raw item that says what they were. `done`: there
    were no more. `expired_sends` lost their worker and became unknown; `found_sends`, unknown until now, did leave.
    """

    taken: int
    queued: int
    processed: int
    failed: int
    unreadable: int
    expired_sends: int
    found_sends: int
    unknown_sends_for_a_day: int
    done: bool


async def sweep(
    store: SweepStore, ingestor: Ingestor, reconciler: Reconciler, *, now: datetime, deadline: Deadline
) -> Swept:
    """One run. Raises what the database client raises: what was done before stands."""
    started_s = time.monotonic()
    sends, letters = await store.expire_sends(), await store.close_letters()
    found = await reconciler.run(deadline=deadline.at_most(RECONCILE_S))
    counts: Counter[str] = Counter()
    done = False
    while not done and counts["taken"] < MOST_EVENTS and deadline.left_s() > PAGE_S:
        rows = await store.take_unfinished(older_than_s=OLDER_THAN_S, limit=PAGE_SIZE)
        done = len(rows) < PAGE_SIZE
        counts.update(taken=len(rows))
        counts.update(await _take_up(ingestor, rows, now, deadline.at_most(PAGE_S)))
    swept = Swept(
        taken=counts["taken"],
        queued=counts["queued"] + counts["deduplicated"],
        processed=counts["processed"] + counts["duplicate"],
        failed=counts["failed"] + counts["rejected"],
        unreadable=counts["unreadable"],
        expired_sends=sends.expired,
        found_sends=found,
        unknown_sends_for_a_day=sends.unknown_for_a_day,
        done=done,
    )
    _log.info(
        "Swept",
        **swept.model_dump(),
        letters_closed=letters,
        outcome="done" if done else "unfinished",
        code="ok",
        ms=log.ms_since(started_s),
    )
    return swept


async def _take_up(ingestor: Ingestor, rows: list[UnfinishedEvent], now: datetime, deadline: Deadline) -> Counter[str]:
    """How many came to which end."""
    events = [event for row in rows if (event := _event(row)) is not None]
    # Two sweepers in one minute are one attempt to QStash.
    results = await ingestor.ingest(events, deadline=deadline, again=f"sweep_{int(now.timestamp()) // 60}")
    return Counter({"unreadable": len(rows) - len(events)}) + Counter(result.status for result in results)


def _event(row: UnfinishedEvent) -> Event | None:
    """The event of `row`, if its raw item still says what it was: what it owes is under the id it has."""
    archived = row.archived()
    event = None if archived is None else reparse(archived)
    if event is None or event.event_id != row.event_id:
        _log.error("Unfinished event can not be read again", event_id=row.event_id, kind=row.kind)
        return None
    return event
