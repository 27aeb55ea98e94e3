"""One attempt at one event: the event, its path, its lease, and how long it may take."""

import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from lib.core.deadline import Deadline
from lib.events.model import Event, Via

LEASE_MARGIN_S = 5


@dataclass(frozen=True, slots=True)
class DatabaseClock:
    """The time of the database, from one of its answers: `now`, read when our monotonic clock showed `read_at_s`.

    The answer took some time to arrive. So the clock is a little slow, and never fast.
    """

    now: datetime
    read_at_s: float

    def at(self, monotonic_s: float) -> datetime:
        """Returns the time of the database when our monotonic clock shows `monotonic_s`."""
        return self.now + timedelta(seconds=monotonic_s - self.read_at_s)

    @classmethod
    def read(cls, now: datetime) -> "DatabaseClock":
        """Returns the clock of an answer that has just arrived."""
        return cls(now, time.monotonic())


@dataclass(frozen=True, slots=True)
class Attempt:
    """`lease_token` names the attempt: no other attempt may touch what this one has claimed."""

    event: Event
    via: Via
    lease_token: uuid.UUID
    deadline: Deadline
    clock: DatabaseClock | None = None

    def lease_s(self) -> int:
        """How long a lease lasts, in seconds: past the deadline, so that nobody else starts while this one works."""
        return int(self.deadline.left_s()) + LEASE_MARGIN_S
