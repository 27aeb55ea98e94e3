"""The daily refresh of access tokens, before their 60 days are over; and the warning where that does not help.

Knows what one account's failure means for the others: nothing. Must not know which tokens are due, nor how one is
refreshed; both have their reasons in Meta's rules (`tokens_due_for_refresh`, `graph`).
"""

import asyncio
import time
from typing import Literal, TypeAlias

from lib.accounts.access import NoAccess, access_to
from lib.accounts.store import AccountStore, AccountToken, ExpiringToken
from lib.accounts.tokens import seal
from lib.core import log
from lib.core.deadline import Deadline
from lib.core.model import Model
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.graph.client import GraphClient

AT_ONCE = 4
CALL_TIMEOUT_S = 5.0

_log = log.get(__name__)


class Failure(Model):
    """An account whose token was not refreshed, and the code of the verdict."""

    account_id: str
    code: str


class Report(Model):
    """What a run came to. `expiring` are those that have to be looked after, refreshed or not."""

    refreshed: int
    failed: list[Failure]
    expiring: list[ExpiringToken]


_Outcome: TypeAlias = Literal["refreshed", "replaced", "left"] | Failure
"""replaced: another run, or a person, was quicker. left: for the next run, as the time is up."""


class Refresher:
    """Refreshes tokens. Two runs at once do no harm: each puts a token only where the one it refreshed still is."""

    def __init__(self, settings: Settings, *, accounts: AccountStore, graph: GraphClient) -> None:
        self._settings = settings
        self._accounts = accounts
        self._graph = graph

    async def run(self, *, deadline: Deadline) -> Report:
        """Refreshes what is due, and begins none after the deadline. Raises what the database raises."""
        started_s = time.monotonic()
        due = await self._accounts.due_for_refresh(older_than_days=self._settings.token_refresh_after_days)
        turns = asyncio.Semaphore(AT_ONCE)

        async def in_turn(held: AccountToken) -> _Outcome:
            async with turns:
                return await self._refresh(held) if deadline.left_s() > 0 else "left"

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(in_turn(held)) for held in due]
        outcomes = [task.result() for task in tasks]
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
        _log.info(
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

    async def _refresh(self, held: AccountToken) -> _Outcome:
        access = access_to(held.account_id, held.token, self._settings)
        if isinstance(access, NoAccess):
            return Failure(account_id=held.account_id, code=access.code)
        try:
            token, life_s = await self._graph.refresh_token(access, CALL_TIMEOUT_S)
        except Exception as error:
            verdict = classify(error)
            await self._accounts.stop(held.account_id, verdict, failed=held.token)
            return Failure(account_id=held.account_id, code=verdict.code)
        ciphertext = seal(token, account_id=held.account_id, keys=self._settings.token_encryption_keys)
        replaced = await self._accounts.replace_token(
            held.account_id, replaced=held.token, ciphertext=ciphertext, life_s=life_s
        )
        return "refreshed" if replaced else "replaced"
