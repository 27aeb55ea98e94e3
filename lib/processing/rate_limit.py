"""How fast we may send: our own limits, below Meta's, and slower the more of Meta's limits is used.

Source: Meta, "Rate Limits": X-App-Usage and X-Business-Use-Case-Usage of the Graph API; on Instagram 100 messages a
second and 750 private replies an hour for each account, and fewer in a single thread. The database counts the sends,
where every instance sees them (`ingestion.send_delay`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from lib.graph.usage import Usage

SLOW_FROM = 80.0
"""From this percentage of use on, sends are spread."""

HOLD_FROM = 95.0
"""From this percentage of use on, nothing is sent."""

_SLOWEST_S = 10.0


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` sends in any `window_s` seconds."""

    count: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one account: for all its sends, for sends to one person, for private replies."""

    account: Limit
    thread: Limit = Limit(1, 1.0)
    private_reply: Limit = Limit(600, 3600.0)


def limits_at(usage: Iterable[Usage], *, sends_per_second: int, now_s: float) -> Limits:
    """Returns the limits to send by. From `SLOW_FROM` percent on: one at a time, up to ten seconds apart."""
    percent = max((reading.percent for reading in usage if now_s < reading.holds_until_s()), default=0.0)
    if percent < SLOW_FROM:
        return Limits(Limit(sends_per_second, 1.0))
    share = min(1.0, (percent - SLOW_FROM) / (HOLD_FROM - SLOW_FROM))
    return Limits(Limit(1, max(1 / sends_per_second, _SLOWEST_S * share**2)))


def hold_s(usage: Iterable[Usage], *, now_s: float) -> float:
    """Returns for how many seconds nothing may be sent. 0: a send may leave."""
    return max(
        (max(0.0, reading.holds_until_s() - now_s) for reading in usage if reading.percent >= HOLD_FROM), default=0.0
    )
