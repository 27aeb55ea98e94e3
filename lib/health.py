"""Is this deployment set up, and does what it depends on answer?

Knows what to ask of each dependency. Must not show a setting's value, nor ask anything for a caller who does
not hold the internal secret.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from lib.accounts import credentials_for
from lib.deadline import Deadline
from lib.errors import classify

if TYPE_CHECKING:
    from lib.instance import Instance

CHECK_TIMEOUT_S = 5.0


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one dependency said. `detail` has counts and states, never a value of a setting."""

    ok: bool
    ms: float
    code: str | None = None
    detail: dict[str, Any] | None = None


async def check_dependencies(here: "Instance") -> dict[str, Check]:
    """Asks Postgres, QStash and, where there is a token, Graph; side by side, each within `CHECK_TIMEOUT_S`."""
    checks: dict[str, Callable[[], Awaitable[dict[str, Any] | None]]] = {
        "postgres": here.store.status,
        "qstash": here.queue.ping,
    }
    credentials = credentials_for(here.settings.instagram_account_id, here.settings)
    if credentials is not None:
        token = credentials

        async def ask_graph() -> dict[str, Any]:
            me = await here.graph.me(token, timeout_s=CHECK_TIMEOUT_S)
            return {name: me[name] for name in ("user_id", "username") if name in me}

        checks["graph"] = ask_graph
    answers = await asyncio.gather(*(_ask(check) for check in checks.values()))
    return dict(zip(checks, answers, strict=True))


async def _ask(check: Callable[[], Awaitable[dict[str, Any] | None]]) -> Check:
    started = time.monotonic()
    try:
        async with Deadline.after(CHECK_TIMEOUT_S).enforced():
            detail = await check()
    except Exception as error:
        return Check(False, _ms_since(started), code=classify(error).code)
    return Check(True, _ms_since(started), detail=detail)


def _ms_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
