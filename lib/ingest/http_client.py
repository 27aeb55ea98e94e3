"""The HTTP client that posts from the webhook function to the internal endpoint, on a kept connection.

It uses our pool without httpx above it: a cold start of the webhook then has not to import httpx (bench/report.md,
"The HTTP client").
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from lib.http.pool import CONNECT_TIMEOUT_S, Origin, Pool, Timeouts, encode_request
from lib.http.tls import tls_context

MAX_CONNECTIONS = 64
MAX_ANSWER_BYTES = 4_500_000


class IngestHttpClient:
    """One instance for each process. It never follows a redirect: our endpoint makes none."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._origin = Origin.of(parts.scheme, parts.hostname or "", parts.port)
        self._host, self._target = parts.netloc.encode(), parts.path.encode()
        self._pool = Pool(
            max_connections=MAX_CONNECTIONS, max_idle=MAX_CONNECTIONS, max_bytes=MAX_ANSWER_BYTES, tls=tls_context
        )

    async def post(self, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> tuple[int, bytes]:
        """Returns the status and the body of the answer.

        `timeout_s` bounds each step of the request, not the whole. Raises `lib.http.errors.NoAnswer`.
        """
        head = [
            (b"Host", self._host),
            *((name.encode(), value.encode()) for name, value in headers.items()),
            (b"Content-Length", b"%d" % len(body)),
        ]
        answer = await self._pool.ask(
            self._origin,
            encode_request(b"POST", self._target, head, body),
            Timeouts(pool_s=timeout_s, connect_s=min(timeout_s, CONNECT_TIMEOUT_S), answer_s=timeout_s),
        )
        return answer.status, answer.body

    async def close(self) -> None:
        """Closes the connections."""
        await self._pool.close()
