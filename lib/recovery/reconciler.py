"""Looks for sends with an unknown outcome in their conversations, if no echo came for them.

The SQL function `settle_unknown` matches messages to sends, as it matches echoes. Nothing is sent here: a send that is
not found stays unknown, for a person to decide.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

from lib.accounts.access import NoAccess, access_to
from lib.accounts.store import AccountStore
from lib.core import log
from lib.core.deadline import Deadline
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.graph.client import GraphClient
from lib.graph.transport import Credentials
from lib.recovery.reconcile_store import ConversationMessage, ReconcileStore, UnknownSendConversation

OLDER_THAN_S = 120
"""An echo comes within seconds. A send without one is looked for after this time."""

MOST_SENDS = 50
"""Sends in one run."""

CALL_TIMEOUT_S = 4.0

PAUSE_S = 0.5
"""Meta allows an account two calls a second (Meta, "Rate Limits": Conversations API)."""

_log = log.get(__name__)


class Reconciler:
    """Looks for unknown sends. Holds no state but its clients."""

    def __init__(
        self, settings: Settings, *, store: ReconcileStore, accounts: AccountStore, graph: GraphClient
    ) -> None:
        self._settings = settings
        self._store = store
        self._accounts = accounts
        self._graph = graph

    async def run(self, *, deadline: Deadline) -> int:
        """Returns how many unknown sends did leave. A later run looks for the rest again.

        Raises the database's errors; the sends that are found stay marked.
        """
        conversations = await self._store.take_unknown(older_than_s=OLDER_THAN_S, limit=MOST_SENDS)
        settled = 0
        for _, of_account in groupby(conversations, key=lambda conversation: conversation.account_id):
            settled += await self._search_account(list(of_account), deadline)
        return settled

    async def _search_account(self, conversations: Sequence[UnknownSendConversation], deadline: Deadline) -> int:
        account_id, token = conversations[0].account_id, conversations[0].token
        access = access_to(account_id, token, self._settings)
        if isinstance(access, NoAccess):
            _log.warning("Unknown sends not looked for", account_id=account_id, code=access.code)
            return 0
        settled = 0
        for index, conversation in enumerate(conversations):
            await asyncio.sleep(PAUSE_S if index > 0 else 0)
            if deadline.left_s() < CALL_TIMEOUT_S:
                break
            try:
                messages = await self._messages(access, conversation)
            except Exception as error:
                verdict = classify(error)
                _log.warning("Unknown sends not looked for", account_id=account_id, code=verdict.code)
                await self._accounts.stop(account_id, verdict, failed=token)
                if verdict.retryable or verdict.account_stop:
                    break  # the next conversation of the account would fail in the same way
                continue
            settled += await self._store.settle(conversation, messages)
        return settled

    async def _messages(self, access: Credentials, conversation: UnknownSendConversation) -> list[ConversationMessage]:
        """Returns the messages of `conversation` that the account sent."""
        messages = await self._graph.conversation_messages(access, conversation.contact_id, timeout_s=CALL_TIMEOUT_S)
        return [ours for message in messages if (ours := sent_by_us(message, conversation.contact_id)) is not None]


def sent_by_us(message: Mapping[str, object], contact_id: str) -> ConversationMessage | None:
    """Returns `message` if the account sent it. None if `contact_id` sent it, or if its sender is not known.

    A conversation has two sides: a message that `contact_id` did not send is ours, under whichever of our ids. Meta
    shows an attachment without its kind, so a reply that is an attachment is found by its echo only.
    """
    mid, sender, text = message.get("id"), message.get("from"), message.get("message")
    sender_id = sender.get("id") if isinstance(sender, Mapping) else None
    at = _moment(message.get("created_time"))
    if at is None or not (isinstance(mid, str) and isinstance(text, str) and isinstance(sender_id, str)):
        return None
    return ConversationMessage(mid=mid, text=text, at=at) if mid and text and sender_id != contact_id else None


def _moment(created_time: object) -> datetime | None:
    """Returns the time in `2026-11-24T15:47:17+0000`, as Meta writes it, or None if it is no such time."""
    try:
        moment = datetime.fromisoformat(created_time) if isinstance(created_time, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
