"""Ways not to answer: cutting the connection, and hanging until the caller gives up.

Knows uvicorn's insides, which ASGI has no words for. Must not know why.
"""

import asyncio
from typing import Any

from starlette.requests import Request

_LONGEST_HANG_S = 120.0


async def cut(request: Request) -> None:
    """Closes the connection as it stands: the caller gets not one byte. Works under uvicorn only."""
    # `receive` is a method of uvicorn's request cycle, and that holds the transport.
    cycle: Any = getattr(request.receive, "__self__", None)
    transport: Any = getattr(cycle, "transport", None)
    if transport is None:
        raise RuntimeError("only uvicorn's connections can be cut")
    transport.abort()
    # Until uvicorn has noticed, it would complain that nothing was answered.
    while not cycle.disconnected:  # noqa: ASYNC110  a few turns of the loop; uvicorn has no event for it
        await asyncio.sleep(0)


async def hang(request: Request) -> None:
    """Waits until the caller has gone (or two minutes have passed, and then cuts)."""
    try:
        async with asyncio.timeout(_LONGEST_HANG_S):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        await cut(request)
