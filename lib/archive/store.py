"""The archive of raw items in the database: calls the functions of `…_archive.sql`."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from lib.core.model import Model
from lib.database import Database, read_answer
from lib.events.model import Event, Kind
from lib.webhooks.reparse import ArchivedEvent

PAGE_SIZE = 500
"""Events in one page, which is about a megabyte."""


class ReprocessOutcome(StrEnum):
    """The result of reprocessing one event. The SQL function `replay_event` explains each."""

    UNCHANGED = "unchanged"
    IMPROVED = "improved"
    RECLASSIFIED = "reclassified"
    ERASED = "erased"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Selection:
    """A part of the archive: events recorded from `since` until before `until`. Without `kinds` it has all kinds."""

    since: datetime
    until: datetime
    kinds: tuple[Kind, ...] = ()
    account_id: str | None = None


class Extent(Model):
    """How many events of a selection still have their raw item, and how many are past retention."""

    readable: int
    missing: int


class ExpiredStep(Model):
    """One step of retention: how many raw items, and how many dead letters, were emptied. `done`: no more are due."""

    items: int
    letters: int
    done: bool


class ArchiveStore:
    """The calls. Raises the errors of `Database.rpc`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def measure(self, selection: Selection) -> Extent:
        """Returns the size of a selection."""
        return read_answer(await self._database.rpc("measure_archive", _parameters(selection)), Extent)

    async def page(self, selection: Selection, *, after: ArchivedEvent | None) -> list[ArchivedEvent]:
        """Returns the next `PAGE_SIZE` events that have their raw item, oldest first, or [] at the end."""
        parameters = _parameters(selection) | {"p_limit": PAGE_SIZE}
        # A page begins after a row, and not at a number, so that a change in between does not shift it.
        if after is not None:
            parameters |= {"p_after_at": after.recorded_at.isoformat(), "p_after_id": after.event_id}
        return read_answer(await self._database.rpc("read_archive", parameters), list[ArchivedEvent])

    async def reprocess(self, event_id: str, event: Event, *, dry_run: bool) -> ReprocessOutcome:
        """Applies `event`, which today's parser made of the archived event `event_id`, to the tables. No effects."""
        reparsed = event.model_dump(exclude_defaults=True, exclude={"raw"})  # the archive has the raw item already
        outcome = await self._database.rpc(
            "replay_event", {"p_event_id": event_id, "p_event": reparsed, "p_dry_run": dry_run}
        )
        return read_answer(outcome, ReprocessOutcome)

    async def expire_raw(self, *, before: datetime, limit: int) -> ExpiredStep:
        """Empties one segment of the archive that is older than `before`, and up to `limit` closed dead letters."""
        parameters = {"p_before": before.isoformat(), "p_limit": limit}
        return read_answer(await self._database.rpc("expire_raw", parameters), ExpiredStep)


def _parameters(selection: Selection) -> dict[str, Any]:
    return {
        "p_since": selection.since.isoformat(),
        "p_until": selection.until.isoformat(),
        "p_kinds": list(selection.kinds) or None,
        "p_account": selection.account_id,
    }
