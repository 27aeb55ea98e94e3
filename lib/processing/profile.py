"""The person behind a message: fetched from the GraphClient API, or remembered as not to be had.

Knows what a refusal means for a profile. Must not know when a profile is due, nor store it: both are the
record transaction's.
"""

import time
from typing import Any

import msgspec

from lib.core import log
from lib.errors.classify import classify
from lib.errors.verdict import Verdict
from lib.graph.client import GraphClient
from lib.graph.transport import Credentials

_log = log.get(__name__)


class FetchedProfile(msgspec.Struct, frozen=True):
    """`profile` is what to save (`ingestion.save_profile`); `error` why there is nothing to save."""

    profile: dict[str, Any] | None = None
    error: Exception | None = None
    verdict: Verdict | None = None


async def fetch_profile(
    graph: GraphClient, credentials: Credentials, igsid: str, *, timeout_s: float
) -> FetchedProfile:
    """One look-up; never raises but for cancellation. Times are milliseconds since the epoch."""
    fetched_at = time.time_ns() // 1_000_000
    try:
        data = await graph.profile(credentials, igsid, timeout_s=timeout_s)
    except Exception as error:
        verdict = classify(error)
        _log.warning("Profile not fetched", account_id=credentials.account_id, igsid=igsid, code=verdict.code)
        if verdict.retryable or verdict.account_stop:
            # Not the person's doing: the profile stays as it is and is asked for again.
            return FetchedProfile(error=error, verdict=verdict)
        return FetchedProfile({"state": "unavailable", "code": verdict.code, "fetched_at": fetched_at})
    return FetchedProfile({"state": "complete", "fetched_at": fetched_at, **msgspec.structs.asdict(data)})
