"""The hop from the webhook function to the internal endpoint: one POST, on a connection that is kept.

Knows HTTP, by httpcore rather than by httpx, which stands on it: what httpx does for callers of many kinds would be
half of a small webhook's time, and much of a cold start. Must not know events, nor what an answer means.
"""

import ssl
from collections.abc import Mapping

import certifi
import httpcore

CONNECT_TIMEOUT_S = 3.0
MAX_CONNECTIONS = 64
KEPT_S = 5.0


class IngestHttpClient:
    """One instance a process. Never follows a redirect, as no destination of ours makes one."""

    def __init__(self, url: str, *, network: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._url = httpcore.URL(url)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(cafile=certifi.where()) if url.startswith("https:") else None,
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEPT_S,
            network_backend=network,
        )

    async def post(self, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> tuple[int, bytes]:
        """The status and the body of the answer. `timeout_s` bounds each step of it, not the whole.

        Raises what httpcore raises: it did not connect, broke off, or took too long.
        """
        answer = await self._pool.request(
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
        return answer.status, answer.content

    async def close(self) -> None:
        """Closes the connections."""
        await self._pool.aclose()
