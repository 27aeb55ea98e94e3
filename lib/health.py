"""Is this deployment set up, and does what it depends on answer?

Knows what to ask of each dependency. Must not show a setting's value, nor ask anything for a caller who does
not hold the internal secret.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lib.accounts.access import NoAccess, access_to, account_of, env_token_for
from lib.accounts.store import AccountToken
from lib.core import log
from lib.core.deadline import Deadline
from lib.core.model import Model
from lib.core.settings import Settings
from lib.database import read_answer
from lib.errors.classify import classify
from lib.graph.transport import Credentials

if TYPE_CHECKING:
    from lib.container import Container
    from lib.graph.client import GraphClient

CHECK_TIMEOUT_S = 5.0

MAX_TOKENS = 100
"""So many stored tokens are tried with the keys; a wrong key fails at the first."""

MAX_ASKED = 3
"""For so many accounts the GraphClient API is asked; whether it answers at all, the first would show."""

_log = log.get(__name__)


class Check(Model):
    """What one dependency said. `detail` has counts and states, never a value of a setting."""

    ok: bool
    ms: float
    code: str | None = None
    detail: dict[str, Any] | None = None


async def check_dependencies(here: "Container") -> dict[str, Check]:
    """Asks Postgres and QStash, then, where there are tokens, tries the keys and asks GraphClient; each within
    `CHECK_TIMEOUT_S`. An account that is stopped already shows in Postgres' answer and is not asked again.
    """
    postgres, qstash, stored = await asyncio.gather(
        _ask(partial(_status, here)), _ask(here.publisher.ping), _stored(here)
    )
    checks = {"postgres": postgres, "qstash": qstash}
    if stored:
        checks["tokens"] = _try_keys(stored, here.settings)
    if askable := _askable(stored, here.settings):
        checks["graph"] = await _ask_graph(here.graph, askable)
    return checks


async def _status(here: "Container") -> dict[str, Any]:
    """The counts of `ingestion_status`."""
    return read_answer(await here.database.rpc("ingestion_status", {}), dict[str, Any])


async def _stored(here: "Container") -> list[AccountToken]:
    """The stored tokens; none where Postgres does not answer, which its own check says."""
    try:
        async with Deadline.after(CHECK_TIMEOUT_S).enforced():
            return await here.accounts.tokens(limit=MAX_TOKENS)
    except Exception as error:
        _log.warning("Stored accounts not checked", code=classify(error).code)
        return []


def _try_keys(stored: Sequence[AccountToken], settings: Settings) -> Check:
    started = time.monotonic()
    accesses = {held.account_id: access_to(held.account_id, held.token, settings) for held in stored}
    unreadable = {account_id: access.code for account_id, access in accesses.items() if isinstance(access, NoAccess)}
    return Check(
        ok=not unreadable,
        ms=log.ms_since(started),
        code=next(iter(unreadable.values()), None),
        detail={"tried": len(stored), "unreadable": list(unreadable)},
    )


def _askable(stored: Sequence[AccountToken], settings: Settings) -> list[Credentials]:
    accesses = [access_to(held.account_id, held.token, settings) for held in stored if held.state == "active"]
    env_account = env_token_for(settings)
    if env_account is not None and env_account not in (held.account_id for held in stored):
        accesses.insert(0, access_to(env_account, None, settings))
    return [access for access in accesses if not isinstance(access, NoAccess)][:MAX_ASKED]


async def _ask_graph(graph: "GraphClient", askable: Sequence[Credentials]) -> Check:
    answers = await asyncio.gather(*(_ask(partial(_me, graph, one)) for one in askable))
    failed = [answer for answer in answers if not answer.ok]
    return Check(
        ok=not failed,
        ms=max(answer.ms for answer in answers),
        code=failed[0].code if failed else None,
        detail={
            "accounts": [
                answer.detail or {"account_id": one.account_id, "code": answer.code}
                for one, answer in zip(askable, answers, strict=True)
            ]
        },
    )


async def _me(graph: "GraphClient", one: Credentials) -> dict[str, Any]:
    account = account_of(await graph.me(one, timeout_s=CHECK_TIMEOUT_S), one.flavour)
    if account is None:
        return {"account_id": one.account_id}
    return {"account_id": account.account_id, "username": account.username}


async def _ask(check: Callable[[], Awaitable[dict[str, Any] | None]]) -> Check:
    started = time.monotonic()
    try:
        async with Deadline.after(CHECK_TIMEOUT_S).enforced():
            detail = await check()
    except Exception as error:
        return Check(ok=False, ms=log.ms_since(started), code=classify(error).code)
    return Check(ok=True, ms=log.ms_since(started), detail=detail)
