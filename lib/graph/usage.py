"""How much of Meta's limits is used, read from the headers of an answer (Meta, "Rate Limits")."""

from collections.abc import Mapping
from dataclasses import dataclass

from lib.core.safe_json import decode_json
from lib.errors.exceptions import BadJson
from lib.errors.retry_after import delay_s, whole_number

BELIEVED_S = 60.0
"""How long a percentage is believed if Meta names no time: it is of a sliding hour."""

_PERCENTAGES = ("call_count", "total_cputime", "total_time")
_MAX_HEADER_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Usage:
    """The use of one of Meta's limits: the highest of its percentages, and when it was read (seconds, monotonic).

    `regain_s` is the time until the limit is free again, if it is reached and Meta names a time.
    """

    percent: float
    read_at_s: float
    regain_s: float | None = None

    def holds_until_s(self) -> float:
        """When the reading is no longer believed, in seconds on the monotonic clock."""
        return self.read_at_s + (self.regain_s or BELIEVED_S)


def read_usage(headers: Mapping[str, str], *, now_s: float) -> dict[str, Usage]:
    """Returns the use by limit: `app`, or the type of a business use case (`instagram`, …).

    Several businesses may have limits of one type: then the highest percentage and the longest time count.
    """
    found: dict[str, Usage] = {}
    app = _json(headers.get("x-app-usage", ""))
    if isinstance(app, dict):
        found["app"] = _usage(app, now_s)
    by_business = _json(headers.get("x-business-use-case-usage", ""))
    for limits in by_business.values() if isinstance(by_business, dict) else ():
        for limit in limits if isinstance(limits, list) else ():
            if isinstance(limit, dict):
                name = str(limit.get("type", "unknown"))
                found[name] = _worse(found.get(name), _usage(limit, now_s))
    return found


def longest_regain_s(usage: Mapping[str, Usage]) -> float | None:
    """Returns the longest time until a limit is free again, or None if no limit is reached."""
    return max((reading.regain_s for reading in usage.values() if reading.regain_s), default=None)


def _worse(one: Usage | None, other: Usage) -> Usage:
    if one is None:
        return other
    regain_s = max(one.regain_s or 0.0, other.regain_s or 0.0)
    return Usage(max(one.percent, other.percent), other.read_at_s, regain_s or None)


def _usage(limit: Mapping[str, object], now_s: float) -> Usage:
    percentages = [value for name in _PERCENTAGES if (value := _percentage(limit.get(name))) is not None]
    minutes = whole_number(limit.get("estimated_time_to_regain_access"))
    return Usage(max(percentages, default=0.0), now_s, delay_s(minutes * 60) if minutes else None)


def _percentage(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value < 10**6 else None


def _json(header: str) -> object:
    if not header or len(header) > _MAX_HEADER_CHARS:
        return None
    try:
        return decode_json(header.encode("utf-8", "replace"))
    except BadJson:
        return None
