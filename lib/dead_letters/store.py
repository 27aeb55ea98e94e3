"""Dead letters in the database: the functions of `supabase/migrations/…_dead_letters.sql`.

Knows their names and shapes. Must not know what is done with a letter, nor why. Raises what `EventStore.rpc` raises.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from lib.core.model import Model
from lib.database import Database, read_answer

PAGE_SIZE = 100
"""Letters a page; as many as QStash shows at a time."""

Closed: TypeAlias = Literal["replayed", "discarded"]
State: TypeAlias = Literal["open", "replayed", "discarded", "superseded"]


class DeadLetter(Model):
    """A row of `dead_letters`. `event` and `body` are people's words, and None where they were not asked for.
    `is_processed`: its event has come through since, by whatever road.
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
    closed_at: datetime | None = None
    event: dict[str, Any] | None = None
    body: str | None = None


class LetterFilter(Model):
    """Which letters. `ids` are of letters or of events, `account` is either id of an account; it failed from `since`
    until before `until`.
    """

    state: State | None = None
    ids: tuple[str, ...] | None = None
    code: str | None = None
    kind: str | None = None
    account: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class UnfinishedRow(Model):
    """An event that still owes something."""

    event_id: str
    kind: str
    account_id: str
    recorded_at: datetime


class Unfinished(Model):
    """How many there are, and the oldest of them."""

    total: int
    events: list[UnfinishedRow]


class DeadLetterStore:
    """The calls. Raises the errors of `Database.rpc`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, wanted: LetterFilter) -> int:
        """How many there are."""
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
        """The next `limit` letters, oldest first; [] at the end."""
        parameters: dict[str, Any] = {
            "p_filter": wanted.model_dump(mode="json", exclude_defaults=True),
            "p_limit": limit,
            "p_with_content": with_content,
        }
        if after is not None:
            parameters |= {"p_after_at": after.failed_at.isoformat(), "p_after_id": after.source_message_id}
        return read_answer(await self._database.rpc("list_dead_letters", parameters), list[DeadLetter])

    async def close(self, source_message_id: str, state: Closed) -> bool:
        """Closes an open letter. False where somebody else has, or it is gone."""
        answer = await self._database.rpc(
            "close_dead_letter", {"p_source_message_id": source_message_id, "p_state": state}
        )
        return read_answer(answer, bool)

    async def store(self, letter: Mapping[str, Any]) -> bool:
        """Keeps a letter, once per `source_message_id`. Returns whether it is new."""
        return read_answer(await self._database.rpc("store_dead_letter", {"p_letter": letter}), bool)

    async def unfinished(self, *, older_than_s: int, limit: int) -> Unfinished:
        """Events recorded more than `older_than_s` seconds ago and not finished, the oldest `limit` of them."""
        answer = await self._database.rpc("list_unfinished", {"p_older_than_s": older_than_s, "p_limit": limit})
        return read_answer(answer, Unfinished)
