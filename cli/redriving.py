"""Many dead letters at work: page after page, a few letters at a time, each counted.

Knows the order of the work, and what counts as what. Must not know how one letter is dealt with (`lib.redrive`), nor
how it is shown.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from cli.patience import or_explain, patiently
from lib.dead_letters.store import DeadLetter, DeadLetterStore, LetterFilter
from lib.errors.classify import classify
from lib.recovery.redrive import LetterEnd, LetterOutcome

AT_A_TIME = 8
UNREADABLE = "The dead letters can not be read"

Treatment: TypeAlias = Callable[[DeadLetter], Awaitable[LetterOutcome]]


@dataclass
class Tally:
    """What became of the letters so far. `failed` has codes of errors by id; `entries_left` counts entries that are
    still at QStash.
    """

    ends: Counter[LetterEnd] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    without_event: list[str] = field(default_factory=list)
    entries_left: int = 0

    def add(self, letter: DeadLetter, outcome: LetterOutcome) -> None:
        """Counts one."""
        self.ends[outcome.end] += 1
        self.entries_left += outcome.entry_remains
        if outcome.end is LetterEnd.FAILED:
            self.failed[letter.source_message_id] = outcome.code or "unknown_error"
        if outcome.end is LetterEnd.NO_EVENT:
            self.without_event.append(letter.source_message_id)


async def work_off(
    letters: DeadLetterStore, wanted: LetterFilter, treat: Treatment, tally: Tally, tick: Callable[[], None]
) -> None:
    """Treats every letter that `wanted` selects, oldest first; one that fails keeps no other back.

    Those that come to be meanwhile, as a retry fails again, are not taken: they failed after `wanted.until`.
    """
    turn = asyncio.Semaphore(AT_A_TIME)

    async def one(letter: DeadLetter) -> None:
        async with turn:
            try:
                outcome = await patiently(lambda: treat(letter))
            except Exception as error:
                outcome = LetterOutcome(LetterEnd.FAILED, classify(error).code)
        tally.add(letter, outcome)
        tick()

    async def page(after: DeadLetter | None) -> list[DeadLetter]:
        return await or_explain(lambda: letters.page(wanted, after=after, with_content=True), UNREADABLE)

    found = await page(None)
    while found:
        await asyncio.gather(*(one(letter) for letter in found))
        found = await page(found[-1])
