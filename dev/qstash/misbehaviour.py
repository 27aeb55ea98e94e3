"""Acts on the publish faults: closes connections, keeps clients waiting, answers nonsense.

Source of the 429 headers: Upstash, API rate limits, and the `qstash` SDK, `http.py`.
"""

import asyncio
import json
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dev.connection import cut, until_gone
from dev.qstash.faults import Faults

_PUBLISHING = ("/v2/publish/", "/v2/enqueue/", "/v2/batch")


class Misbehaviour:
    """ASGI middleware around the application, for publish requests. `stopping` ends every hanging request."""

    def __init__(self, app: ASGIApp, faults: Faults, stopping: asyncio.Event) -> None:
        self._app = app
        self._faults = faults
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_PUBLISHING):
            await self._app(scope, receive, send)
            return
        fault, status, latency_ms = self._faults.take()
        if latency_ms:
            await self._pause(latency_ms / 1000)
        match fault:
            case "refuse":
                await cut(receive)
            case "lost":
                await self._app(scope, receive, _swallow)
                await cut(receive)
            case "hang":
                await self._hang(receive)
            case "ok" | "partial":
                scope["qstash.partial"] = fault == "partial"
                await self._app(scope, receive, send)
            case "garbage":
                await _answer(send, 200, b"<html>not what you asked for</html>", {"content-type": "text/html"})
            case "error":
                await _answer(send, status, json.dumps({"error": "internal error (fault)"}).encode())
            case "rate_limit":
                await _limit(send, "Burst-RateLimit", "Exceeded burst rate limit.", time.time() + 1)
            case "daily_limit":
                await _limit(send, "RateLimit", "Exceeded daily rate limit.", time.time() + 3600)

    async def _hang(self, receive: Receive) -> None:
        waiting = asyncio.ensure_future(until_gone(receive))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not waiting.done():
                waiting.cancel()
                await cut(receive)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), timeout=seconds)
        except TimeoutError:
            return


async def _swallow(message: Message) -> None:
    """Takes an answer that the client never gets."""


async def _limit(send: Send, prefix: str, message: str, reset_s: float) -> None:
    headers = {f"{prefix}-Limit": "100", f"{prefix}-Remaining": "0", f"{prefix}-Reset": str(int(reset_s))}
    await _answer(send, 429, json.dumps({"error": message}).encode(), headers)


async def _answer(send: Send, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    all_headers = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    pairs = [(name.lower().encode(), value.encode()) for name, value in all_headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
