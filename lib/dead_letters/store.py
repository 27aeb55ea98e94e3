"""Dead letters in the database: calls the functions of `…_dead_letters.sql`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from lib.core.model import Model
from lib.database import Database, read_answer

PAGE_SIZE = 100
"""Letters in one page. QStash shows as many entries at a time."""

Closed: TypeAlias = Literal["replayed", "discarded"]
State: TypeAlias = Literal["open", "replayed", "discarded", "superseded"]


class DeadLetter(Model):
    """A row of `dead_letters`. `event` and `body` have a person's words, and are None unless they were asked for.

    `is_processed` says that the event was processed since, by whichever path. `retried_at`: a retry is on its way.
    """

    source_message_id: str
    state: State
    failed_at: datetime
    is_processed: bool
    dlq_id: str | None = None
    event_id: str | None = None
    kind: str | None = None
    account_id: str | None = None
    url: str | None = None
    status: int | None = None
    error_code: str | None = None
    retried: int | None = None
    max_retries: int | None = None
    first_tried_at: datetime | None = None
    retried_at: datetime | None = None
    closed_at: datetime | None = None
    event: dict[str, Any] | None = None
    body: str | None = None


class LetterFilter(Model):
    """The letters to select. None selects all.

    `ids` are ids of letters or of events. `account` is either id of an account. The letters failed from `since` until
    before `until`.
    """

    state: State | None = None
    ids: tuple[str, ...] | None = None
    code: str | None = None
    kind: str | None = None
    account: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class UnfinishedRow(Model):
    """An event that is recorded and not finished."""

    event_id: str
    kind: str
    account_id: str
    recorded_at: datetime


class Unfinished(Model):
    """How many events are unfinished, and the oldest of them."""

    total: int
    events: list[UnfinishedRow]


class DeadLetterStore:
    """The calls. Raises the errors of `Database.rpc`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, wanted: LetterFilter) -> int:
        """Returns how many letters there are."""
        return read_answer(
            await self._database.rpc(
                "count_dead_letters", {"p_filter": wanted.model_dump(mode="json", exclude_defaults=True)}
            ),
            int,
        )

    async def page(
        self,
        wanted: LetterFilter,
        *,
        after: DeadLetter | None = None,
        limit: int = PAGE_SIZE,
        with_content: bool = False,
    ) -> list[DeadLetter]:
        """Returns the next `limit` letters, oldest first, or [] at the end."""
        parameters: dict[str, Any] = {
            "p_filter": wanted.model_dump(mode="json", exclude_defaults=True),
            "p_limit": limit,
            "p_with_content": with_content,
        }
        if after is not None:
            parameters |= {"p_after_at": after.failed_at.isoformat(), "p_after_id": after.source_message_id}
        return read_answer(await self._database.rpc("list_dead_letters", parameters), list[DeadLetter])

    async def close(self, source_message_id: str, state: Closed) -> bool:
        """Closes an open letter. Returns False if the letter is closed already, or gone."""
        was_open = await self._database.rpc(
            "close_dead_letter", {"p_source_message_id": source_message_id, "p_state": state}
        )
        return read_answer(was_open, bool)

    async def mark_retried(self, source_message_id: str) -> bool:
        """Notes that the event of an open letter was sent again. Returns False if the letter is closed by now."""
        return read_answer(
            await self._database.rpc("mark_letter_retried", {"p_source_message_id": source_message_id}), bool
        )

    async def store(self, letter: Mapping[str, Any]) -> bool:
        """Stores a letter, once for each `source_message_id`. Returns whether it is new."""
        return read_answer(await self._database.rpc("store_dead_letter", {"p_letter": letter}), bool)

    async def unfinished(self, *, older_than_s: int, limit: int) -> Unfinished:
        """Returns the oldest events that were recorded more than `older_than_s` seconds ago and are not finished."""
        unfinished = await self._database.rpc("list_unfinished", {"p_older_than_s": older_than_s, "p_limit": limit})
        return read_answer(unfinished, Unfinished)
