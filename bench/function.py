"""A function in this process: loaded as the platform loads it, called without a server, on a network in memory."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias
from unittest.mock import patch

from bench.message import FIRST_PERSON, WORDS, message, now_ms, webhook
from dev.functions import find_functions
from dev.stack import keys
from dev.stack.config import ROOT, StackConfig
from dev.stack.stack import Stack
from lib.container import container
from lib.http.connection import Answer
from lib.http.pool import Pool
from lib.ingest.http_client import IngestHttpClient

# The functions take over the streams and the hooks of their process. This process has its own to print to.
sys.modules.setdefault("lib.core.start_log", ModuleType("lib.core.start_log"))

App: TypeAlias = Callable[..., Awaitable[None]]
Answerer: TypeAlias = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]
"""Takes the target and the body of a request; returns the status and the body of the answer."""

WEBHOOK, INGEST = "/api/webhooks/instagram", "/api/internal/ingest-event"
CONSUMER = "/api/qstash/instagram-ingestion"
BASE_URL = "https://bench.example"


@dataclass(frozen=True)
class Call:
    """One request to a function."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] | None = None


def settings() -> dict[str, str]:
    """Returns the environment of a function: the laptop's, with addresses as they are on the platform."""
    return Stack(StackConfig()).env | {
        "PUBLIC_URL": BASE_URL,
        "QSTASH_URL": "https://qstash.example",
        "SUPABASE_URL": "https://supabase.example",
    }


def load(path: str) -> App:
    """Imports the function at `path` and returns it."""
    os.environ.update(settings())
    return find_functions(ROOT)[path].load()


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


@contextlib.contextmanager
def network(answer: Answerer) -> Iterator[None]:
    """Lets `answer` answer every request of our HTTP client, without a socket."""

    async def ask(_pool: object, _origin: object, request: bytes, _timeouts: object) -> Answer:
        head, _, body = request.partition(b"\r\n\r\n")
        status, content = await answer(head.split(b" ")[1].decode(), body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        return Answer(status, headers, content)

    with patch.object(Pool, "ask", ask):
        yield


def webhook_body(events: int) -> bytes:
    """Returns the body of a webhook with `events` messages, as Meta writes it."""
    at_ms = now_ms()
    items = [
        message(str(FIRST_PERSON + number), WORDS.format(number=number), at_ms=at_ms, number=number)
        for number in range(events)
    ]
    return json.dumps(webhook(items, at_ms=at_ms)).encode("ascii")


def webhook_call(body: bytes) -> Call:
    """Returns the signed request of a webhook with `body`."""
    signature = hmac.new(keys.APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-hub-signature-256": f"sha256={signature}", "content-type": "application/json"}
    return Call("POST", WEBHOOK, body, headers)


async def answered(webhook: App, body: bytes) -> None:
    """Calls the webhook with `body`. Raises `RuntimeError` if no event of it was queued."""
    status, content = await call(webhook, webhook_call(body))
    if status != 200 or b'"queued":0' in content:
        raise RuntimeError(f"the webhook answered {status}: {content[:200]!r}")


def ingest_answer(body: bytes) -> bytes:
    """Returns the internal endpoint's answer if QStash took every event of the webhook `body`."""
    mids = [item["message"]["mid"] for item in json.loads(body)["entry"][0]["messaging"]]
    results = [{"event_id": f"ig_msg_{mid}", "status": "queued", "via": "queue", "message_id": "msg_1"} for mid in mids]
    return json.dumps({"results": results}).encode()


def use_ingest_client(client: IngestHttpClient) -> None:
    """Gives `client` to the webhook of this process."""
    vars(container()).pop("forwarder", None)
    vars(container())["ingest_client"] = client
    assert container().forwarder  # made now, and not while a clock runs
