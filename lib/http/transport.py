"""The pool under httpx, and so under the clients of Supabase and QStash.

httpx's own pool looks at every connection at each request, and waits through anyio: at 16 requests at once that is more
than half of the processor time of a delivery (bench/report.md, "The HTTP client").
"""

import urllib.request
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import httpx

from lib.http import errors
from lib.http.pool import CONNECT_TIMEOUT_S, KEEPALIVE_S, Origin, Pool, Timeouts, encode_request
from lib.http.tls import tls_context

if TYPE_CHECKING:
    from httpx._types import QueryParamTypes

_HTTPX_ERRORS: tuple[tuple[type[errors.NoAnswer], type[httpx.TransportError]], ...] = (
    (errors.NotConnected, httpx.ConnectError),
    (errors.ConnectTimedOut, httpx.ConnectTimeout),
    (errors.NoFreeConnection, httpx.PoolTimeout),
    (errors.AnswerTimedOut, httpx.ReadTimeout),
    (errors.MetClosed, httpx.ReadError),
    (errors.NoAnswer, httpx.RemoteProtocolError),
)


def client(
    *,
    timeout_s: float | None,
    max_connections: int,
    max_idle: int,
    max_bytes: int,
    keepalive_s: float = KEEPALIVE_S,
    trust_env: bool = True,
) -> httpx.AsyncClient:
    """Returns an HTTP client: at most so many connections in use and idle, and so many bytes of an answer.

    The client follows no redirect and keeps no cookie: no destination of ours needs one. It uses the proxy that the
    environment names, if it may trust the environment.
    """
    timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
    if trust_env and {"http", "https", "all"} & urllib.request.getproxies().keys():
        # A command on a laptop behind a proxy. httpx knows proxies, and here speed matters less.
        limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_idle)
        return httpx.AsyncClient(timeout=timeout, limits=limits)
    pool = Pool(
        max_connections=max_connections,
        max_idle=max_idle,
        max_bytes=max_bytes,
        tls=tls_context,
        keepalive_s=keepalive_s,
    )
    return _Client(transport=PoolTransport(pool), timeout=timeout)


@lru_cache(maxsize=128)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


class PoolTransport(httpx.AsyncBaseTransport):
    """A transport of httpx. It raises the errors of httpx; the cause of each is an error of `lib.http.errors`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Returns the whole answer. The time-out for reading bounds the whole answer too."""
        url = request.url
        if url.scheme not in {"http", "https"}:
            raise httpx.UnsupportedProtocol(f"no client for {url.scheme or 'a URL without a scheme'}")
        body = await request.aread()
        timeouts = request.extensions.get("timeout", {})
        try:
            answer = await self._pool.ask(
                Origin.of(url.scheme, url.host, url.port),
                encode_request(request.method.encode("ascii"), url.raw_path, request.headers.raw, body),
                Timeouts(timeouts.get("pool"), timeouts.get("connect"), timeouts.get("read")),
            )
        except errors.NoAnswer as error:
            kind = next(theirs for ours, theirs in _HTTPX_ERRORS if isinstance(error, ours))
            raise kind(str(error)) from error
        except ValueError as error:
            raise httpx.LocalProtocolError(str(error)) from None
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body)

    async def aclose(self) -> None:
        """Closes the idle connections."""
        await self._pool.close()


class _Client(httpx.AsyncClient):
    """Sends at once, without httpx's steps for cookies, redirects and authentication.

    They are a seventh of the processor time of a delivery, and do nothing here.
    """

    def build_request(
        self, method: str, url: httpx.URL | str, *, params: "QueryParamTypes | None" = None, **options: Any
    ) -> httpx.Request:
        """Returns the request. httpx takes each URL apart anew, and once more for a query that is empty."""
        return super().build_request(method, _parsed(str(url)), params=params or None, **options)

    async def send(self, request: httpx.Request, **_options: Any) -> httpx.Response:
        """Returns the whole answer."""
        response = await self._transport.handle_async_request(request)
        response.request = request
        return response
