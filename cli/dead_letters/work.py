"""Works off many dead letters, and counts how each ended."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from cli.pages import for_each
from cli.retries import or_exit, with_retries
from lib.dead_letters.store import DeadLetter, DeadLetterStore, LetterFilter
from lib.errors.classify import classify
from lib.recovery.redrive import LetterEnd, LetterOutcome

UNREADABLE = "The dead letters cannot be read"

Treatment: TypeAlias = Callable[[DeadLetter], Awaitable[LetterOutcome]]


@dataclass
class Tally:
    """The results so far. `failed` has an error code by letter id. `entries_left` are entries that QStash still has."""

    ends: Counter[LetterEnd] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    without_event: list[str] = field(default_factory=list)
    entries_left: int = 0

    def add(self, letter: DeadLetter, outcome: LetterOutcome) -> None:
        """Counts one letter."""
        self.ends[outcome.end] += 1
        self.entries_left += outcome.entry_remains
        if outcome.end is LetterEnd.FAILED:
            self.failed[letter.source_message_id] = outcome.code or "unknown_error"
        if outcome.end is LetterEnd.NO_EVENT:
            self.without_event.append(letter.source_message_id)


async def work_off(
    letters: DeadLetterStore, wanted: LetterFilter, treat: Treatment, tally: Tally, tick: Callable[[], None]
) -> None:
    """Treats every letter that `wanted` selects, oldest first. A failed letter does not stop the others.

    A retry that fails makes a new letter. It failed after `wanted.until`, so this run does not take it.
    """

    async def next_page(after: DeadLetter | None) -> list[DeadLetter]:
        return await or_exit(lambda: letters.page(wanted, after=after, with_content=True), UNREADABLE)

    async def work(letter: DeadLetter) -> None:
        try:
            outcome = await with_retries(lambda: treat(letter))
        except Exception as error:
            outcome = LetterOutcome(LetterEnd.FAILED, classify(error).code)
        tally.add(letter, outcome)
        tick()

    await for_each(next_page, work)
