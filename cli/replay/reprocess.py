"""Works through a part of the archive: parses each event again, and applies what is new to the tables."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cli.pages import for_each
from cli.retries import or_exit, with_retries
from lib.archive.store import ArchiveStore, ReprocessOutcome, Selection
from lib.errors.classify import classify
from lib.webhooks.reparse import ArchivedEvent, reparse

UNREADABLE = "The archive cannot be read"


@dataclass
class Tally:
    """The results so far. `moved` counts by old and new kind. `failed` has an error code by event id."""

    outcomes: Counter[ReprocessOutcome] = field(default_factory=Counter)
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)


class Reprocessing:
    """One run over a part of the archive. A failed event is counted, and the others go on."""

    def __init__(self, archive: ArchiveStore, selection: Selection, tally: Tally, *, dry_run: bool) -> None:
        self._archive = archive
        self._selection = selection
        self._tally = tally
        self._dry_run = dry_run

    async def measure(self) -> int:
        """Returns how many events will be read. Events past retention are counted as missing now."""
        extent = await or_exit(lambda: self._archive.measure(self._selection), UNREADABLE)
        self._tally.outcomes[ReprocessOutcome.MISSING] += extent.missing
        return extent.readable

    async def run(self, tick: Callable[[], None]) -> None:
        """Reprocesses the events. Calls `tick` after each."""

        async def work(row: ArchivedEvent) -> None:
            try:
                await self._reprocess(row)
            except Exception as error:
                self._tally.failed[row.event_id] = classify(error).code
            tick()

        await for_each(self._next_page, work)

    async def _next_page(self, after: ArchivedEvent | None) -> list[ArchivedEvent]:
        return await or_exit(lambda: self._archive.page(self._selection, after=after), UNREADABLE)

    async def _reprocess(self, row: ArchivedEvent) -> None:
        event = reparse(row)
        if event is None:
            self._tally.outcomes[ReprocessOutcome.UNCHANGED] += 1
            return
        outcome = await with_retries(
            lambda: self._archive.reprocess(row.event_id, event, dry_run=self._dry_run),
        )
        self._tally.outcomes[outcome] += 1
        if outcome is ReprocessOutcome.RECLASSIFIED:
            self._tally.moved[row.kind, event.kind] += 1
