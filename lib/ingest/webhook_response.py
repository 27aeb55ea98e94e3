"""The answer to a webhook: what came of its items in numbers, and the one log line that says the same.

Knows what makes Meta deliver again. Must not know how an event was handed on.
"""

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from lib.core import log
from lib.ingest.forwarder import Handled
from lib.web.responses import for_meta_retry, json_response

_log = log.get(__name__)


def answer(handled: Sequence[Handled], *, ignored: int, started_s: float) -> Response:
    """200 where every event is durable; 503 where Meta has to deliver the webhook again.

    `started_s` is when the request came, on the monotonic clock.
    """
    counts = tally(handled, ignored=ignored)
    ms = log.ms_since(started_s)
    if "failed" in counts:
        _log.error("Webhook refused for now", **counts, verdict="retryable", code="not_durable", ms=ms)
        return for_meta_retry(counts)
    _log.info("Webhook received", **counts, verdict="durable", code="ok", ms=ms)
    return json_response(200, counts)


def tally(handled: Sequence[Handled], *, ignored: int) -> dict[str, Any]:
    """The webhook's answer: how many items came, and what became of them; the parts add up to `received`."""
    count = {"queued": 0, "deduplicated": 0, "processed": 0, "duplicate": 0, "rejected": 0, "failed": 0}
    for one in handled:
        count[one.status] = count.get(one.status, 0) + 1
    answer = {
        "received": len(handled) + ignored,
        "queued": count["queued"] + count["deduplicated"],
        "processed": count["processed"] + count["duplicate"],
        "ignored": ignored,
    }
    for name in ("rejected", "failed"):
        if count[name]:
            answer[name] = count[name]
    return answer
