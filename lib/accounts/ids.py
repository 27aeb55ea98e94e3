"""Learns both ids of an account from its own token.

`INSTAGRAM_ACCESS_TOKEN` alone leaves no row in `accounts`. Meta's privacy callbacks name an account by its second id.
That id must be known before the owner removes the app: after that the token can no longer tell it.
"""

import time

from lib.accounts.access import account_of
from lib.accounts.store import AccountStore
from lib.core import log
from lib.errors.classify import classify
from lib.graph.client import GraphClient
from lib.graph.transport import Credentials

CALL_TIMEOUT_S = 3.0

PAUSE_S = 600.0
"""How long an account is left alone after it could not be asked: a fault must not cost a call an event."""

_log = log.get(__name__)


class IdLearner:
    """Asks Meta whose token it is. One instance a process: it remembers which accounts could not be asked."""

    def __init__(self, accounts: AccountStore, graph: GraphClient) -> None:
        self._accounts = accounts
        self._graph = graph
        self._not_before_s: dict[str, float] = {}

    async def learn(self, access: Credentials, *, timeout_s: float) -> None:
        """Saves both ids of the account of `access`. Never raises: a later event asks again."""
        now_s = time.monotonic()
        if now_s < self._not_before_s.get(access.account_id, now_s) or timeout_s < CALL_TIMEOUT_S:
            return
        self._not_before_s[access.account_id] = now_s + PAUSE_S
        try:
            account = account_of(await self._graph.own_account(access, CALL_TIMEOUT_S), access.flavour)
            if account is None or account.app_scoped_id is None or account.account_id != access.account_id:
                _log.warning("The token is of another account", account_id=access.account_id, code="wrong_account")
                return
            await self._accounts.learn(account)
        except Exception as error:
            _log.warning("Account ids not learned", account_id=access.account_id, code=classify(error).code)
        else:
            del self._not_before_s[access.account_id]
