"""Erasures in the database: calls the functions of `…_erasure.sql`."""

from datetime import datetime
from enum import StrEnum
from typing import Literal, TypeAlias

from lib.core.model import Model
from lib.database import Database, read_answer

Scope: TypeAlias = Literal["contact", "account"]
Via: TypeAlias = Literal["callback", "command"]


class Deauthorized(StrEnum):
    """The result of a removal of the app. The SQL function `deauthorize_account` explains each."""

    STOPPED = "stopped"
    ACTIVE = "active"
    UNKNOWN = "unknown"
    REFUSED = "refused"


class Erasure(Model):
    """The state of a request, `missing` for an unknown code. It does not say whose data it is.

    `unresolved`: the id is of nobody we know, and an account of ours has a second id that we do not know yet.
    `refused`: the same proof was taken at another door, and nothing was recorded.
    """

    state: Literal["unresolved", "pending", "done", "missing", "refused"]
    code: str = ""
    scope: Scope | None = None
    rows_erased: int = 0
    requested_at: datetime | None = None
    finished_at: datetime | None = None


class ErasureStore:
    """The calls. Raises the errors of `Database.rpc`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(
        self, code: str, subject: str, *, via: Via, scope: Scope | None = None, account_id: str | None = None
    ) -> Erasure:
        """Records a request to erase what happened up to now, once for each `code`.

        `scope` says whether `subject` is a person or an account; with None the database finds out. With `account_id`
        only the data of the person with this account is erased.
        """
        return await self._request(
            {"p_code": code, "p_subject": subject, "p_via": via, "p_scope": scope, "p_account_id": account_id}
        )

    async def request_signed(self, code: str, subject: str, *, until: datetime, proof: str) -> Erasure:
        """Records a request of Meta's to erase what happened up to `until`, once for each `proof`.

        The answer has the code that the same proof was given first, `code` if the proof is new.
        """
        return await self._request(
            {
                "p_code": code,
                "p_subject": subject,
                "p_via": "callback",
                "p_until": until.isoformat(),
                "p_proof": proof,
            }
        )

    async def _request(self, parameters: dict[str, object]) -> Erasure:
        return read_answer(await self._database.rpc("request_erasure", parameters), Erasure)

    async def run(self, code: str, *, limit: int) -> Erasure:
        """Erases the next `limit` rows. Returns the state after that."""
        return read_answer(await self._database.rpc("run_erasure", {"p_code": code, "p_limit": limit}), Erasure)

    async def status(self, code: str) -> Erasure:
        """Returns the state of a request."""
        return read_answer(await self._database.rpc("erasure_status", {"p_code": code}), Erasure)

    async def pending(self) -> list[str]:
        """Returns the codes of the requests that are not done, oldest first."""
        return read_answer(await self._database.rpc("pending_erasures", {}), list[str])

    async def preview(self, subject: str, *, scope: Scope, account_id: str | None) -> dict[str, int]:
        """Returns how many rows an erasure would erase, by table."""
        counts = await self._database.rpc(
            "preview_erasure", {"p_subject": subject, "p_scope": scope, "p_account_id": account_id}
        )
        return read_answer(counts, dict[str, int])

    async def deauthorize(self, account_id: str, *, at: datetime, proof: str) -> Deauthorized:
        """Stops the sends of an account whose owner removed the app at the time `at`, and deletes its token."""
        outcome = await self._database.rpc(
            "deauthorize_account", {"p_account_id": account_id, "p_at": at.isoformat(), "p_proof": proof}
        )
        return read_answer(outcome, Deauthorized)
