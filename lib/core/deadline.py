"""How much time is left: a route makes one deadline, and passes it to everything that it calls."""

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
        """Returns the deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def left_s(self) -> float:
        """Returns the seconds until the deadline, 0 once it has passed."""
        return max(0.0, self.at_s - time.monotonic())

    def at_most(self, seconds: float) -> "Deadline":
        """Returns the earlier one of this deadline and `seconds` from now."""
        return Deadline(min(self.at_s, time.monotonic() + seconds))

    def enforced(self) -> "Enforced":
        """Returns a context manager that cancels its block at the deadline and raises `DeadlineExceeded`."""
        return Enforced(self.left_s())


class Enforced:
    """Cancels its block after some seconds."""

    # A class and not a generator, which is slower: each request enters several of these blocks.

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
            # A library turned our cancellation into a time-out of its own.
            raise DeadlineExceeded from None
