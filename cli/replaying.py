"""A replay at work: page after page of the archive through the parser of today, a few events at a time.

Knows the order of the work, and what counts as what. Must not know what a replay changes (the SQL of
`replay_event`), what an item is now (`lib.archive`), nor how it is shown.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cli.patience import or_explain, patiently
from lib.archive.store import ArchiveStore, ReprocessOutcome, Selection
from lib.errors.classify import classify
from lib.webhooks.reparse import ArchivedEvent, reparse

AT_A_TIME = 8
"""A hosted project is tens of milliseconds away, and its database idle for most of them."""

UNREADABLE = "The archive can not be read"


@dataclass
class Tally:
    """What became of the events so far: `moved` counts from which kind to which, `failed` has codes of errors by id."""

    outcomes: Counter[ReprocessOutcome] = field(default_factory=Counter)
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)


class Replay:
    """One run over a part of the archive. An event that fails is counted, and the others go on."""

    def __init__(self, archive: ArchiveStore, selection: Selection, tally: Tally, *, dry_run: bool) -> None:
        self._archive = archive
        self._selection = selection
        self._tally = tally
        self._dry_run = dry_run
        self._turn = asyncio.Semaphore(AT_A_TIME)

    async def measure(self) -> int:
        """How many events will be read; those past retention are counted as missing here."""
        extent = await or_explain(lambda: self._archive.measure(self._selection), UNREADABLE)
        self._tally.outcomes[ReprocessOutcome.MISSING] += extent.missing
        return extent.readable

    async def run(self, tick: Callable[[], None]) -> None:
        """Reads them all again; `tick` is called after each."""
        page = await self._page(None)
        while page:
            await asyncio.gather(*(self._one(row, tick) for row in page))
            page = await self._page(page[-1])

    async def _page(self, after: ArchivedEvent | None) -> list[ArchivedEvent]:
        return await or_explain(lambda: self._archive.page(self._selection, after=after), UNREADABLE)

    async def _one(self, row: ArchivedEvent, tick: Callable[[], None]) -> None:
        try:
            async with self._turn:
                await self._reread(row)
        except Exception as error:
            self._tally.failed[row.event_id] = classify(error).code
        tick()

    async def _reread(self, row: ArchivedEvent) -> None:
        event = reparse(row)
        if event is None:
            self._tally.outcomes[ReprocessOutcome.UNCHANGED] += 1
            return
        outcome = await patiently(
            lambda: self._archive.reprocess(row.event_id, event, dry_run=self._dry_run),
        )
        self._tally.outcomes[outcome] += 1
        if outcome is ReprocessOutcome.RECLASSIFIED:
            self._tally.moved[row.kind, event.kind] += 1
