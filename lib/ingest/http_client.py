"""The HTTP client that posts from the webhook function to the internal endpoint, on a kept connection.

It uses httpcore, the library below httpx. With httpx, a webhook of one event takes about a third longer and the imports
nearly half as long again (bench/report.md, "httpcore or httpx under the hop").
"""

import ssl
from collections.abc import Mapping

import certifi
import httpcore

CONNECT_TIMEOUT_S = 3.0
MAX_CONNECTIONS = 64
KEEPALIVE_S = 5.0


class IngestHttpClient:
    """One instance for each process. It never follows a redirect: our endpoint makes none."""

    def __init__(self, url: str, *, network: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._url = httpcore.URL(url)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(cafile=certifi.where()) if url.startswith("https:") else None,
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=network,
        )

    async def post(self, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> tuple[int, bytes]:
        """Returns the status and the body of the answer.

        `timeout_s` bounds each step of the request, not the whole. Raises the errors of httpcore.
        """
        response = await self._pool.request(
            "POST",
            self._url,
            headers=list(headers.items()),
            content=body,
            extensions={
                "timeout": {
                    "connect": min(timeout_s, CONNECT_TIMEOUT_S),
                    "pool": timeout_s,
                    "write": timeout_s,
                    "read": timeout_s,
                }
            },
        )
        return response.status, response.content

    async def close(self) -> None:
        """Closes the connections."""
        await self._pool.aclose()
