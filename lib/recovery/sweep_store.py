"""Unfinished events in the database: calls the functions of `…_recovery.sql`."""

from collections.abc import Mapping
from typing import Any

from lib.core.model import Model
from lib.database import Database, read_answer
from lib.webhooks.reparse import ArchivedEvent, LedgerRow


class UnfinishedEvent(LedgerRow):
    """A row of `events` that is not finished. `raw` is None past retention, and may be anything that somebody wrote."""

    raw: Any
    sweeps: int = 0

    def archived(self) -> ArchivedEvent | None:
        """Returns the row as an archived event, or None without a raw item that can be one."""
        return ArchivedEvent(**self.model_dump(exclude={"sweeps"})) if isinstance(self.raw, dict) else None


class ExpiredSends(Model):
    """How many sends lost their worker now, and how many have had an unknown outcome for more than a day."""

    expired: int
    unknown_for_a_day: int


class SweepStore:
    """The calls. Raises the errors of `Database.rpc`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self) -> None:
        """Notes that a sweep begins: deliveries ask for none for a while."""
        await self._database.rpc("begin_sweep", {})

    async def end(self, *, done: bool) -> float | None:
        """Returns in how many seconds the next sweep has to be asked for, or None if nothing is open."""
        return _seconds(await self._database.rpc("end_sweep", {"p_done": done}))

    async def claim(self) -> float | None:
        """Something was left undone. Returns in how many seconds a sweep has to be asked for, or None if one was."""
        return _seconds(await self._database.rpc("claim_sweep", {}))

    async def take_unfinished(self, *, older_than_s: int, limit: int) -> list[UnfinishedEvent]:
        """Returns the oldest events that were recorded more than `older_than_s` seconds ago and are not finished.

        They are taken: no other sweeper gets them for a while.
        """
        rows = await self._database.rpc("unfinished_events", {"p_older_than_s": older_than_s, "p_limit": limit})
        return read_answer(rows, list[UnfinishedEvent])

    async def give_up(self, row: UnfinishedEvent, code: str, letter: Mapping[str, Any]) -> bool:
        """Ends an event that cannot be finished, with `letter` for a person. Returns False if it is finished by now."""
        given_up = await self._database.rpc(
            "give_up_event",
            {"p_event_id": row.event_id, "p_account_id": row.account_id, "p_code": code, "p_letter": letter},
        )
        return read_answer(given_up, bool)

    async def expire_sends(self) -> ExpiredSends:
        """Gives sends whose worker died an unknown outcome."""
        return read_answer(await self._database.rpc("expire_sends", {}), ExpiredSends)

    async def close_letters(self) -> int:
        """Closes the dead letters of events that are processed by now. Returns how many."""
        return read_answer(await self._database.rpc("close_processed_dead_letters", {}), int)


def _seconds(answer: object) -> float | None:
    return None if answer is None else read_answer(answer, float)
