"""Admission: how many deliveries may run at once, and how many may start in a period.

`Lane` is the rule and gets the time from its caller. `Gate` lets coroutines wait at a lane, first come first served.
Flow control and queues are both made of gates.
Source: Upstash, features/flowcontrol and features/queues.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dev.qstash.limits import Limits


class Lane:
    """The rule for one key. Times are seconds of any steady clock; `time_scale` shortens the period."""

    def __init__(self, limits: Limits, time_scale: float = 1.0) -> None:
        self.limits = limits
        self.paused = False
        self.running = 0
        self.started_in_period = 0
        self._period_start_s: float | None = None
        self._time_scale = time_scale

    def wait_s(self, now_s: float) -> float | None:
        """Returns the seconds until the next may start, or None if it has to wait for another's end or for `resume`."""
        if self.paused:
            return None
        if self.limits.parallelism is not None and self.running >= self.limits.parallelism:
            return None
        if self.limits.rate is None:
            return 0.0
        left_s = self._period_left_s(now_s)
        if left_s > 0 and self.started_in_period >= self.limits.rate:
            return left_s
        return 0.0

    def start(self, now_s: float) -> None:
        """One more inside."""
        if self._period_left_s(now_s) <= 0:
            self.reset_period(now_s)
        self.running += 1
        self.started_in_period += 1

    def finish(self) -> None:
        """One fewer inside."""
        self.running -= 1

    def reset_period(self, now_s: float) -> None:
        """Begins a new period now, with nothing counted."""
        self._period_start_s = now_s
        self.started_in_period = 0

    def period_age_s(self, now_s: float) -> float:
        """Returns the seconds since the period began, or 0 if none has begun."""
        return 0.0 if self._period_start_s is None else now_s - self._period_start_s

    def is_idle(self, now_s: float) -> bool:
        """Whether the lane can be forgotten without a change."""
        return not self.paused and self.running == 0 and self._period_left_s(now_s) <= 0

    def _period_left_s(self, now_s: float) -> float:
        if self._period_start_s is None:
            return 0.0
        return self._period_start_s + self.limits.period_s * self._time_scale - now_s


class Gate:
    """A lane with a waiting line."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self._line: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    @asynccontextmanager
    async def inside(self) -> AsyncIterator[None]:
        """Waits for admission, and lets the next one in afterwards."""
        admission = asyncio.get_running_loop().create_future()
        self._line.append(admission)
        self.pump()
        try:
            await admission
        except asyncio.CancelledError:
            # Admitted in the moment of the cancellation: the admission must be given back.
            if admission.done() and not admission.cancelled():
                self._leave()
            else:
                self._line.remove(admission)
                self.pump()
            raise
        try:
            yield
        finally:
            self._leave()

    def pump(self) -> None:
        """Admits those who may start now, and sets a timer if the next one only has to wait for the period."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._line:
            wait_s = self.lane.wait_s(loop.time())
            if wait_s is None:
                return
            if wait_s > 0:
                self._timer = loop.call_later(wait_s, self.pump)
                return
            self.lane.start(loop.time())
            self._line.popleft().set_result(None)

    def close(self) -> None:
        """Ends the timer. The waiting coroutines are cancelled by their own tasks."""
        if self._timer is not None:
            self._timer.cancel()

    def _leave(self) -> None:
        self.lane.finish()
        self.pump()
