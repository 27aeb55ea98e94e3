"""A function in this process, called without a server."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

# The functions take over the streams and the hooks of their process. This process has its own to print to.
sys.modules.setdefault("lib.core.start_log", ModuleType("lib.core.start_log"))

App: TypeAlias = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Call:
    """One request to a function."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] | None = None


async def call(app: App, request: Call) -> tuple[int, bytes]:
    """Calls `app`. Returns the status and the body of the answer."""
    sent: list[dict[str, Any]] = []
    received = False

    async def receive() -> dict[str, Any]:
        nonlocal received
        if received:
            await asyncio.Event().wait()
        received = True
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    headers = {"host": "bench.example", "content-length": str(len(request.body)), **(request.headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "https",
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.1", 443),
        "server": ("bench.example", 443),
    }
    await app(scope, receive, send)
    return int(sent[0]["status"]), b"".join(event.get("body", b"") for event in sent[1:])
