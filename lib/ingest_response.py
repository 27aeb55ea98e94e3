"""The answer of the internal endpoint: the results, and the one status that sums them up.

Knows the contract of the status. Must not know how the results came about.
"""

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from lib.ingest import Result
from lib.responses import json_response

RETRY_AFTER_S = 5


def answer(results: Sequence[Result]) -> Response:
    """200 where every event is durable; 503 where one has to be sent again; 400 where one never can take effect."""
    body: dict[str, object] = {"results": msgspec.to_builtins(results)}
    failed = [result for result in results if not result.is_durable]
    if failed:
        body["error"] = {**(failed[0].error or {}), "status": 503, "events": len(failed)}
        return json_response(503, body, {"Retry-After": str(RETRY_AFTER_S)})
    rejected = [result for result in results if result.status == "rejected"]
    if rejected:
        body["error"] = {**(rejected[0].error or {}), "status": 400, "events": len(rejected)}
        return json_response(400, body)
    return json_response(200, body)
