"""Faults on demand: what a publisher gets instead of an answer, and what happens to deliveries.

This module holds and checks them. `misbehaviour` acts on the publish faults, `engine` on the delivery faults.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from dev.qstash.errors import bad_request
from dev.qstash.message import Json

PublishFault = Literal["ok", "refuse", "error", "hang", "garbage", "rate_limit", "daily_limit", "partial", "lost"]
"""refuse: the connection is closed before anything happens. lost: the messages are accepted, and then the
connection is closed. partial: every second item of a batch is refused. error: the given status."""


@dataclass(frozen=True)
class DeliveryFaults:
    """duplicate: so many extra deliveries of each message. drop_answers: so many first answers of each
    message are treated as lost. shuffle: messages overtake each other. delay_ms: real time before each."""

    duplicate: int = 0
    shuffle: bool = False
    delay_ms: int = 0
    drop_answers: int = 0


@dataclass(frozen=True)
class Reroute:
    """Every second delivery to `from_url` goes to `to_url`: two versions of one deployment run side by side."""

    from_url: str
    to_url: str


@dataclass
class Faults:
    """The faults in force. `times_left` counts publish requests; None has no end."""

    publish: PublishFault = "ok"
    status: int = 503
    latency_ms: int = 0
    times_left: int | None = None
    delivery: DeliveryFaults = field(default_factory=DeliveryFaults)
    reroute: Reroute | None = None
    _deliveries: int = 0

    def configure(self, wish: Mapping[str, Any]) -> None:
        """Replaces what the wish names: the publish half, the delivery half, the reroute, or several of them.

        Raises `ApiError` 400 for an unknown field or value.
        """
        unknown = wish.keys() - {"publish", "status", "latency_ms", "times", "delivery", "reroute"}
        if unknown:
            raise bad_request(f"unknown fault field(s): {', '.join(sorted(unknown))}")
        publish = self._publish_wish(wish)
        delivery = _delivery_wish(wish["delivery"]) if "delivery" in wish else self.delivery
        reroute = _reroute_wish(wish["reroute"]) if "reroute" in wish else self.reroute
        status = _int(wish, "status", 503, low=400, high=599)
        latency_ms = _int(wish, "latency_ms", 0)
        times = None if wish.get("times") is None else _int(wish, "times", 0)
        if wish.keys() & {"publish", "status", "latency_ms", "times"}:
            self.publish, self.status, self.latency_ms, self.times_left = publish, status, latency_ms, times
        self.delivery, self.reroute = delivery, reroute

    def take(self) -> tuple[PublishFault, int, int]:
        """Returns the fault of the next publish request, its status and its latency, and counts it."""
        if self.times_left is not None:
            if self.times_left <= 0:
                return "ok", 200, 0
            self.times_left -= 1
        return self.publish, self.status, self.latency_ms

    def address(self, url: str) -> str:
        """Returns where the next delivery to `url` goes, and counts it. It is signed for `url` all the same."""
        if self.reroute is None or not url.startswith(self.reroute.from_url):
            return url
        self._deliveries += 1
        return url if self._deliveries % 2 else self.reroute.to_url + url.removeprefix(self.reroute.from_url)

    def reset(self) -> None:
        """No faults."""
        self.publish, self.status, self.latency_ms, self.times_left = "ok", 503, 0, None
        self.delivery = DeliveryFaults()
        self.reroute = None

    def show(self) -> Json:
        """What is in force."""
        return {
            "publish": self.publish,
            "status": self.status,
            "latency_ms": self.latency_ms,
            "times": self.times_left,
            "delivery": {
                "duplicate": self.delivery.duplicate,
                "shuffle": self.delivery.shuffle,
                "delay_ms": self.delivery.delay_ms,
                "drop_answer": self.delivery.drop_answers,
            },
            "reroute": None if self.reroute is None else {"from": self.reroute.from_url, "to": self.reroute.to_url},
        }

    @staticmethod
    def _publish_wish(wish: Mapping[str, Any]) -> PublishFault:
        # A bare status means an error answer with it.
        publish = wish.get("publish", "error" if "status" in wish else "ok")
        if publish not in get_args(PublishFault):
            raise bad_request(f"publish must be one of {', '.join(get_args(PublishFault))}")
        return cast(PublishFault, publish)


def _delivery_wish(wish: object) -> DeliveryFaults:
    if wish is None:
        return DeliveryFaults()
    if not isinstance(wish, dict) or wish.keys() - {"duplicate", "shuffle", "delay_ms", "drop_answer"}:
        raise bad_request("delivery must be an object of duplicate, shuffle, delay_ms, drop_answer")
    shuffle = wish.get("shuffle", False)
    if not isinstance(shuffle, bool):
        raise bad_request("shuffle must be true or false")
    drop = wish.get("drop_answer", False)
    return DeliveryFaults(
        duplicate=_int(wish, "duplicate", 0, high=20),
        shuffle=shuffle,
        delay_ms=_int(wish, "delay_ms", 0),
        drop_answers=int(drop) if isinstance(drop, bool) else _int(wish, "drop_answer", 0),
    )


def _reroute_wish(wish: object) -> Reroute | None:
    match wish:
        case None:
            return None
        case {"from": str(from_url), "to": str(to_url), **more} if not more:
            return Reroute(from_url, to_url)
    raise bad_request("reroute must be an object of from and to, or null")


def _int(wish: Mapping[str, Any], name: str, default: int, *, low: int = 0, high: int = 600_000) -> int:
    value = wish.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise bad_request(f"{name} must be a whole number from {low} to {high}")
    return value
