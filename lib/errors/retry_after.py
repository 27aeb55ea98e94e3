"""Numbers and delays in foreign headers and bodies. The readers are tolerant, never raise, and return None for
anything that they cannot read. A delay that is given as a moment is compared with the clock.
"""

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

LONGEST_DELAY_S = 86_400.0
"""QStash waits no longer than a day on a `Retry-After` (Upstash, "Retry")."""

_DECIMAL = r"[0-9]{1,12}(\.[0-9]{1,9})?"


def whole_number(value: object) -> int | None:
    """Returns a code or status, or None: 190, "190" and 190.0 are 190. Negative numbers, booleans and numbers of more
    than ten digits are None.
    """
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) <= 10 else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 10**10 and value == int(value) else None


def delay_s(value: object) -> float | None:
    """Returns the seconds to wait, from 0 to `LONGEST_DELAY_S`, or None. A negative delay is 0."""
    if isinstance(value, str):
        value = float(value) if re.fullmatch(_DECIMAL, value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(min(max(value, 0), LONGEST_DELAY_S))


def delay_until_s(moment: object) -> float | None:
    """Returns the delay until `moment`, a Unix time in seconds.

    QStash's `RateLimit-Reset` is such a moment (Upstash, "API Rate Limit").
    """
    at_s = whole_number(moment)
    return None if at_s is None else delay_s(at_s - time.time())


def delay_in(headers: object) -> float | None:
    """Returns the delay in seconds that `Retry-After` asks for, or None."""
    if not isinstance(headers, Mapping):
        return None
    texts = {str(name).lower(): value for name, value in headers.items() if isinstance(value, str)}
    return _retry_after_s(texts.get("retry-after", ""), texts.get("date", ""))


def _retry_after_s(text: str, date: str) -> float | None:
    """RFC 9110 §10.2.3: seconds or a date. The sender's own `Date` makes the difference of the clocks irrelevant."""
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
