"""Calls of a command: repeated while their error is retryable, then explained in a sentence."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
import httpx

from lib.errors.classify import classify

T = TypeVar("T")

ATTEMPTS = 5
FIRST_PAUSE_S = 0.2

LONGEST_PAUSE_S = 30.0
"""A person waits for the command. Who asks for longer is asked again by the person."""


async def with_retries(call: Callable[[], Awaitable[T]]) -> T:
    """Returns what `call` returns. Repeats it while its error passes by itself. Raises its last error.

    The pauses are 3 s in all, or as long as the error asks for, at most 30 s each.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return await call()
        except Exception as error:
            verdict = classify(error)
            if not verdict.retryable or verdict.is_outage:
                raise  # a wrong key stays wrong while a command waits
            pause_s = verdict.retry_after or FIRST_PAUSE_S * 2 ** (attempt - 1)
            if pause_s > LONGEST_PAUSE_S:
                raise
            await asyncio.sleep(pause_s)
    return await call()


async def or_exit(call: Callable[[], Awaitable[T]], failure: str) -> T:
    """Returns what `call` returns, with retries. Ends the command with `failure` and the reason if it still fails."""
    try:
        return await with_retries(call)
    except httpx.ConnectError:
        raise  # `on_project` explains that nothing answers
    except Exception as error:
        verdict = classify(error)
        raise click.ClickException(f"{failure}: {verdict.code}, {verdict.message}.") from error
