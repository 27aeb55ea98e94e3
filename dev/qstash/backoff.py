"""How long to wait before a retry: the default curve, the publisher's expression, the consumer's `Retry-After`.

The delays are unscaled. The caller applies the time scale.
Source: Upstash, features/retry.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from dev.qstash.durations import parse_seconds_or_duration_s
from dev.qstash.expression import Expression

MAX_DELAY_S = 86_400.0
DEFAULT_RETRIES = 3


def default_delay_s(retry: int) -> float:
    """Seconds before retry number `retry` (1 is the first): 12 s, 2 m 28 s, 30 m 8 s, 6 h 7 m, 24 h."""
    if retry >= 5:
        return MAX_DELAY_S
    return min(MAX_DELAY_S, math.exp(2.5 * max(1, retry)))


def wished_delay_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Returns the seconds that `retry-after` asks for, at most a day, or None if the header is missing or unreadable.

    `headers` have lower-case names. The value is seconds, a date as in RFC 1123, or a duration like `6m5s`.
    """
    value = headers.get("retry-after")
    delay_s = None if value is None else _read_wish_s(value, now_s)
    return None if delay_s is None else min(MAX_DELAY_S, max(0.0, delay_s))


def retry_delay_s(retry: int, *, expression: Expression | None, headers: Mapping[str, str], now_s: float) -> float:
    """Returns the seconds before retry number `retry` (1 is the first): the consumer decides, then the publisher."""
    wished_s = wished_delay_s(headers, now_s)
    if wished_s is not None:
        return wished_s
    if expression is not None:
        try:
            return min(MAX_DELAY_S, expression.delay_ms(retry - 1) / 1000)
        except ValueError:
            pass  # no value for this retry; the documentation names no alternative to the default curve
    return default_delay_s(retry)


def _read_wish_s(value: str, now_s: float) -> float | None:
    try:
        return parse_seconds_or_duration_s(value)
    except ValueError:
        pass
    try:
        moment: datetime = parsedate_to_datetime(value)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware.timestamp() - now_s
    except (ValueError, TypeError, OverflowError):
        return None
