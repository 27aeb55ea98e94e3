"""The connections of one process: kept after an answer, and taken again while they are fresh."""

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from lib.http.connection import Answer, Connection
from lib.http.errors import ConnectTimedOut, NoFreeConnection, NotConnected

CONNECT_TIMEOUT_S = 3.0
KEEPALIVE_S = 5.0
"""How long an idle connection is kept, in seconds. Most servers keep theirs longer."""

_HEAD = re.compile(rb"[A-Z]+ [!-~]+ HTTP/1\.1\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++: [\t -~\x80-\xff]*+\r\n)*+")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request goes."""

    host: str
    port: int
    is_tls: bool

    @classmethod
    def of(cls, scheme: str, host: str, port: int | None) -> "Origin":
        """Returns the origin of an `http` or `https` URL. Without a `port` it is the scheme's own."""
        is_tls = scheme == "https"
        return cls(host, port or (443 if is_tls else 80), is_tls)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, or None for no limit: for a free connection, until it is open, and until the answer is there."""

    pool_s: float | None
    connect_s: float | None
    answer_s: float | None


class Pool:
    """Keeps up to `max_idle` idle connections an origin, for `keepalive_s`; has at most `max_connections` in use.

    An answer is read as a whole, up to `max_bytes`. `tls` makes the context for the first `https` request.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        max_idle: int,
        max_bytes: int,
        tls: Callable[[], ssl.SSLContext],
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        self._keepalive_s = keepalive_s
        self._max_idle = max_idle
        self._max_bytes = max_bytes
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._free = asyncio.Semaphore(max_connections)
        self._idle: dict[Origin, list[Connection]] = {}

    async def ask(self, origin: Origin, request: bytes, timeouts: Timeouts) -> Answer:
        """Returns the answer to `request` (`encode_request`). Raises `NoAnswer`; its subclasses say why."""
        await self._wait_for_turn(timeouts.pool_s)
        try:
            connection = self._take_idle(origin) or await self._connect(origin, timeouts.connect_s)
            answer = await connection.ask(request, timeout_s=timeouts.answer_s, max_bytes=self._max_bytes)
            self._keep(origin, connection)
            return answer
        finally:
            self._free.release()

    async def close(self) -> None:
        """Closes the idle connections."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()
        await asyncio.sleep(0)  # the event loop closes the sockets in its next turn

    async def _wait_for_turn(self, timeout_s: float | None) -> None:
        if not self._free.locked():
            await self._free.acquire()  # at once: no other task runs in between
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._free.acquire()
        except TimeoutError:
            raise NoFreeConnection from None

    def _take_idle(self, origin: Origin) -> Connection | None:
        connections = self._idle.get(origin, [])
        while connections:
            connection = connections.pop()  # the one that was used last
            if monotonic() - connection.idle_since_s <= self._keepalive_s and connection.is_usable():
                return connection
            connection.close()
        return None

    def _keep(self, origin: Origin, connection: Connection) -> None:
        connections = self._idle.setdefault(origin, [])
        if connection.is_closed or len(connections) >= self._max_idle:
            connection.close()
            return
        connection.idle_since_s = monotonic()
        connections.append(connection)

    async def _connect(self, origin: Origin, timeout_s: float | None) -> Connection:
        if origin.is_tls and self._tls is None:
            self._tls = self._make_tls()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await loop.create_connection(
                    Connection, origin.host, origin.port, ssl=self._tls if origin.is_tls else None
                )
        except TimeoutError:
            raise ConnectTimedOut from None
        except (OSError, UnicodeError) as error:  # a name that is no host's is a UnicodeError
            raise NotConnected(type(error).__name__) from None
        return connection


def encode_request(method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Returns the bytes of a request. `headers` hold `Host`, and `Content-Length` if there is a body.

    Raises `ValueError` if the head is none by RFC 9112: a line break in it would be another header.
    """
    head = b"%s %s HTTP/1.1\r\n%s" % (method, target, b"".join([b"%s: %s\r\n" % header for header in headers]))
    if head.count(b"\n") != len(headers) + 1 or not _HEAD.fullmatch(head):
        raise ValueError("a header or the target of the request can not be written")
    return b"%s\r\n%s" % (head, body)
