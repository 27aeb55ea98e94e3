"""The functions as a platform has them on its worst day: every request in a fresh process, which may be killed in it.

`python -m tests.crash.serve PORT JOURNAL_DIR DSN`, with the environment of the functions. The processes are forked
from one that has loaded everything and opened nothing, so each is a cold start that takes milliseconds.
"""

import asyncio
import gc
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import ForkingMixIn
from urllib.parse import urlsplit

from starlette.types import Message, Scope

from dev.functions import Platform
from dev.stack.config import ROOT
from lib.container import container
from lib.database import Database, connect
from lib.processing import sender as effects
from lib.qstash.publisher import CONSUMER_PATH
from tests.crash.delivery import Answer, Delivery, Journal

SEND_TIMEOUT_S = 2.0
"""In place of ten: nobody has to wait so long for a stand-in that never answers."""


class Server(ForkingMixIn, HTTPServer):
    """The front door."""

    max_children = 12
    request_queue_size = 1024

    def __init__(self, port: int, platform: Platform, journals: Path, dsn: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.platform = platform
        self.journals = journals
        self.dsn = dsn


class Handler(BaseHTTPRequestHandler):
    """One request, in its own process."""

    server: Server

    def do_GET(self) -> None:
        """Whatever the function answers."""
        path, headers = urlsplit(self.path).path, self.headers
        body = self.rfile.read(int(headers.get("content-length", 0)))
        answering = self._answer(path, body)
        if path == CONSUMER_PATH and headers.get("upstash-retried"):
            event_id = json.loads(body)["event_id"]
            journal = Journal(self.server.journals, event_id)
            answer = Delivery(event_id, int(headers["upstash-retried"]), journal, self.server.dsn).run(answering)
        else:
            answer = asyncio.run(answering)
        self._write(answer)

    do_POST = do_GET  # noqa: N815  http.server's names

    async def _answer(self, path: str, body: bytes) -> Answer:
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await self.server.platform(self._scope(path), receive, send)
        start, *rest = messages
        headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return start["status"], headers, b"".join(message.get("body", b"") for message in rest)

    def _scope(self, path: str) -> Scope:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": self.command,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": urlsplit(self.path).query.encode(),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers.items()],
            "client": self.client_address,
            "server": self.server.server_address,
        }

    def _write(self, answer: Answer) -> None:
        status, headers, body = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """The platform has its own log."""


async def _load() -> None:
    """Imports what a request would, by asking the database something over connections that are closed again."""
    database = Database(container().settings)
    await database.rpc("ingestion_status", {})
    await database.close()


def main(port: str, journals: str, dsn: str) -> None:
    """Serves until it is stopped."""
    effects.SEND_TIMEOUT_S = SEND_TIMEOUT_S
    platform = Platform(ROOT, eager=True)
    asyncio.run(_load())
    # A client takes longer to make (its certificates) than a request takes, and opens nothing by itself.
    here = container()
    here.database._http, here.database._client = connect(here.settings)
    _ = here.processor, here.forwarder, here.publisher._client()
    gc.freeze()
    with Server(int(port), platform, Path(journals), dsn) as server:
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
