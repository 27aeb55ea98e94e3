"""One cold start, in a process of its own that has imported nothing before: `python bench/cold_child.py ORDER`.

ORDER is JSON: {"file", "hidden", "method", "path", "headers", "body", "answers"}. `hidden` are modules that only a
laptop has: httpx, for one, imports more where it finds it. `answers` are what the network says, by target. On stderr
comes {"import_ms", "answer_ms", "status"}: when the file was imported (null: an empty Starlette application), and when
its first answer was given. Imports late and little: whatever is here when the clock starts is a cost not seen.
"""

from __future__ import annotations

import json
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

sys.path[0] = sys.path[0].rpartition("/")[0]  # the project, as on the platform, and not this directory


class Hidden:
    """A finder of modules that are not to be found."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """None leaves it to the other finders. Raises `ModuleNotFoundError` for a hidden one."""
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name)


def main(order: dict[str, Any]) -> None:
    """Measures, and prints."""
    sys.meta_path.insert(0, Hidden(set(order["hidden"])))
    began_s = time.perf_counter()
    app = empty() if order["file"] is None else load(order["file"])
    imported_s = time.perf_counter()
    import asyncio

    status = asyncio.run(answer(app, order))
    answered_s = time.perf_counter()
    took = {"import_ms": (imported_s - began_s) * 1e3, "answer_ms": (answered_s - began_s) * 1e3}
    sys.stderr.write(json.dumps({**took, "status": status}))


def empty() -> Any:
    """The least that answers."""
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def say(_request: object) -> Response:
        return Response(b"{}", media_type="application/json")

    return Starlette(routes=[Route("/{path:path}", say, methods=["GET", "POST"])])


def load(file: str) -> Any:
    """The `app` of a function's file, as the platform loads it."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("vercel_function", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


async def answer(app: Any, order: dict[str, Any]) -> int:
    """The status of the first answer."""
    import asyncio

    if order["answers"]:
        answer_the_network(order["answers"])
    sent, said = [order["body"].encode()], []

    async def receive() -> dict[str, Any]:
        if not sent:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": sent.pop(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

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
    return int(said[0]["status"])


def answer_the_network(answers: dict[str, str]) -> None:
    """From now on every request of httpcore, and of httpx on top of it, is answered from `answers`."""
    import httpcore

    async def handle(_pool: object, request: httpcore.Request) -> httpcore.Response:
        content = answers[request.url.target.decode()].encode()
        return httpcore.Response(200, headers=[("content-type", "application/json")], content=content)

    httpcore.AsyncConnectionPool.handle_async_request = handle  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
