"""Fetches the profile of the person behind a message, or remembers that Meta does not show it."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from lib.core import log
from lib.errors.classify import classify
from lib.errors.verdict import Verdict
from lib.graph.client import GraphClient
from lib.graph.transport import Credentials

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class FetchedProfile:
    """`profile` is what to save (`ingestion.save_profile`). `error` says why there is nothing to save."""

    profile: dict[str, Any] | None = None
    error: Exception | None = None
    verdict: Verdict | None = None


async def fetch_profile(
    graph: GraphClient, credentials: Credentials, igsid: str, *, timeout_s: float
) -> FetchedProfile:
    """Asks Meta once. Never raises, except on cancellation. Times are milliseconds since the epoch."""
    fetched_at = time.time_ns() // 1_000_000
    try:
        data = await graph.profile(credentials, igsid, timeout_s=timeout_s)
    except Exception as error:
        verdict = classify(error)
        _log.warning("Profile not fetched", account_id=credentials.account_id, igsid=igsid, code=verdict.code)
        if verdict.retryable or verdict.account_stop:
            # The cause is not the person: the profile stays as it is and is fetched at another attempt.
            return FetchedProfile(error=error, verdict=verdict)
        return FetchedProfile({"state": "unavailable", "code": verdict.code, "fetched_at": fetched_at})
    return FetchedProfile({"state": "complete", "fetched_at": fetched_at, **asdict(data)})
