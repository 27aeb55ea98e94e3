"""Flow-control keys: their gates, and what an operator may do to them.

Source: Upstash, API reference, "Flow Control".
"""

import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from dev.qstash.config import Config
from dev.qstash.errors import not_found
from dev.qstash.lanes import Gate, Lane
from dev.qstash.limits import Limits
from dev.qstash.message import Json


@dataclass
class Key:
    """One key. Later messages do not change pinned limits."""

    name: str
    gate: Gate
    pinned_parallelism: bool = False
    pinned_rate: bool = False


class FlowControl:
    """All keys. A key exists once a message or an operator has named it. Old idle keys are forgotten."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._keys: OrderedDict[str, Key] = OrderedDict()

    def gate(self, name: str, limits: Limits) -> Gate:
        """Returns the gate of a key and gives it the limits of the newest message."""
        key = self._key(name)
        now = key.gate.lane.limits
        key.gate.lane.limits = Limits(
            parallelism=now.parallelism if key.pinned_parallelism else limits.parallelism,
            rate=now.rate if key.pinned_rate else limits.rate,
            period_s=now.period_s if key.pinned_rate else limits.period_s,
        )
        key.gate.pump()
        self._forget_idle()
        return key.gate

    def existing_gate(self, name: str, limits: Limits) -> Gate:
        """Returns the gate of a key as it is: a retry of an old message does not bring its old limits back.

        `limits` are for a key that was forgotten meanwhile.
        """
        return self._keys[name].gate if name in self._keys else self.gate(name, limits)

    def get(self, name: str) -> Json:
        """The schema `FlowControlKey`. Raises `ApiError` 404."""
        if name not in self._keys:
            raise not_found("flow control key", name)
        return self._show(self._keys[name])

    def list(self) -> list[Json]:
        """Returns all keys."""
        return [self._show(key) for key in self._keys.values()]

    def set_paused(self, name: str, paused: bool) -> None:
        """While a key is paused, none of its deliveries starts. Running deliveries go on."""
        gate = self._key(name).gate
        gate.lane.paused = paused
        gate.pump()

    def pin(self, name: str, *, parallelism: int | None, rate: int | None, period_s: int | None) -> None:
        """Fixes the given limits, and begins a new rate period."""
        key = self._key(name)
        limits = key.gate.lane.limits
        if parallelism is not None:
            limits = replace(limits, parallelism=parallelism)
            key.pinned_parallelism = True
        if rate is not None or period_s is not None:
            limits = replace(limits, rate=rate or limits.rate, period_s=period_s or limits.period_s)
            key.pinned_rate = True
        key.gate.lane.limits = limits
        self.reset_rate(name)

    def unpin(self, name: str, *, parallelism: bool, rate: bool) -> None:
        """The limits stay as they are until a message asks for others."""
        key = self._key(name)
        key.pinned_parallelism = key.pinned_parallelism and not parallelism
        key.pinned_rate = key.pinned_rate and not rate

    def reset_rate(self, name: str) -> None:
        """Ends the current period at once."""
        gate = self._key(name).gate
        gate.lane.reset_period(_now_s())
        gate.pump()

    def reset(self) -> None:
        """Forgets every key."""
        for key in self._keys.values():
            key.gate.close()
        self._keys.clear()

    def _key(self, name: str) -> Key:
        if name not in self._keys:
            self._keys[name] = Key(name, Gate(Lane(Limits(), self._config.time_scale)))
        return self._keys[name]

    def _forget_idle(self) -> None:
        # Upstash has no limit on the number of keys, but a laptop's memory has one.
        if len(self._keys) <= self._config.kept_flow_keys:
            return
        for name, key in list(self._keys.items())[: self._config.kept_flow_keys // 10]:
            pinned = key.pinned_parallelism or key.pinned_rate
            if not pinned and not key.gate.waiting and key.gate.lane.is_idle(_now_s()):
                del self._keys[name]

    def _show(self, key: Key) -> Json:
        lane = key.gate.lane
        return {
            "flowControlKey": key.name,
            "waitListSize": key.gate.waiting,
            "parallelismMax": lane.limits.parallelism or 0,
            "parallelismCount": lane.running,
            "rateMax": lane.limits.rate or 0,
            "rateCount": lane.started_in_period,
            "ratePeriod": lane.limits.period_s,
            "ratePeriodStart": int(time.time() - lane.period_age_s(_now_s())),
            "isPaused": lane.paused,
            "isPinnedParallelism": key.pinned_parallelism,
            "isPinnedRate": key.pinned_rate,
        }


def _now_s() -> float:
    # The clock of the event loop (asyncio uses time.monotonic), so that gates and this module agree.
    return time.monotonic()
