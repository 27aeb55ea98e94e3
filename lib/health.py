"""Checks everything that this deployment depends on: Postgres, QStash, the stored tokens, the Graph API.

The checks never show the value of a setting.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lib.accounts.access import AccountToken, NoAccess, access_to, account_of, env_token_digest, usable_credentials
from lib.core import log
from lib.core.deadline import Deadline
from lib.core.model import Model
from lib.core.settings import Settings
from lib.database import read_answer
from lib.errors.classify import classify
from lib.graph.transport import Credentials
from lib.replies.rules import RuleBook

if TYPE_CHECKING:
    from lib.container import Container
    from lib.graph.client import GraphClient

CHECK_TIMEOUT_S = 5.0

MAX_TOKENS = 100
"""The most stored tokens that are decrypted as a check. A wrong key fails at the first one already."""

MAX_GRAPH_CALLS = 3
"""The most accounts that the Graph API is called for. The first one shows already whether it answers."""

_log = log.get(__name__)


class Check(Model):
    """The result of one check. `detail` has counts and states, never the value of a setting."""

    ok: bool
    ms: float
    code: str | None = None
    detail: dict[str, Any] | None = None


async def check_dependencies(services: "Container") -> dict[str, Check]:
    """Returns the checks by name. Each call is bounded by `CHECK_TIMEOUT_S`.

    The tokens are checked if some are stored, the reply rules and QStash's dead letter queue if there is something in
    them, and the Graph API if a token can be used.
    """
    postgres, qstash, dlq, stored, rules = await asyncio.gather(
        _timed(partial(_status, services)),
        _timed(services.publisher.ping),
        _check_dlq(services),
        _stored_tokens(services),
        _check_rules(services),
    )
    checks = {"postgres": postgres, "qstash": qstash}
    if dlq is not None:
        checks["qstash_dlq"] = dlq
    if rules is not None:
        checks["rules"] = rules
    if stored:
        checks["tokens"] = _check_keys(stored, services.settings)
    # A stopped account is in the answer of Postgres already, so its token is not tried.
    if usable := usable_credentials(stored, services.settings)[:MAX_GRAPH_CALLS]:
        checks["graph"] = await _check_graph(services.graph, usable)
    return checks


async def _status(services: "Container") -> dict[str, Any]:
    """Returns the counts of `ingestion_status`."""
    parameters = {"p_env_token": env_token_digest(services.settings)}
    return read_answer(await services.database.rpc("ingestion_status", parameters), dict[str, Any])


async def _stored_tokens(services: "Container") -> list[AccountToken]:
    """Returns the stored tokens, or [] if Postgres does not answer: its own check says so."""
    try:
        async with Deadline.after(CHECK_TIMEOUT_S).enforced():
            return await services.accounts.tokens(limit=MAX_TOKENS)
    except Exception as error:
        _log.warning("Stored accounts not checked", code=classify(error).code)
        return []


async def _check_dlq(services: "Container") -> Check | None:
    """Returns what QStash's own dead letter queue holds of ours, or None if it is empty, or QStash does not answer.

    QStash forgets an entry after some days. The sweeper takes entries in before that. An old one says that it did not.
    """
    started_s = time.monotonic()
    try:
        async with Deadline.after(CHECK_TIMEOUT_S).enforced():
            size = await services.dlq.measure()
    except Exception as error:
        _log.warning("QStash's dead letter queue not checked", code=classify(error).code)
        return None
    if not size.entries:
        return None
    return Check(
        ok=not size.expires_soon,
        ms=log.ms_since(started_s),
        code="qstash_dlq_expires_soon" if size.expires_soon else None,
        detail={
            "entries": f"{size.entries}+" if size.more else size.entries,
            "oldest_hours": None if size.oldest_hours is None else round(size.oldest_hours, 1),
        },
    )


async def read_rules(services: "Container") -> tuple[int, RuleBook]:
    """Returns how many rules are enabled, and those rules as the functions read them. Raises the database's errors."""
    rows = read_answer(await services.database.rpc("enabled_rules", {}), list[Any])
    return len(rows), RuleBook.of_rows(rows)


async def _check_rules(services: "Container") -> Check | None:
    """Returns whether every enabled rule is in force, or None without rules, or if Postgres does not answer."""
    started_s = time.monotonic()
    try:
        async with Deadline.after(CHECK_TIMEOUT_S).enforced():
            enabled, rules = await read_rules(services)
    except Exception as error:
        _log.warning("Reply rules not checked", code=classify(error).code)
        return None
    if not enabled:
        return None
    return Check(
        ok=not rules.bad,
        ms=log.ms_since(started_s),
        code="rules_left_out" if rules.bad else None,
        detail={
            "enabled": enabled,
            "left_out": [{"rule_id": bad.rule_id, "why": bad.reason} for bad in rules.bad],
        },
    )


def _check_keys(stored: Sequence[AccountToken], settings: Settings) -> Check:
    """Returns whether `TOKEN_ENCRYPTION_KEY` decrypts every stored token."""
    started_s = time.monotonic()
    accesses = {account.account_id: access_to(account.account_id, account.token, settings) for account in stored}
    unreadable = {account_id: access.code for account_id, access in accesses.items() if isinstance(access, NoAccess)}
    return Check(
        ok=not unreadable,
        ms=log.ms_since(started_s),
        code=next(iter(unreadable.values()), None),
        detail={"tried": len(stored), "unreadable": list(unreadable)},
    )


async def _check_graph(graph: "GraphClient", usable: Sequence[Credentials]) -> Check:
    checks = await asyncio.gather(*(_timed(partial(_me, graph, credentials)) for credentials in usable))
    failed = [check for check in checks if not check.ok]
    return Check(
        ok=not failed,
        ms=max(check.ms for check in checks),
        code=failed[0].code if failed else None,
        detail={
            "accounts": [
                check.detail or {"account_id": credentials.account_id, "code": check.code}
                for credentials, check in zip(usable, checks, strict=True)
            ]
        },
    )


async def _me(graph: "GraphClient", credentials: Credentials) -> dict[str, Any]:
    account = account_of(await graph.me(credentials, timeout_s=CHECK_TIMEOUT_S), credentials.flavour)
    if account is None:
        return {"account_id": credentials.account_id}
    return {"account_id": account.account_id, "username": account.username}


async def _timed(call: Callable[[], Awaitable[dict[str, Any] | None]]) -> Check:
    """Returns a check that is ok if `call` answers in time. Never raises."""
    started_s = time.monotonic()
    try:
        async with Deadline.after(CHECK_TIMEOUT_S).enforced():
            detail = await call()
    except Exception as error:
        return Check(ok=False, ms=log.ms_since(started_s), code=classify(error).code)
    return Check(ok=True, ms=log.ms_since(started_s), detail=detail)
