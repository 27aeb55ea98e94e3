"""One attempt at one event: the event, its path, its lease, and how long it may take."""

import uuid
from dataclasses import dataclass

from lib.core.deadline import Deadline
from lib.events.model import Event, Via

LEASE_MARGIN_S = 5


@dataclass(frozen=True, slots=True)
class Attempt:
    """`lease_token` names the attempt: no other attempt may touch what this one has claimed."""

    event: Event
    via: Via
    lease_token: uuid.UUID
    deadline: Deadline

    def lease_s(self) -> int:
        """How long a lease lasts, in seconds: past the deadline, so that nobody else starts while this one works."""
        return int(self.deadline.left_s()) + LEASE_MARGIN_S
