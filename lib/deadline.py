"""How much time is left: one deadline, handed down from a route to everything it calls.

Knows the monotonic clock and asyncio's timeouts. Must not know what the time is spent on.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from lib.errors import DeadlineExceeded


class Deadline(msgspec.Struct, frozen=True):
    """A moment on the monotonic clock, in seconds."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """The deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def left_s(self) -> float:
        """Seconds until the deadline; 0 once it has passed."""
        return max(0.0, self.at_s - time.monotonic())

    def at_most(self, seconds: float) -> "Deadline":
        """This deadline, or the one `seconds` from now, whichever comes first."""
        return Deadline(min(self.at_s, time.monotonic() + seconds))

    @asynccontextmanager
    async def enforced(self) -> AsyncIterator[None]:
        """Cancels the block when the deadline passes. Raises `DeadlineExceeded`."""
        try:
            async with asyncio.timeout(self.left_s()) as scope:
                yield
        except TimeoutError:
            if scope.expired():
                raise DeadlineExceeded from None
            raise
