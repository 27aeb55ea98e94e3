"""One attempt at one event: what it is about, by which road it came, and how long it may take.

A value handed from step to step. Must not know the steps.
"""

import uuid

import msgspec

from lib.core.deadline import Deadline
from lib.events.model import Event, Via


class Attempt(msgspec.Struct, frozen=True):
    """`lease_token` names this attempt: what it claims, no other attempt may touch."""

    event: Event
    via: Via
    lease_token: uuid.UUID
    deadline: Deadline

    def lease_s(self) -> int:
        """Seconds a lease of this attempt lasts: past its deadline, so that no one else starts while it works."""
        return int(self.deadline.left_s()) + 5
