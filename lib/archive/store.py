"""The raw archive in the database: read page by page, read again event by event, emptied after its time.

Knows the functions of `supabase/migrations/…_archive.sql`. Must not know the parser, nor why or how fast it is
called. Raises what the client raises, and `UnreadableAnswer`.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from lib.core.model import Model
from lib.database import Database, read_answer
from lib.events.model import Event, Kind
from lib.webhooks.reparse import ArchivedEvent

PAGE_SIZE = 500
"""Events a page: about a megabyte."""


class Outcome(StrEnum):
    """What became of an event that was read again; `replay_event` says what each means."""

    UNCHANGED = "unchanged"
    IMPROVED = "improved"
    RECLASSIFIED = "reclassified"
    ERASED = "erased"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of the archive: recorded from `since` until before `until`, of these kinds, of this account."""

    since: datetime
    until: datetime
    kinds: tuple[Kind, ...] = ()
    account_id: str | None = None


class Extent(Model):
    """How many events of a selection have their raw item, and how many are past retention."""

    readable: int
    missing: int


class ArchiveStore:
    """The archive. Raises the errors of `Database.rpc`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def measure(self, selection: Selection) -> Extent:
        """How much there is of it."""
        return read_answer(await self._database.rpc("measure_archive", _parameters(selection)), Extent)

    async def page(self, selection: Selection, *, after: ArchivedEvent | None) -> list[ArchivedEvent]:
        """The next `PAGE_SIZE` events that have their raw item, in the order they were recorded; [] at the end."""
        parameters = _parameters(selection) | {"p_limit": PAGE_SIZE}
        if after is not None:
            parameters |= {"p_after_at": after.recorded_at.isoformat(), "p_after_id": after.event_id}
        return read_answer(await self._database.rpc("read_archive", parameters), list[ArchivedEvent])

    async def replay_event(self, event_id: str, event: Event, *, dry_run: bool) -> Outcome:
        """Feeds what the parser makes of the archived event `event_id` now through the tables, without effects."""
        read_now = event.model_dump(exclude_defaults=True, exclude={"raw"})  # the archive has the raw item already
        answer = await self._database.rpc(
            "replay_event", {"p_event_id": event_id, "p_event": read_now, "p_dry_run": dry_run}
        )
        return read_answer(answer, Outcome)

    async def expire_raw(self, *, before: datetime, limit: int) -> int:
        """Empties raw items that came in before `before`, about `limit` of them. 0: there is none left."""
        return read_answer(
            await self._database.rpc("expire_raw", {"p_before": before.isoformat(), "p_limit": limit}), int
        )


def _parameters(selection: Selection) -> dict[str, Any]:
    return {
        "p_since": selection.since.isoformat(),
        "p_until": selection.until.isoformat(),
        "p_kinds": list(selection.kinds) or None,
        "p_account": selection.account_id,
    }
