"""Unknown sends in the database: the functions of `supabase/migrations/…_reconcile.sql`.

Knows their names and shapes. Must not know where a conversation is read. Raises what `Store.rpc` raises.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from lib.store import Store, read_answer
from lib.tokens import StoredToken


class DoubtfulConversation(msgspec.Struct, frozen=True):
    """With `contact_id` there are sends that may have left. `token` is the account's own stored one, if it has one."""

    account_id: str
    contact_id: str
    token: StoredToken | None


class ShownMessage(msgspec.Struct, frozen=True):
    """A message of ours, as its conversation shows it."""

    mid: str
    text: str
    at: datetime


class ReconcileStore:
    """The calls. Uses the connections of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take_unknown(self, *, older_than_s: int, limit: int) -> list[DoubtfulConversation]:
        """The conversations of up to `limit` unknown sends, by account; taken, so that no other sweeper gets them for a
        while.
        """
        answer = await self._store.rpc("unknown_sends", {"p_older_than_s": older_than_s, "p_limit": limit})
        return read_answer(answer, list[DoubtfulConversation])

    async def settle(self, conversation: DoubtfulConversation, shown: Sequence[ShownMessage]) -> int:
        """Marks the unknown sends that are among what is `shown` as sent. Returns how many there were."""
        answer = await self._store.rpc(
            "settle_unknown",
            {
                "p_account_id": conversation.account_id,
                "p_contact_id": conversation.contact_id,
                "p_messages": msgspec.to_builtins(shown),
            },
        )
        return read_answer(answer, int)
