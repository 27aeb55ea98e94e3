"""Calls of an operator's command that outlast what passes, and end in a sentence where it does not.

Knows verdicts and how long to wait. Must not know what is called.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
import httpx

from lib.errors.classify import classify

T = TypeVar("T")

ATTEMPTS = 5
FIRST_PAUSE_S = 0.2


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` answers, tried again while it fails with something that passes: 3 s in all, or as long as the
    cause asks for. Raises its last error.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return await call()
        except Exception as error:
            verdict = classify(error)
            if not verdict.retryable:
                raise
            await asyncio.sleep(verdict.retry_after or FIRST_PAUSE_S * 2 ** (attempt - 1))
    return await call()


async def or_explain(call: Callable[[], Awaitable[T]], what: str) -> T:
    """As `patiently`, for a call the command cannot go on without: its last error becomes a sentence.

    Where nothing answers at all, `httpx.ConnectError` passes: the caller knows what should be there.
    """
    try:
        return await patiently(call)
    except httpx.ConnectError:
        raise
    except Exception as error:
        verdict = classify(error)
        raise click.ClickException(f"{what}: {verdict.code}, {verdict.message}.") from error
