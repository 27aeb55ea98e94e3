"""What the stand-ins do with a client's connection that ASGI has no words for. Works under uvicorn only."""

import asyncio

from starlette.requests import Request
from starlette.types import Receive

LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
LONGEST_HANG_S = 120.0


async def cut(receive: Receive) -> None:
    """Closes the connection without a byte of answer. Returns once uvicorn has noticed."""
    # uvicorn's `receive` is a method of its request cycle, which holds the transport.
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("only connections of uvicorn can be cut")
    transport.abort()
    await until_gone(receive)


async def until_gone(receive: Receive) -> None:
    """Waits until the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def hang(receive: Receive) -> None:
    """Waits until the client has closed the connection, and cuts it after two minutes."""
    try:
        async with asyncio.timeout(LONGEST_HANG_S):
            await until_gone(receive)
    except TimeoutError:
        await cut(receive)


def is_of_this_machine(request: Request) -> bool:
    """Returns whether the request comes from this machine. The stand-ins' own switches ask for no password."""
    return request.client is not None and request.client.host in LOOPBACK
