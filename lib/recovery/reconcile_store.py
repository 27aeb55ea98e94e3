"""Unknown sends in the database: the functions of `supabase/migrations/…_reconcile.sql`.

Knows their names and shapes. Must not know where a conversation is read. Raises what `EventStore.rpc` raises.
"""

from collections.abc import Sequence
from datetime import datetime

from lib.accounts.tokens import StoredToken
from lib.core.model import Model
from lib.database import Database, read_answer


class UnknownSendConversation(Model):
    """With `contact_id` there are sends that may have left. `token` is the account's own stored one, if it has one."""

    account_id: str
    contact_id: str
    token: StoredToken | None


class ConversationMessage(Model):
    """A message of ours, as its conversation shows it."""

    mid: str
    text: str
    at: datetime


class ReconcileStore:
    """The calls. Raises the errors of `Database.rpc`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take_unknown(self, *, older_than_s: int, limit: int) -> list[UnknownSendConversation]:
        """The conversations of up to `limit` unknown sends, by account; taken, so that no other sweeper gets them for a
        while.
        """
        answer = await self._database.rpc("unknown_sends", {"p_older_than_s": older_than_s, "p_limit": limit})
        return read_answer(answer, list[UnknownSendConversation])

    async def settle(self, conversation: UnknownSendConversation, shown: Sequence[ConversationMessage]) -> int:
        """Marks the unknown sends that are among what is `shown` as sent. Returns how many there were."""
        answer = await self._database.rpc(
            "settle_unknown",
            {
                "p_account_id": conversation.account_id,
                "p_contact_id": conversation.contact_id,
                "p_messages": [message.model_dump(mode="json") for message in shown],
            },
        )
        return read_answer(answer, int)
