"""A function of ours in this process: loaded as the platform loads it, called without a server, on a network in memory.

Knows ASGI and httpcore. Must not import either, or a function, before it is asked to: a fresh process is measured here.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from dev.functions import find_functions
from dev.stack import keys
from dev.stack.config import ROOT, StackConfig
from dev.stack.stack import Stack

if TYPE_CHECKING:
    import httpcore

App: TypeAlias = Callable[..., Awaitable[None]]
Answerer: TypeAlias = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]
"""The target of a request and its body, to the status and the body of an answer."""

WEBHOOK, INGEST = "/api/webhooks/instagram", "/api/internal/ingest-event"
CONSUMER, FAILURE, HEALTH = "/api/qstash/instagram-ingestion", "/api/qstash/instagram-failure", "/api/health"
BASE_URL = "https://bench.example"


@dataclass(frozen=True)
class Call:
    """One request to a function."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] | None = None


def settings() -> dict[str, str]:
    """The environment of a function: the laptop's, under addresses of the real kind."""
    return Stack(StackConfig()).env | {
        "PUBLIC_URL": BASE_URL,
        "QSTASH_URL": "https://qstash.example",
        "SUPABASE_URL": "https://supabase.example",
    }


def load(path: str) -> App:
    """The function at `path`, imported now."""
    os.environ.update(settings())
    return find_functions(ROOT)[path].load()


async def call(app: App, request: Call) -> tuple[int, bytes]:
    """Its answer: status and body."""
    sent: list[dict[str, Any]] = []
    received = False

    async def receive() -> dict[str, Any]:
        nonlocal received
        if received:
            await asyncio.Event().wait()
        received = True
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

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
    return int(sent[0]["status"]), b"".join(message.get("body", b"") for message in sent[1:])


@contextlib.contextmanager
def network(answer: Answerer) -> Iterator[None]:
    """Inside, whatever is sent by httpcore, or by httpx on top of it, is answered by `answer`, without a socket."""
    import httpcore  # noqa: PLC0415  only who sends something pays for it

    real = httpcore.AsyncConnectionPool.handle_async_request

    async def handle(_pool: object, request: "httpcore.Request") -> "httpcore.Response":
        assert isinstance(request.stream, AsyncIterable)
        body = b"".join([piece async for piece in request.stream])
        status, content = await answer(request.url.target.decode(), body)
        headers = [("content-type", "application/json"), ("content-length", str(len(content)))]
        return httpcore.Response(status, headers=headers, content=content)

    httpcore.AsyncConnectionPool.handle_async_request = handle  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        httpcore.AsyncConnectionPool.handle_async_request = real  # type: ignore[method-assign]


def webhook_body(events: int) -> bytes:
    """A webhook with so many messages, as Meta writes it."""
    from dev.graph.mids import new_mid  # noqa: PLC0415

    account, now_ms = keys.ACCOUNT_ID, time.time_ns() // 1_000_000
    items = []
    for number in range(events):
        person = str(6_000_000_000_000_000 + number)
        mid = new_mid(account, person, now_us=now_ms * 1000 + number)
        words = {"mid": mid, "text": f"Hello, is the blue one still there? I would take {number} \U0001f499"}
        items.append(
            {"sender": {"id": person}, "recipient": {"id": account}, "timestamp": now_ms + number, "message": words}
        )
    body = {"object": "instagram", "entry": [{"time": now_ms, "id": account, "messaging": items}]}
    return json.dumps(body).encode("ascii")


def webhook_call(body: bytes) -> Call:
    """The webhook with `body`, signed."""
    signature = hmac.new(keys.APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-hub-signature-256": f"sha256={signature}", "content-type": "application/json"}
    return Call("POST", WEBHOOK, body, headers)
