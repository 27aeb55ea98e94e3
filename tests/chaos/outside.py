"""The world's ears: where Instagram's stand-in posts echoes, and where the next phase is handed on to."""

import json
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self

from dev.stack.ports import HOST

ECHOES, NEXT_PHASE = "/echoes", "/next-phase"


class Outside:
    """A server of two addresses. A context manager: it listens inside the block."""

    def __init__(self) -> None:
        self.echoes: SimpleQueue[dict[str, Any]] = SimpleQueue()
        """Webhook bodies."""

        self.handed_on: defaultdict[str, set[str]] = defaultdict(set)
        """By event id, the QStash messages that brought it to the next phase."""
        self._lock = Lock()
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://{HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def hear(self, path: str, message_id: str, body: dict[str, Any]) -> None:
        """Takes one request."""
        if path == ECHOES:
            self.echoes.put(body)
        else:
            with self._lock:
                self.handed_on[str(body["event_id"])].add(message_id)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outside.hear(self.path, self.headers.get("Upstash-Message-Id", ""), body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Nothing: what is heard is counted."""

        return Handler
