"""Real servers for these tests: the stand-in, and a receiver that answers as it is told."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dev.qstash.config import Config
from dev.qstash.server import Server
from tests.support.servers import DEADLINE_S, served


def eventually(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Polls until something true comes out, and returns it."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.01)
    raise AssertionError(f"{what} did not come true within {DEADLINE_S} s")


class Running:
    """A uvicorn server in a thread."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._served = ExitStack()
        self.url = self._served.enter_context(served(server))

    def stop(self) -> None:
        self._served.close()


class Stand(Running):
    """The stand-in, with its admin routes at hand."""

    def __init__(self, config: Config) -> None:
        super().__init__(Server(config))
        self.config = config
        self.http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {config.token}"}, timeout=DEADLINE_S
        )

    def stop(self) -> None:
        self.http.close()
        super().stop()

    def publish(self, url: str, body: str | bytes = b"{}", headers: Mapping[str, str] | None = None) -> str:
        """Publishes and returns the message id."""
        response = self.http.post(f"/v2/publish/{url}", content=body, headers=headers)
        assert response.status_code == 200, response.text
        message_id = response.json()["messageId"]
        assert isinstance(message_id, str)
        return message_id

    def state(self) -> dict[str, int]:
        return dict(self.http.get("/__dev/state").json())

    def wait_idle(self) -> dict[str, int]:
        """Waits until no message is open, and returns the counts."""
        eventually(lambda: self.state()["idle"], "idleness")
        return self.state()

    def faults(self, **wish: Any) -> None:
        response = self.http.post("/__dev/faults", json=wish)
        assert response.status_code == 200, response.text

    def dlq(self, **query: Any) -> list[dict[str, Any]]:
        return list(self.http.get("/v2/dlq", params=query).json()["messages"])

    def events(self, **query: Any) -> list[dict[str, Any]]:
        return list(self.http.get("/v2/events", params=query).json()["events"])

    def reset(self) -> None:
        assert self.http.post("/__dev/reset").status_code == 200


@dataclass(frozen=True)
class Reply:
    """What the receiver answers to one request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hold: bool = False


@dataclass(frozen=True)
class Got:
    """One request the receiver got."""

    path: str
    method: str
    headers: Mapping[str, str]
    body: bytes
    at_s: float


class Receiver(Running):
    """Answers each path by its script; the last reply of a script repeats."""

    def __init__(self) -> None:
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        app = Starlette(routes=[Route("/{path:path}", self._handle, methods=methods)])
        self._lock = threading.Lock()
        self.got: list[Got] = []
        self.running: dict[str, int] = {}
        self.most_running: dict[str, int] = {}
        self._scripts: dict[str, list[Reply]] = {}
        self._open = threading.Event()
        super().__init__(
            uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
        )

    def script(self, path: str, *replies: Reply) -> str:
        """Sets the replies of a path and returns its URL."""
        self._scripts[path] = list(replies)
        return self.url + path

    def release(self) -> None:
        """Lets go of every request that is held, and holds none from now on."""
        self._open.set()

    def at(self, path: str) -> list[Got]:
        """The requests to one path, in order of arrival."""
        with self._lock:
            return [got for got in self.got if got.path == path]

    def reset(self) -> None:
        self._open.set()
        with self._lock:
            self.got.clear()
            self._scripts.clear()
            self.most_running.clear()
            self._open = threading.Event()

    async def _handle(self, request: Request) -> Response:
        path, body = request.url.path, await request.body()
        with self._lock:
            self.got.append(Got(path, request.method, dict(request.headers), body, time.time()))
            script = self._scripts.get(path, [])
            reply = script.pop(0) if len(script) > 1 else (script[0] if script else Reply())
            self.running[path] = self.running.get(path, 0) + 1
            self.most_running[path] = max(self.most_running.get(path, 0), self.running[path])
            gate = self._open
        try:
            if reply.delay_s:
                await asyncio.sleep(reply.delay_s)
            while reply.hold and not gate.is_set():  # noqa: ASYNC110  set from another thread
                await asyncio.sleep(0.01)
        finally:
            with self._lock:
                self.running[path] -= 1
        return Response(reply.body, status_code=reply.status, headers=dict(reply.headers))
