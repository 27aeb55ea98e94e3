"""What the internal endpoint answers: one result an event, and the status that sums the results up."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Literal, TypeAlias

from pydantic import TypeAdapter
from starlette.responses import Response

from lib.core import log
from lib.core.model import Model
from lib.errors.verdict import Verdict
from lib.web.responses import ErrorDetail, json_response

RETRY_AFTER_S = 5

Status: TypeAlias = Literal["queued", "deduplicated", "processed", "duplicate", "rejected", "failed"]

_summary_log = log.summary(__name__)


class IngestResult(Model):
    """What became of one event.

    queued, deduplicated: QStash has the event. processed, duplicate: the event is recorded and has taken effect; the
    sweeper finishes any effect that is still owed. rejected: the event can never take effect, and is kept as a dead
    letter. failed: the event is not durable, and its sender has to send it again.
    """

    event_id: str
    status: Status
    via: Literal["queue", "direct"] | None = None
    message_id: str | None = None
    error: ErrorDetail | None = None

    @property
    def is_durable(self) -> bool:
        """Whether the sender may forget the event."""
        return self.status != "failed"


class IngestError(ErrorDetail):
    """Why the request as a whole is no success: the first error, and the count of events with an error."""

    events: int


class IngestResponse(Model):
    """The body of the answer: a result for each event, in order."""

    results: list[IngestResult]
    error: IngestError | None = None


@cache
def _adapter() -> TypeAdapter[IngestResponse]:
    return TypeAdapter(IngestResponse)


def read_results(body: bytes) -> list[IngestResult]:
    """Returns the results in an answer of the endpoint. Raises pydantic's `ValidationError`."""
    return _adapter().validate_json(body).results


def failed_result(event_id: str, verdict: Verdict | None = None) -> IngestResult:
    """Returns the result of an event that is not durable, because of `verdict`, or for lack of time."""
    return IngestResult(event_id=event_id, status="failed", error=ErrorDetail.of(verdict) if verdict else None)


def ingest_response(results: Sequence[IngestResult], *, started_s: float) -> Response:
    """Returns 200 if every event is durable, 503 if one has to be sent again, 400 if one can never take effect.

    `started_s` is the time of the request on the monotonic clock.
    """
    counts: dict[str, int] = Counter(result.status for result in results)
    outcome, status, bad = "durable", 200, [result for result in results if not result.is_durable]
    if bad:
        outcome, status = "retryable", 503
    elif bad := [result for result in results if result.status == "rejected"]:
        outcome, status = "permanent", 400
    first = bad[0].error if bad else None
    say = _summary_log.warning if bad else _summary_log.info
    say(
        "Events ingested",
        events=len(results),
        **counts,
        outcome=outcome,
        code=first.code if first else "ok",
        ms=log.ms_since(started_s),
    )
    error = IngestError(**first.model_dump(exclude={"status"}), status=status, events=len(bad)) if first else None
    body = IngestResponse(results=list(results), error=error)
    return json_response(
        status, body.model_dump(exclude_none=True), {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    )
