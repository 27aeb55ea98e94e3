"""The GraphClient stand-in and a webhook receiver under real servers, and `lib.graph` as their client."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dev.graph import GraphConfig, create_app
from lib.graph.client import GraphClient
from lib.graph.transport import MAX_ANSWER_BYTES, Credentials
from lib.http.transport import client
from tests.support.servers import served

APP_SECRET = "the-app-secret"
ACCOUNT = "17841400000000001"
TOKEN = "local-very-secret-token"
PERSON = "1623552688727379"

Result = TypeVar("Result")


def credentials(**changes: Any) -> Credentials:
    values = {"account_id": ACCOUNT, "token": TOKEN, "flavour": "instagram", **changes}
    return Credentials(**values)


def server_of(app: Starlette) -> uvicorn.Server:
    config = uvicorn.Config(app, log_level="error", access_log=False, ws="none", timeout_graceful_shutdown=1)
    return uvicorn.Server(config)


@dataclass
class Webhooks:
    """What our webhook route would have been sent. `status` is what it answers."""

    url: str = ""
    status: int = 200
    received: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    def app(self) -> Starlette:
        async def receive(request: Request) -> Response:
            self.received.append((await request.body(), dict(request.headers)))
            return Response(status_code=self.status)

        return Starlette(routes=[Route("/api/webhooks/instagram", receive, methods=["POST"])])

    def wait_for(self, count: int, *, within_s: float = 5.0) -> list[dict[str, Any]]:
        """The bodies, once there are `count`."""
        end = time.monotonic() + within_s
        while len(self.received) < count and time.monotonic() < end:
            time.sleep(0.02)
        assert len(self.received) >= count, f"{len(self.received)} of {count} webhooks came"
        return [json.loads(body) for body, _ in self.received]


@dataclass
class Meta:
    """The stand-in, its switches, and our client for it."""

    url: str
    webhooks: Webhooks
    admin: httpx.Client

    def ask(self, action: Callable[[GraphClient], Awaitable[Result]]) -> Result:
        """What `action` comes to, with a `GraphClient` of its own."""

        async def run() -> Result:
            async with client(timeout_s=10, max_connections=8, max_idle=0, max_bytes=MAX_ANSWER_BYTES) as http:
                return await action(self.graph(http))

        return asyncio.run(run())

    def graph(self, http: httpx.AsyncClient) -> GraphClient:
        return GraphClient(http, version="v26.0", instagram_url=self.url, facebook_url=self.url)

    def send(self, text: str = "Hello", *, to: str = PERSON, timeout_s: float = 5.0, **changes: Any) -> str:
        creds = credentials(**changes)
        return self.ask(
            lambda graph: graph.send(creds, recipient={"id": to}, message={"text": text}, timeout_s=timeout_s)
        )

    def fault(self, endpoint: str, fault: str, **more: object) -> None:
        self.post("faults", {"endpoint": endpoint, "fault": fault, **more})

    def post(self, name: str, body: object) -> Any:
        answer = self.admin.post(f"/__dev/{name}", content=json.dumps(body))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def sent(self) -> list[dict[str, Any]]:
        return list(self.admin.get("/__dev/sent").json())

    def calls(self) -> list[dict[str, Any]]:
        return list(self.admin.get("/__dev/calls").json())


@pytest.fixture(scope="session")
def running() -> Iterator[Meta]:
    webhooks = Webhooks()
    with served(server_of(webhooks.app())) as base_url:
        webhooks.url = f"{base_url}/api/webhooks/instagram"
        config = GraphConfig(webhook_url=webhooks.url, app_secret=APP_SECRET, account_id=ACCOUNT)
        with served(server_of(create_app(config))) as url, httpx.Client(base_url=url) as admin:
            yield Meta(url, webhooks, admin)


@pytest.fixture
def meta(running: Meta) -> Meta:
    """The stand-in as new, with echoes off."""
    running.post("reset", {})
    running.post("echo", {"mode": "off"})
    running.webhooks.received.clear()
    running.webhooks.status = 200
    return running
