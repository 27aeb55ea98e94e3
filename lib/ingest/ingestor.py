"""Makes events durable: through QStash, or by processing them here if QStash does not take them."""

import asyncio
import time
from collections.abc import Callable, Sequence

from lib.core import log
from lib.core.deadline import Deadline
from lib.dead_letters.letter import rejected_letter
from lib.dead_letters.store import DeadLetterStore
from lib.errors.classify import classify
from lib.errors.exceptions import QueueRejected
from lib.events.model import Event
from lib.ingest.response import IngestResult, Status
from lib.processing.processor import Processed, Processor
from lib.qstash.publisher import Published, Publisher
from lib.web.responses import ErrorDetail

QUEUE_TIMEOUT_S = 2.0
QUEUE_SHARE = 0.6
"""The share of a short budget that QStash may use. The rest must suffice to process directly."""

_log = log.get(__name__)


class Ingestor:
    """Publishes, or falls back. The fallback is made at its first use: it loads the database client."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        processor: Callable[[], Processor],
        dead_letters: Callable[[], DeadLetterStore],
    ) -> None:
        self._publisher = publisher
        self._processor = processor
        self._dead_letters = dead_letters

    async def ingest(
        self, events: Sequence[Event], *, deadline: Deadline, skip_queue: bool = False, again: str = ""
    ) -> list[IngestResult]:
        """Returns one result for each event, in order. Never raises for a fault of an event or a dependency.

        With `skip_queue` all the time goes to direct processing, because QStash has just failed. `again` names a later
        attempt at events that QStash had before (see `Publisher.publish_events`).
        """
        results: list[IngestResult | None] = [None] * len(events)
        if not skip_queue:
            results = await self._publish(events, deadline, again)
        left = [index for index, result in enumerate(results) if result is None]
        if left:
            direct = await self._process([events[index] for index in left], deadline)
            for index, result in zip(left, direct, strict=True):
                results[index] = result
        return [result for result in results if result is not None]

    async def _publish(self, events: Sequence[Event], deadline: Deadline, again: str) -> list[IngestResult | None]:
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
        return [_published(event, outcome, ms) for event, outcome in zip(events, outcomes, strict=True)]

    async def _process(self, events: Sequence[Event], deadline: Deadline) -> list[IngestResult]:
        started_s = time.monotonic()
        outcomes = await self._processor().process_directly(events, deadline=deadline)

        async def result(event: Event, outcome: Processed | Exception) -> IngestResult:
            if isinstance(outcome, Exception):
                return await self._not_processed(event, outcome, started_s, deadline)
            return _processed(event, outcome, log.ms_since(started_s))

        return await asyncio.gather(*map(result, events, outcomes))

    async def _not_processed(
        self, event: Event, error: Exception, started_s: float, deadline: Deadline
    ) -> IngestResult:
        verdict = classify(error)
        log_fields = {
            "event_id": event.event_id,
            "kind": event.kind,
            "via": "direct",
            "outcome": verdict.kind,
            "code": verdict.code,
            "ms": log.ms_since(started_s),
            "error_type": type(error).__name__,
        }

        def result(status: Status) -> IngestResult:
            return IngestResult(event_id=event.event_id, status=status, via="direct", error=ErrorDetail.of(verdict))

        if verdict.retryable:
            _log.warning("Direct processing failed; the sender has to send it again", **log_fields)
            return result("failed")
        _log.error("Direct processing refused the event for good", **log_fields)
        try:
            async with deadline.enforced():
                await self._dead_letters().store(rejected_letter(event, verdict))
        except Exception as second:
            # The event is in no queue and in no table: only its sender still has it.
            _log.error("The dead letter was not stored", **{**log_fields, "code": classify(second).code})
            return result("failed")
        return result("rejected")


def _processed(event: Event, status: Processed, ms: float) -> IngestResult:
    """Returns the result of one event that was processed. `ms` is the time of all events that were left."""
    _log.info(
        "Event processed", event_id=event.event_id, kind=event.kind, via="direct", outcome=status, code="ok", ms=ms
    )
    return IngestResult(event_id=event.event_id, status=status, via="direct")


def _published(event: Event, outcome: Published | QueueRejected, ms: float) -> IngestResult | None:
    """Returns the result of one event that QStash was asked to take, or None if QStash refused it.

    `ms` is the time of the whole request to QStash.
    """
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
        outcome=status,
        code="ok",
        ms=ms,
    )
    return IngestResult(event_id=event.event_id, status=status, via="queue", message_id=outcome.message_id)
