"""The daily refresh: renews access tokens before they expire after 60 days, and warns of those it cannot renew.

The SQL function `tokens_due_for_refresh` says which tokens are due.
"""

import asyncio
import time
from typing import Literal, TypeAlias

from lib.accounts.access import AccountToken, NoAccess, access_to
from lib.accounts.store import AccountStore, ExpiringToken
from lib.accounts.tokens import seal
from lib.core import log
from lib.core.deadline import Deadline
from lib.core.model import Model
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.graph.client import GraphClient

CONCURRENT_REFRESHES = 4
CALL_TIMEOUT_S = 5.0

_log = log.get(__name__)
_summary_log = log.summary(__name__)


class Failure(Model):
    """An account whose token was not refreshed. `code` is the code of the error."""

    account_id: str
    code: str


class Report(Model):
    """The result of one run. `expiring` are the tokens that end soon, refreshed or not: a person must look at them."""

    refreshed: int
    failed: list[Failure]
    expiring: list[ExpiringToken]


_Outcome: TypeAlias = Literal["refreshed", "replaced", "left"] | Failure
"""`replaced`: another run or a person stored a newer token first. `left`: time is up, the next run does it."""


class Refresher:
    """Refreshes tokens. Two runs at the same time do no harm: each replaces only the token that it refreshed."""

    def __init__(self, settings: Settings, *, accounts: AccountStore, graph: GraphClient) -> None:
        self._settings = settings
        self._accounts = accounts
        self._graph = graph

    async def run(self, *, deadline: Deadline) -> Report:
        """Refreshes the tokens that are due. Starts no refresh after the deadline. Raises the database's errors."""
        started_s = time.monotonic()
        due = await self._accounts.due_for_refresh(older_than_days=self._settings.token_refresh_after_days)
        outcomes = await self._refresh_all(due, deadline)
        report = Report(
            refreshed=outcomes.count("refreshed"),
            failed=[outcome for outcome in outcomes if isinstance(outcome, Failure)],
            expiring=await self._accounts.expiring(),
        )
        for failure in report.failed:
            _log.warning("Access not refreshed", account_id=failure.account_id, code=failure.code)
        for expiring in report.expiring:
            _log.warning("Access expires", account_id=expiring.account_id, days_left=expiring.days_left)
        left = outcomes.count("left")
        _summary_log.info(
            "Access refreshed",
            due=len(due),
            refreshed=report.refreshed,
            failed=len(report.failed),
            left=left,
            outcome="unfinished" if left else "done",
            code="ok",
            ms=log.ms_since(started_s),
        )
        return report

    async def _refresh_all(self, due: list[AccountToken], deadline: Deadline) -> list[_Outcome]:
        """Returns one outcome for each token, in order. A failure of one account does not stop the others."""
        gate = asyncio.Semaphore(CONCURRENT_REFRESHES)

        async def refresh(account: AccountToken) -> _Outcome:
            async with gate:
                return await self._refresh(account) if deadline.left_s() > 0 else "left"

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(refresh(account)) for account in due]
        return [task.result() for task in tasks]

    async def _refresh(self, account: AccountToken) -> _Outcome:
        access = access_to(account.account_id, account.token, self._settings)
        if isinstance(access, NoAccess):
            return Failure(account_id=account.account_id, code=access.code)
        try:
            token, life_s = await self._graph.refresh_token(access, CALL_TIMEOUT_S)
        except Exception as error:
            verdict = classify(error)
            await self._accounts.stop(account.account_id, verdict, failed=account.token)
            return Failure(account_id=account.account_id, code=verdict.code)
        ciphertext = seal(token, account_id=account.account_id, keys=self._settings.token_encryption_keys)
        # Only if the refreshed token is still the stored one: a person may have added a newer one meanwhile.
        replaced = await self._accounts.replace_token(
            account.account_id, replaced=account.token, ciphertext=ciphertext, life_s=life_s
        )
        return "refreshed" if replaced else "replaced"
