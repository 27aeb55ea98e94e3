"""The settings of the stand-in: address, credentials, time scale, bounds.

The defaults are those of Upstash's own development server, so that either can listen on port 8080.
"""

from dataclasses import dataclass

# Upstash, "QStash local development": the first user of the development server. Public, not secrets.
DEV_TOKEN = "eyJVc2VySUQiOiJkZWZhdWx0VXNlciIsIlBhc3N3b3JkIjoiZGVmYXVsdFBhc3N3b3JkIn0="
DEV_CURRENT_KEY = "sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r"
DEV_NEXT_KEY = "sig_5ZB6DVzB1wjE8S6rZ7eenA8Pdnhs"


@dataclass(frozen=True)
class Config:
    """Settings of one stand-in.

    `time_scale` shortens every wait: 0.001 turns 12 s into 12 ms. It applies to retry delays, delays,
    not-before, flow-control periods, the deduplication window and schedules. It never applies to the claims
    of a signature. A delivery timeout is scaled too, but not below `timeout_floor_s` (or below itself if it is
    shorter): a consumer is not faster because the stand-in is in a hurry.

    With `keep_delays` the delay that a publisher asks for is not shortened: the database of a local stack keeps the
    real time, and the delay is computed from it. Such a message counts as `delayed`, and not as work that is pending.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    time_scale: float = 1.0
    keep_delays: bool = False
    token: str = DEV_TOKEN
    current_key: str = DEV_CURRENT_KEY
    next_key: str = DEV_NEXT_KEY
    concurrency: int = 64
    max_body_bytes: int = 1_000_000
    max_batch_bytes: int = 32_000_000
    default_timeout_s: float = 900.0
    timeout_floor_s: float = 10.0
    kept_logs: int = 20_000
    kept_dead: int = 10_000
    kept_flow_keys: int = 10_000

    def scaled_s(self, seconds: float) -> float:
        """Returns how long a wait of `seconds` takes here."""
        return max(0.0, seconds * self.time_scale)

    def asked_delay_s(self, seconds: float) -> float:
        """Returns how long a delay that a publisher asks for takes here."""
        return max(0.0, seconds) if self.keep_delays else self.scaled_s(seconds)

    def delivery_timeout_s(self, asked_s: float | None) -> float:
        """Returns the time that one delivery may take here."""
        full_s = self.default_timeout_s if asked_s is None else min(asked_s, self.default_timeout_s)
        return max(self.scaled_s(full_s), min(full_s, self.timeout_floor_s))
