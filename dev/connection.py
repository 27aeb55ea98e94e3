"""What the stand-ins do with a client's connection that ASGI has no words for. Works under uvicorn only."""

import asyncio
from typing import Any
from weakref import WeakSet

from starlette.requests import Request
from starlette.types import Receive

LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
LONGEST_HANG_S = 120.0


class Connections:
    """Remembers which connections have brought a request."""

    def __init__(self) -> None:
        self._known: WeakSet[Any] = WeakSet()

    def meet(self, receive: Receive) -> bool:
        """Returns whether the connection of this request has brought one before: the client has kept it."""
        connection = _cycle(receive).transport.get_protocol()
        is_kept = connection in self._known
        self._known.add(connection)
        return is_kept


async def cut(receive: Receive) -> None:
    """Closes the connection without a byte of answer. Returns once uvicorn has noticed."""
    _cycle(receive).transport.abort()
    await until_gone(receive)


async def close_idle(receive: Receive, after_s: float) -> None:
    """Closes the connection `after_s` after its answer, if the client has sent no other request meanwhile."""
    cycle = _cycle(receive)
    await asyncio.sleep(after_s)
    connection = cycle.transport.get_protocol()
    if connection.cycle is cycle:
        cycle.transport.close()


def _cycle(receive: Receive) -> Any:
    """Returns uvicorn's cycle of request and answer: `receive` is its method, and it holds the transport."""
    cycle = getattr(receive, "__self__", None)
    if not hasattr(cycle, "transport"):
        raise RuntimeError("only uvicorn lets a request touch its connection")
    return cycle


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
