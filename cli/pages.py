"""Works through many rows of a hosted project: page by page, a few rows at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

CONCURRENCY = 8
"""A hosted project is tens of milliseconds away. Its database is idle for most of that time."""


async def for_each(next_page: Callable[[T | None], Awaitable[list[T]]], work: Callable[[T], Awaitable[None]]) -> None:
    """Calls `work` for each row. `next_page` takes the last row of the page before, or None for the first page."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def gated(row: T) -> None:
        async with gate:
            await work(row)

    rows = await next_page(None)
    while rows:
        await asyncio.gather(*map(gated, rows))
        rows = await next_page(rows[-1])
