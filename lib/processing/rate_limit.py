"""How fast we may send: our own limits, below Meta's, and slower the nearer Meta says we are to the end of its.

Pure. Source: Meta, "Rate Limits" (Graph API: X-App-Usage, X-Business-Use-Case-Usage; Instagram: 100 messages a second
and 750 private replies an hour for each account, fewer in a single thread). Must not know what is sent, nor count
anything: sends are counted in the database, where every instance sees them (`ingestion.send_delay`).
"""

from collections.abc import Iterable

import msgspec

from lib.graph.usage import Usage

SLOW_FROM = 80.0
HOLD_FROM = 95.0
"""Percentages. From the first on sends are spread, from the second on there are none."""

HOLD_S = 60.0
"""How long there are none where Meta does not say; and how long a percentage is believed: it is of a sliding hour."""

_SLOWEST_S = 10.0
_PERCENTAGES = ("call_count", "total_cputime", "total_time")


class Limit(msgspec.Struct, frozen=True):
    """At most `count` sends in any `window_s` seconds."""

    count: int
    window_s: float


class Limits(msgspec.Struct, frozen=True):
    """Of one account: all its sends, those to one person, its private replies."""

    account: Limit
    thread: Limit = Limit(1, 1.0)
    private_reply: Limit = Limit(600, 3600.0)


def limits_at(usage: Iterable[Usage], *, sends_per_second: int, now_s: float) -> Limits:
    """The limits to send by. From `SLOW_FROM` percent on: one at a time, up to ten seconds apart."""
    percent = max((one.percent for one in usage if now_s < one.holds_until_s()), default=0.0)
    if percent < SLOW_FROM:
        return Limits(Limit(sends_per_second, 1.0))
    share = min(1.0, (percent - SLOW_FROM) / (HOLD_FROM - SLOW_FROM))
    return Limits(Limit(1, max(1 / sends_per_second, _SLOWEST_S * share**2)))


def hold_s(usage: Iterable[Usage], *, now_s: float) -> float:
    """For how many seconds nothing may be sent. 0: it may."""
    return max((max(0.0, one.holds_until_s() - now_s) for one in usage if one.percent >= HOLD_FROM), default=0.0)
