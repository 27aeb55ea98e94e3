"""How much of Meta's limits is used, read from the headers of an answer."""

from collections.abc import Mapping

import msgspec

from lib.core.safe_json import decode_json
from lib.errors.exceptions import BadJson

HOLD_S = 60.0

_PERCENTAGES = ("call_count", "total_cputime", "total_time")


class Usage(msgspec.Struct, frozen=True):
    """How much of one of Meta's limits is used: the highest of its percentages, and when (seconds, monotonic) it was
    read. `regain_s` is how long Meta says it lasts, where it is reached.
    """

    percent: float
    read_at_s: float
    regain_s: float | None = None

    def holds_until_s(self) -> float:
        """When it is no longer believed."""
        return self.read_at_s + (self.regain_s or HOLD_S)


def read_usage(headers: Mapping[str, str], *, now_s: float) -> dict[str, Usage]:
    """What an answer of Meta's says, by limit: `app`, or the type of a business use case (`instagram`, …)."""
    found: dict[str, Usage] = {}
    app = _json(headers.get("x-app-usage", ""))
    if isinstance(app, dict):
        found["app"] = _usage(app, now_s)
    by_business = _json(headers.get("x-business-use-case-usage", ""))
    for limits in by_business.values() if isinstance(by_business, dict) else ():
        for limit in limits if isinstance(limits, list) else ():
            if isinstance(limit, dict):
                found[str(limit.get("type", "unknown"))] = _usage(limit, now_s)
    return found


def _usage(limit: Mapping[str, object], now_s: float) -> Usage:
    percentages = [value for name in _PERCENTAGES if (value := _number(limit.get(name))) is not None]
    minutes = _number(limit.get("estimated_time_to_regain_access"))
    return Usage(max(percentages, default=0.0), now_s, minutes * 60 if minutes else None)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value < 10**6 else None


def _json(header: str) -> object:
    try:
        return decode_json(header.encode("utf-8", "replace"))
    except BadJson:
        return None
