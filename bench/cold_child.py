"""One cold start, in a process of its own that has imported nothing before: `python bench/cold_child.py ORDER`.

ORDER is JSON: {"root", "file", "method", "path", "headers", "body", "answers"}. `root` is the folder of the package,
`file` the function in it (null: an empty Starlette application). `answers` are the network's answers, by target.

The result is JSON on stderr: {"ready_ms", "answer_ms", "status"}. Both times are pairs, by the wall clock and of the
processor, and count from the start: until the function is imported, and until its first answer is given.

This file imports late and little: whatever is loaded before the clock starts is a cost that is not seen.
"""

from __future__ import annotations

import json
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(order: dict[str, Any]) -> None:
    """Measures one cold start and prints the result."""
    tell = sys.stderr.write  # a function makes JSON of what is written to stderr from its import on
    sys.path[0] = order["root"]  # in the place of this file's folder, as on the platform
    began = clocks()
    app = empty() if order["file"] is None else load(order["root"] + "/" + order["file"])
    ready = clocks()
    import asyncio

    status = asyncio.run(answer(app, order))
    answered = clocks()
    took = {"ready_ms": since(began, ready), "answer_ms": since(began, answered), "status": status}
    tell("\n" + json.dumps(took))


def clocks() -> tuple[float, float]:
    """Returns the milliseconds of the wall clock, and those of the processor."""
    return time.perf_counter() * 1e3, time.process_time() * 1e3


def since(began: tuple[float, float], ended: tuple[float, float]) -> tuple[float, float]:
    """Returns the milliseconds between two readings of the clocks."""
    return ended[0] - began[0], ended[1] - began[1]


def empty() -> Any:
    """Returns the smallest Starlette application that answers.

    It imports asyncio, which every ASGI server needs: Starlette does so by itself only before Python 3.13.
    """
    import asyncio  # noqa: F401

    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def say(_request: object) -> Response:
        return Response(b"{}", media_type="application/json")

    return Starlette(routes=[Route("/{path:path}", say, methods=["GET", "POST"])])


def load(file: str) -> Any:
    """Returns the `app` of a function's file, loaded as the platform does it."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("vercel_function", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


async def answer(app: Any, order: dict[str, Any]) -> int:
    """Returns the status of the first answer."""
    import asyncio

    if order["answers"]:
        answer_the_network(order["answers"])
    unread, messages = [order["body"].encode()], []

    async def receive() -> dict[str, Any]:
        if not unread:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": unread.pop(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": order["method"],
        "scheme": "https",
        "path": order["path"],
        "raw_path": order["path"].encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in order["headers"].items()],
        "client": ("192.0.2.1", 443),
        "server": ("bench.example", 443),
    }
    await app(scope, receive, send)
    return int(messages[0]["status"])


def answer_the_network(answers: dict[str, str]) -> None:
    """Answers every later request of httpcore, and of httpx on top of it, from `answers`."""
    import httpcore

    async def handle(_pool: object, request: httpcore.Request) -> httpcore.Response:
        content = answers[request.url.target.decode()].encode()
        return httpcore.Response(200, headers=[("content-type", "application/json")], content=content)

    httpcore.AsyncConnectionPool.handle_async_request = handle  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
