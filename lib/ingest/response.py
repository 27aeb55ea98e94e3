"""The answer of the internal endpoint: the results, and the one status and the one log line that sum them up.

Knows the contract of the status. Must not know how the results came about.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from lib.core import log
from lib.ingest.ingestor import Result
from lib.web.responses import json_response

RETRY_AFTER_S = 5

_log = log.get(__name__)


def answer(results: Sequence[Result], *, started_s: float) -> Response:
    """200 where every event is durable; 503 where one has to be sent again; 400 where one never can take effect.

    `started_s` is when the request came, on the monotonic clock.
    """
    response, verdict, code = _answer(results)
    counts: dict[str, int] = Counter(result.status for result in results)
    say = _log.info if verdict == "durable" else _log.warning
    say("Events ingested", events=len(results), **counts, verdict=verdict, code=code, ms=log.ms_since(started_s))
    return response


def _answer(results: Sequence[Result]) -> tuple[Response, str, str]:
    """The answer, its verdict and its code."""
    body: dict[str, object] = {"results": msgspec.to_builtins(results)}
    failed = [result for result in results if not result.is_durable]
    if failed:
        body["error"] = {**(failed[0].error or {}), "status": 503, "events": len(failed)}
        return json_response(503, body, {"Retry-After": str(RETRY_AFTER_S)}), "retryable", _code(failed)
    rejected = [result for result in results if result.status == "rejected"]
    if rejected:
        body["error"] = {**(rejected[0].error or {}), "status": 400, "events": len(rejected)}
        return json_response(400, body), "permanent", _code(rejected)
    return json_response(200, body), "durable", "ok"


def _code(results: Sequence[Result]) -> str:
    """Why the first of them failed."""
    return str((results[0].error or {}).get("code"))
