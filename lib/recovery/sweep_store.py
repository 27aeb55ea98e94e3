"""What was never finished, in the database: the functions of `supabase/migrations/…_sweep.sql`.

Knows their names and shapes. Must not know what is done about it. Raises what `EventStore.rpc` raises.
"""

from typing import Any

from lib.core.model import Model
from lib.database import Database, read_answer
from lib.webhooks.reparse import ArchivedEvent, LedgerRow


class UnfinishedEvent(LedgerRow):
    """A row that still owes something; `raw` is None past retention."""

    raw: dict[str, Any] | None

    def archived(self) -> ArchivedEvent | None:
        """The row as one of the archive, if its raw item is there."""
        return None if self.raw is None else ArchivedEvent(**self.model_dump())


class ExpiredSends(Model):
    """How many sends lost their worker, and how many have been unknown for longer than a day."""

    expired: int
    unknown_for_a_day: int


class SweepStore:
    """The calls. Raises the errors of `Database.rpc`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take_unfinished(self, *, older_than_s: int, limit: int) -> list[UnfinishedEvent]:
        """The oldest events recorded more than `older_than_s` seconds ago and not finished; taken, so that no other
        sweeper gets them for a while.
        """
        answer = await self._database.rpc("unfinished_events", {"p_older_than_s": older_than_s, "p_limit": limit})
        return read_answer(answer, list[UnfinishedEvent])

    async def expire_sends(self) -> ExpiredSends:
        """Marks sends whose worker died as unknown."""
        return read_answer(await self._database.rpc("expire_sends", {}), ExpiredSends)

    async def close_letters(self) -> int:
        """Closes the dead letters of events that were processed since; how many."""
        return read_answer(await self._database.rpc("close_processed_dead_letters", {}), int)
