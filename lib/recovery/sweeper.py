"""The sweeper: gives unfinished events another attempt, by the same path as new events.

The consumer then does what is still due, once, as for an event that is delivered twice.
"""

import time
from collections import Counter
from datetime import datetime

from lib.core import log
from lib.core.deadline import Deadline
from lib.core.model import Model
from lib.dead_letters.letter import given_up_letter
from lib.errors.classify import classify
from lib.events.model import Event
from lib.ingest.ingestor import Ingestor
from lib.qstash.publisher import Publisher
from lib.recovery.reconciler import Reconciler
from lib.recovery.redrive import DlqReview, Redriver
from lib.recovery.sweep_store import SweepStore, UnfinishedEvent
from lib.webhooks.reparse import reparse

OLDER_THAN_S = 300
"""A consumer works on an event for at most 25 s. QStash retries a failed event after 12 s and after 2½ minutes."""

PAGE_SIZE = 100
"""Events that are taken at once. A run that is cut off has taken at most so many in vain."""

MOST_EVENTS = 2000
"""Events in one run. A run that was not done asks QStash for the next one at once."""

MOST_SWEEPS = 10
"""After so many attempts an event is given up. The attempts are ever rarer: ten take a day at least."""

DLQ_S = 8.0
"""The time in a run for QStash's own dead letter queue."""

RECONCILE_S = 15.0
"""The time in a run for unknown sends."""

PAGE_S = 15.0
"""The time for one page. With less time left, no page is taken."""

_log = log.get(__name__)
_summary_log = log.summary(__name__)


class Swept(Model):
    """The result of one run.

    Of the `taken` events, `queued` went to QStash, `processed` were processed here, `failed` are retried later, and
    `given_up` cannot be finished and are dead letters now. `done` says that no more events are due. `expired_sends`
    lost their worker and now have an unknown outcome. `found_sends` had an unknown outcome and did leave.
    `letters_found` were only in QStash's own dead letter queue; `redelivered` too, and QStash hid their body.
    """

    taken: int
    queued: int
    processed: int
    failed: int
    given_up: int
    letters_found: int
    redelivered: int
    expired_sends: int
    found_sends: int
    unknown_sends_for_a_day: int
    done: bool


async def sweep(
    store: SweepStore,
    ingestor: Ingestor,
    reconciler: Reconciler,
    redriver: Redriver,
    publisher: Publisher,
    *,
    now: datetime,
    deadline: Deadline,
) -> Swept:
    """Does one run, and asks QStash for the next one if something is open.

    Raises the database's errors; the steps that are done stay done.
    """
    started_s = time.monotonic()
    await store.begin()
    sends, letters = await store.expire_sends(), await store.close_letters()
    lost = await _look_into_dlq(redriver, deadline.at_most(DLQ_S))
    found_sends = await reconciler.run(deadline=deadline.at_most(RECONCILE_S))
    counts: Counter[str] = Counter()
    done = False
    while not done and counts["taken"] < MOST_EVENTS and deadline.left_s() > PAGE_S:
        rows = await store.take_unfinished(older_than_s=OLDER_THAN_S, limit=PAGE_SIZE)
        done = len(rows) < PAGE_SIZE
        counts.update(taken=len(rows))
        counts.update(await _retry(store, ingestor, rows, now, deadline.at_most(PAGE_S)))
    next_in_s = await store.end(done=done)
    if next_in_s is not None:
        await publisher.ask_for_sweep(next_in_s)
    swept = Swept(
        taken=counts["taken"],
        queued=counts["queued"] + counts["deduplicated"],
        processed=counts["processed"] + counts["duplicate"],
        failed=counts["failed"] + counts["rejected"],
        given_up=counts["given_up"],
        letters_found=len(lost.stored),
        redelivered=len(lost.redelivered),
        expired_sends=sends.expired,
        found_sends=found_sends,
        unknown_sends_for_a_day=sends.unknown_for_a_day,
        done=done,
    )
    _summary_log.info(
        "Swept",
        **swept.model_dump(),
        letters_closed=letters,
        outcome="done" if done else "unfinished",
        code="ok",
        ms=log.ms_since(started_s),
    )
    return swept


async def _look_into_dlq(redriver: Redriver, deadline: Deadline) -> DlqReview:
    """Takes in what only QStash's own dead letter queue has. Never raises for a fault of QStash's: the rest goes on."""
    try:
        return await redriver.find_lost(deadline=deadline)
    except Exception as error:
        _log.warning("QStash's dead letter queue not looked into", code=classify(error).code)
        return DlqReview(done=False)


async def _retry(
    store: SweepStore, ingestor: Ingestor, rows: list[UnfinishedEvent], now: datetime, deadline: Deadline
) -> Counter[str]:
    """Returns how many events got which status."""
    events: list[Event] = []
    given_up = 0
    for row in rows:
        event = _event(row)
        if event is None or row.sweeps > MOST_SWEEPS:
            code = "too_many_attempts" if event is not None else "raw_expired" if row.raw is None else "raw_unreadable"
            given_up += await _give_up(store, row, event, code)
        else:
            events.append(event)
    # The same id within a minute: QStash takes the attempts of two sweepers for one.
    results = await ingestor.ingest(events, deadline=deadline, again=f"sweep_{int(now.timestamp()) // 60}")
    return Counter({"given_up": given_up}) + Counter(result.status for result in results)


async def _give_up(store: SweepStore, row: UnfinishedEvent, event: Event | None, code: str) -> bool:
    letter = given_up_letter(row.event_id, row.account_id, row.kind, code, event)
    given_up = await store.give_up(row, code, letter)
    if given_up:
        _log.error("Unfinished event given up", event_id=row.event_id, kind=row.kind, code=code, sweeps=row.sweeps)
    return given_up


def _event(row: UnfinishedEvent) -> Event | None:
    """Returns the event of `row`, or None if its raw item is gone or no longer gives an event of the same id."""
    try:
        archived = row.archived()
        event = None if archived is None else reparse(archived)
    except Exception:
        # One item that cannot be parsed must not keep the others of its page waiting.
        _log.exception("Unfinished event can not be read again", event_id=row.event_id, kind=row.kind)
        return None
    # Under another id the event would be a new one, and what is due under the old id would stay undone.
    return event if event is not None and event.event_id == row.event_id else None
