"""Sends with an unknown outcome in the database: `unknown_sends` and `settle_unknown` of `…_recovery.sql`."""

from collections.abc import Sequence

from lib.accounts.tokens import StoredToken
from lib.core.model import Model
from lib.database import Database, read_answer
from lib.graph.conversation import ConversationMessage


class UnknownSendConversation(Model):
    """A conversation with sends that may have left. `token` is the account's stored token, or None if it has none."""

    account_id: str
    contact_id: str
    token: StoredToken | None


class ReconcileStore:
    """The calls. Raises the errors of `Database.rpc`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take_unknown(self, *, older_than_s: int, limit: int) -> list[UnknownSendConversation]:
        """Returns the conversations of up to `limit` unknown sends, ordered by account.

        They are taken: no other sweeper gets them for a while.
        """
        conversations = await self._database.rpc("unknown_sends", {"p_older_than_s": older_than_s, "p_limit": limit})
        return read_answer(conversations, list[UnknownSendConversation])

    async def settle(self, conversation: UnknownSendConversation, messages: Sequence[ConversationMessage]) -> int:
        """Marks the unknown sends that are among `messages` as sent. Returns how many."""
        settled = await self._database.rpc(
            "settle_unknown",
            {
                "p_account_id": conversation.account_id,
                "p_contact_id": conversation.contact_id,
                "p_messages": [message.model_dump(mode="json") for message in messages],
            },
        )
        return read_answer(settled, int)
