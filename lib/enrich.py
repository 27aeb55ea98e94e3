"""The person behind a message: fetched from the Graph API, or remembered as not to be had.

Knows what a refusal means for a profile. Must not know when a profile is due, nor store it: both are the
record transaction's.
"""

import time
from typing import Any

import msgspec

from lib import log
from lib.errors import Verdict, classify
from lib.graph import Credentials, Graph

_log = log.get(__name__)


class Enrichment(msgspec.Struct, frozen=True):
    """`profile` is what to save (`ingestion.save_profile`); `error` why there is nothing to save."""

    profile: dict[str, Any] | None = None
    error: Exception | None = None
    verdict: Verdict | None = None


async def fetch_profile(graph: Graph, credentials: Credentials, igsid: str, *, timeout_s: float) -> Enrichment:
    """One look-up; never raises but for cancellation. Times are milliseconds since the epoch."""
    fetched_at = time.time_ns() // 1_000_000
    try:
        data = await graph.profile(credentials, igsid, timeout_s=timeout_s)
    except Exception as error:
        verdict = classify(error)
        _log.warning("Profile not fetched", account_id=credentials.account_id, igsid=igsid, code=verdict.code)
        if verdict.retryable or verdict.account_stop:
            # Not the person's doing: the profile stays as it is and is asked for again.
            return Enrichment(error=error, verdict=verdict)
        return Enrichment({"state": "unavailable", "code": verdict.code, "fetched_at": fetched_at})
    return Enrichment({"state": "complete", "fetched_at": fetched_at, **msgspec.structs.asdict(data)})
