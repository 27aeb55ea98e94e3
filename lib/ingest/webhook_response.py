"""What Meta is answered: the counts of a webhook's items, and the status that makes Meta deliver again, or not."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from lib.core import log
from lib.ingest.response import IngestResult
from lib.web.responses import for_meta_retry, json_response

_summary_log = log.summary(__name__)


def webhook_response(results: Sequence[IngestResult], *, ignored: int, started_s: float) -> Response:
    """Returns 200 if every event is durable, or 503 if Meta has to deliver the webhook again.

    `started_s` is the time of the request on the monotonic clock.
    """
    counts = tally(results, ignored=ignored)
    ms = log.ms_since(started_s)
    if "failed" in counts:
        _summary_log.error("Webhook refused for now", **counts, outcome="retryable", code="not_durable", ms=ms)
        return for_meta_retry(counts)
    _summary_log.info("Webhook received", **counts, outcome="durable", code="ok", ms=ms)
    return json_response(200, counts)


def tally(results: Sequence[IngestResult], *, ignored: int) -> dict[str, Any]:
    """Returns the count of items that came and what became of them. The parts add up to `received`."""
    count = {"queued": 0, "deduplicated": 0, "processed": 0, "duplicate": 0, "rejected": 0, "failed": 0}
    for result in results:
        count[result.status] += 1
    counts = {
        "received": len(results) + ignored,
        "queued": count["queued"] + count["deduplicated"],
        "processed": count["processed"] + count["duplicate"],
        "ignored": ignored,
    }
    for name in ("rejected", "failed"):
        if count[name]:
            counts[name] = count[name]
    return counts
