"""Erasures in Supabase: the functions of `…_erasure.sql`.

Knows their names and shapes, as `store` does for events. Must not know who asks, nor for how long to go on.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal, TypeAlias

from lib.core.model import Model
from lib.database import Database, read_answer

Scope: TypeAlias = Literal["contact", "account"]
Via: TypeAlias = Literal["callback", "command"]


class Deauthorized(StrEnum):
    """What the removal of the app came to; `deauthorize_account` says what each means."""

    STOPPED = "stopped"
    ACTIVE = "active"
    UNKNOWN = "unknown"


class Erasure(Model):
    """How far a request is; `missing` for a code that was never given. Says nothing about whom."""

    state: Literal["pending", "done", "missing"]
    scope: Scope | None = None
    rows_erased: int = 0
    requested_at: datetime | None = None
    finished_at: datetime | None = None


class ErasureStore:
    """The calls. Raises what `EventStore.rpc` raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(
        self, code: str, subject: str, *, via: Via, scope: Scope | None = None, account_id: str | None = None
    ) -> Erasure:
        """Takes up a request, once per `code`.

        `scope` says what `subject` is, None where that is to be found out; `account_id` narrows a person down to
        one account.
        """
        answer = await self._database.rpc(
            "request_erasure",
            {"p_code": code, "p_subject": subject, "p_via": via, "p_scope": scope, "p_account_id": account_id},
        )
        return read_answer(answer, Erasure)

    async def run(self, code: str, *, limit: int) -> Erasure:
        """Erases the next `limit` rows, and says how far that has brought it."""
        return read_answer(await self._database.rpc("run_erasure", {"p_code": code, "p_limit": limit}), Erasure)

    async def status(self, code: str) -> Erasure:
        """How far it is."""
        return read_answer(await self._database.rpc("erasure_status", {"p_code": code}), Erasure)

    async def pending(self) -> list[str]:
        """The codes of what is not done, the oldest first."""
        return read_answer(await self._database.rpc("pending_erasures", {}), list[str])

    async def preview(self, subject: str, *, scope: Scope, account_id: str | None) -> dict[str, int]:
        """How many rows there are to erase, by table."""
        answer = await self._database.rpc(
            "preview_erasure", {"p_subject": subject, "p_scope": scope, "p_account_id": account_id}
        )
        return read_answer(answer, dict[str, int])

    async def deauthorize(self, account_id: str, *, at: datetime) -> Deauthorized:
        """Stops the sends of an account whose owner removed the app at that time, and forgets its token."""
        answer = await self._database.rpc("deauthorize_account", {"p_account_id": account_id, "p_at": at.isoformat()})
        return read_answer(answer, Deauthorized)
