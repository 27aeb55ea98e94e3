"""Looks for sends with an unknown outcome in their conversations, if no echo came for them.

The SQL function `settle_unknown` matches messages to sends, as it matches echoes. Nothing is sent here: a send that is
not found stays unknown, for a person to decide.
"""

import asyncio
from collections.abc import Sequence
from itertools import groupby

from lib.accounts.access import NoAccess, access_to
from lib.accounts.store import AccountStore
from lib.core import log
from lib.core.deadline import Deadline
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.graph.client import GraphClient
from lib.graph.conversation import ConversationMessage, sent_by_us
from lib.graph.transport import Credentials
from lib.recovery.reconcile_store import ReconcileStore, UnknownSendConversation

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
        return sent_by_us(messages, conversation.contact_id)
