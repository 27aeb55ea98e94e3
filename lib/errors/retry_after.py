"""Numbers and delays as strangers write them: read leniently, None where there is nothing to read, never raising.

Knows the forms of HTTP and of Meta. Must not know what a number means. Reads the clock where a delay is given as
a moment.
"""

import json
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

LONGEST_DELAY_S = 86_400.0
"""QStash waits no longer than a day on a `Retry-After` (Upstash, "Retry")."""

_MAX_HEADER_CHARS = 20_000
_DECIMAL = r"[0-9]{1,12}(\.[0-9]{1,9})?"


def whole_number(value: object) -> int | None:
    """A code or a status: 190, "190" and 190.0 are 190; what is negative, a truth value or over ten digits is None."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) <= 10 else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 10**10 and value == int(value) else None


def delay_s(value: object) -> float | None:
    """Seconds to wait, from 0 to `LONGEST_DELAY_S`. A moment that has passed asks for no wait."""
    if isinstance(value, str):
        value = float(value) if re.fullmatch(_DECIMAL, value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(min(max(value, 0), LONGEST_DELAY_S))


def delay_until_s(moment: object) -> float | None:
    """The delay until `moment`, Unix time in seconds: QStash's `RateLimit-Reset` (Upstash, "API Rate Limit")."""
    at_s = whole_number(moment)
    return None if at_s is None else delay_s(at_s - time.time())


def delay_in(headers: object) -> float | None:
    """The delay an answer asks for: `Retry-After`, else Meta's `estimated_time_to_regain_access`."""
    if not isinstance(headers, Mapping):
        return None
    texts = {str(name).lower(): value for name, value in headers.items() if isinstance(value, str)}
    named = _retry_after_s(texts.get("retry-after", ""), texts.get("date", ""))
    return named if named is not None else _regain_access_s(texts.get("x-business-use-case-usage", ""))


def _retry_after_s(text: str, date: str) -> float | None:
    """RFC 9110 §10.2.3: seconds or a date. The sender's own `Date` spares us the difference of the clocks."""
    seconds = delay_s(text)
    if seconds is not None:
        return seconds
    until_s, sent_s = _moment_s(text), _moment_s(date)
    return None if until_s is None else delay_s(until_s - (time.time() if sent_s is None else sent_s))


def _moment_s(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _regain_access_s(header: str) -> float | None:
    """Meta, "Rate Limits": minutes, one number for each limit of each business; the longest one counts.

    None where no limit is reached.
    """
    if len(header) > _MAX_HEADER_CHARS:
        return None
    try:
        usage = json.loads(header)
    except (ValueError, RecursionError):
        return None
    delays = [
        delay_s(minutes * 60)
        for limits in (usage.values() if isinstance(usage, dict) else ())
        for limit in (limits if isinstance(limits, list) else ())
        if isinstance(limit, dict)
        and (minutes := whole_number(limit.get("estimated_time_to_regain_access"))) is not None
    ]
    longest = max((delay for delay in delays if delay is not None), default=0.0)
    return longest or None
