"""How much time is left: one deadline, handed down from a route to everything it calls.

Knows the monotonic clock and asyncio's timeouts. Must not know what the time is spent on.
"""

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType

from lib.errors.exceptions import DeadlineExceeded


@dataclass(frozen=True, slots=True)
class Deadline:
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

    def enforced(self) -> "Enforced":
        """A context manager that cancels its block when the deadline passes. Raises `DeadlineExceeded`."""
        return Enforced(self.left_s())


class Enforced:
    """A block with an end. A class, and no generator: each request enters several."""

    def __init__(self, seconds: float) -> None:
        self._scope = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            raise DeadlineExceeded from None
        if isinstance(error, TimeoutError) and self._scope.expired():
            raise DeadlineExceeded from None  # a library made a time-out of its own of our cancelling
