"""Makes events durable: through QStash, or, where QStash does not take them, by processing them here.

Knows the two roads and how the time is split between them. Must not know HTTP, nor what processing does.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from lib.core import log
from lib.core.deadline import Deadline
from lib.dead_letters.letter import rejected_letter
from lib.dead_letters.store import DeadLetterStore
from lib.errors.classify import classify
from lib.errors.exceptions import QueueRejected
from lib.errors.verdict import Verdict
from lib.events.model import Event
from lib.processing.processor import Processor
from lib.qstash.publisher import Published, Publisher

Status: TypeAlias = Literal["queued", "deduplicated", "processed", "duplicate", "rejected", "failed"]
Road: TypeAlias = Literal["queue", "direct"]

QUEUE_TIMEOUT_S = 2.0
QUEUE_SHARE = 0.6
"""Of a short budget, the part QStash may use: what is left must be enough to process directly."""

DIRECT_CONCURRENCY = 16

_log = log.get(__name__)


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event.

    queued, deduplicated: QStash has it. processed, duplicate: it is recorded, has taken effect, and what it may still
    owe is the sweeper's to finish. rejected: it never can take effect
    (kept as a dead letter). failed: it is not durable, and its sender has to send it again.
    """

    event_id: str
    status: Status
    via: Road
    message_id: str | None = None
    error: dict[str, Any] | None = None

    @property
    def is_durable(self) -> bool:
        """May its sender forget it?"""
        return self.status != "failed"


class Ingestor:
    """Publishes, or falls back. The direct road is built only when it is needed: it imports the database client."""

    def __init__(
        self, *, publisher: Publisher, dead_letters: Callable[[], DeadLetterStore], processor: Callable[[], Processor]
    ) -> None:
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._processor = processor

    async def ingest(
        self, events: Sequence[Event], *, deadline: Deadline, skip_queue: bool = False, again: str = ""
    ) -> list[Result]:
        """One result an event, in order; never raises for what an event or a dependency does.

        With `skip_queue` the direct road has all the time, as QStash was asked in vain just before. `again` names
        another attempt at events that QStash had before (see `Publisher.publish_events`).
        """
        results: list[Result | None] = [None] * len(events)
        if not skip_queue:
            results = await self._publish(events, deadline, again)
        left = [index for index, result in enumerate(results) if result is None]
        if left:
            gate = asyncio.Semaphore(DIRECT_CONCURRENCY)
            direct = await asyncio.gather(*(self._directly(events[index], gate, deadline) for index in left))
            for index, result in zip(left, direct, strict=True):
                results[index] = result
        return [result for result in results if result is not None]

    async def _publish(self, events: Sequence[Event], deadline: Deadline, again: str) -> list[Result | None]:
        started_s = time.monotonic()
        budget_s = min(QUEUE_TIMEOUT_S, deadline.left_s() * QUEUE_SHARE)
        try:
            async with deadline.at_most(budget_s).enforced():
                outcomes = await self._publisher.publish_events(events, again=again)
        except Exception as error:
            verdict = classify(error)
            _log.error(
                "QStash did not take the events; processing directly",
                events=len(events),
                code=verdict.code,
                ms=log.ms_since(started_s),
                error_type=type(error).__name__,
            )
            return [None] * len(events)
        ms = log.ms_since(started_s)
        return [_accepted(event, outcome, ms) for event, outcome in zip(events, outcomes, strict=True)]

    async def _directly(self, event: Event, gate: asyncio.Semaphore, deadline: Deadline) -> Result:
        started_s = time.monotonic()
        try:
            async with deadline.enforced(), gate:
                status = await self._processor().process(event, via="direct", deadline=deadline)
        except Exception as error:
            return await self._not_processed(event, error, started_s, deadline)
        _log.info(
            "Event processed",
            event_id=event.event_id,
            kind=event.kind,
            via="direct",
            verdict=status,
            code="ok",
            ms=log.ms_since(started_s),
        )
        return Result(event.event_id, status, "direct")

    async def _not_processed(self, event: Event, error: Exception, started_s: float, deadline: Deadline) -> Result:
        verdict = classify(error)
        log_fields = {
            "event_id": event.event_id,
            "kind": event.kind,
            "via": "direct",
            "verdict": "retryable" if verdict.retryable else "permanent",
            "code": verdict.code,
            "ms": log.ms_since(started_s),
            "error_type": type(error).__name__,
        }
        if verdict.retryable:
            _log.warning("Direct processing failed; the sender has to send it again", **log_fields)
            return Result(event.event_id, "failed", "direct", error=_error(verdict))
        _log.error("Direct processing refused the event for good", **log_fields)
        try:
            async with deadline.enforced():
                await self._dead_letters().store(rejected_letter(event, verdict))
        except Exception as second:
            # It is in no queue and in no table: only its sender still has it.
            _log.error("The dead letter was not stored", **{**log_fields, "code": classify(second).code})
            return Result(event.event_id, "failed", "direct", error=_error(verdict))
        return Result(event.event_id, "rejected", "direct", error=_error(verdict))


def _accepted(event: Event, outcome: Published | QueueRejected, ms: float) -> Result | None:
    """`ms` is of the whole request that QStash was asked in."""
    if isinstance(outcome, QueueRejected):
        code = classify(outcome).code
        _log.warning("QStash refused an event; processing directly", event_id=event.event_id, code=code, ms=ms)
        return None
    status: Status = "deduplicated" if outcome.deduplicated else "queued"
    _log.info(
        "Event enqueued to QStash successfully",
        event_id=event.event_id,
        kind=event.kind,
        message_id=outcome.message_id,
        verdict=status,
        code="ok",
        ms=ms,
    )
    return Result(event.event_id, status, "queue", message_id=outcome.message_id)


def _error(verdict: Verdict) -> dict[str, Any]:
    return {
        "kind": "retryable" if verdict.retryable else "permanent",
        "code": verdict.code,
        "message": verdict.message,
    }
