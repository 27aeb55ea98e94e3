"""Serves `api/**/*.py` as Vercel's Python runtime does: one file, one path, one ASGI `app`, one event loop.

Applies the platform's rules: paths, size and time limits, error pages.
Source: Vercel docs, "Python Runtime", "Functions limits" and "Error codes".
"""

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT_BYTES = 4_500_000
# A larger body is read up to this size before it is refused, so that the client sees the answer.
DRAIN_LIMIT_BYTES = 64_000_000
DEFAULT_DURATION_S = 300.0
GRACEFUL_STOP_S = 2
ROOT_VARIABLE = "DEV_FUNCTIONS_ROOT"
EAGER_VARIABLE = "DEV_FUNCTIONS_EAGER"

_write = sys.stderr.write
"""Writes the platform's own lines. What a function writes to stderr becomes JSON (`lib/core/stray_output.py`)."""


@dataclass(frozen=True)
class Function:
    """One file under `api/`."""

    path: str
    file: Path
    max_duration_s: float

    def load(self) -> ASGIApp:
        """Imports the file under a name of its own. Raises what the import raises, or `TypeError` without an `app`."""
        name = "vercel_function_" + "".join(c if c.isalnum() else f"_{ord(c):x}_" for c in self.path)
        spec = importlib.util.spec_from_file_location(name, self.file)
        if spec is None or spec.loader is None:
            raise TypeError(f"{self.file} can't be imported")
        module: ModuleType = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        app = getattr(module, "app", None)
        if not callable(app):
            raise TypeError(f"{self.file} must expose an ASGI application named `app`")
        return app  # type: ignore[no-any-return]  # callable is all that can be known of it


def find_functions(root: Path) -> dict[str, Function]:
    """Returns every function below `root`/api by its path. As on Vercel, `_name` and `.name` are no functions."""
    durations = _durations(root / "vercel.json")
    found = {}
    for file in sorted((root / "api").rglob("*.py")):
        relative = file.relative_to(root)
        if any(part.startswith(("_", ".")) for part in relative.parts):
            continue
        path = "/" + relative.with_suffix("").as_posix().removesuffix("/index")
        limits = (limit for pattern, limit in durations.items() if fnmatchcase(relative.as_posix(), pattern))
        found[path] = Function(path, file, next(limits, DEFAULT_DURATION_S))
    return found


@dataclass(frozen=True)
class PublicPath:
    """One path that callers use. `query` is what a rewrite of vercel.json adds to theirs."""

    function: Function
    query: str = ""


def find_public_paths(root: Path) -> dict[str, PublicPath]:
    """Returns the paths that callers use: the rewritten ones, and of the functions those that no rewrite leads to.

    Only rewrites from one exact path to another are known here: vercel.json has no others.
    """
    functions = find_functions(root)
    rewritten = {}
    for rewrite in _config(root / "vercel.json").get("rewrites", []):
        path, _, query = rewrite["destination"].partition("?")
        rewritten[rewrite["source"]] = PublicPath(functions[path], query)
    behind = {public.function.path for public in rewritten.values()}
    return rewritten | {path: PublicPath(function) for path, function in functions.items() if path not in behind}


def _config(file: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return config


def _durations(file: Path) -> dict[str, float]:
    functions: dict[str, dict[str, Any]] = _config(file).get("functions", {})
    return {
        pattern: float(options["maxDuration"]) for pattern, options in functions.items() if "maxDuration" in options
    }


class Platform:
    """The ASGI application in the place of Vercel's proxy and runtime."""

    def __init__(self, root: Path, *, eager: bool = False) -> None:
        self._functions = find_functions(root)
        self._public = find_public_paths(root)
        self._apps: dict[str, ASGIApp] = {}
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))
        if eager:
            for function in self._functions.values():
                self._apps[function.path] = function.load()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # lifespan is off, and Vercel's Python functions have no WebSockets
        started = time.monotonic()
        reply = _Reply(send)
        await self._answer(scope, receive, reply)
        milliseconds = round((time.monotonic() - started) * 1000)
        # The path is decoded and is quoted again: a line feed in it would begin a new log line.
        _log(f"{scope['method']} {quote(scope['path'])} {reply.status or '-'} {milliseconds} ms")

    async def _answer(self, scope: Scope, receive: Receive, reply: "_Reply") -> None:
        public = self._public.get(scope["path"])
        function = public.function if public else self._functions.get(scope["path"])
        if function is None:
            await reply.page(404, "The page could not be found", "NOT_FOUND")
            return
        if public and public.query:
            # The function sees the public path, and the query of the rewrite beside the caller's.
            query = b"&".join(filter(None, [scope["query_string"], public.query.encode()]))
            scope = {**scope, "query_string": query}
        try:
            body = await _read_body(receive)
        except ClientDisconnect:
            return  # the client has gone; a function does not run on half a body
        if body is None:
            await reply.page(413, "Request Entity Too Large", "FUNCTION_PAYLOAD_TOO_LARGE")
            return
        try:
            app = self._apps.get(function.path) or function.load()
            self._apps[function.path] = app
        except Exception:
            # Vercel's runtime reports it on the first stderr, whatever is sys.stderr now.
            stderr = sys.__stderr__ or sys.stderr
            stderr.write(f"could not import {function.path}:\n{traceback.format_exc()}")
            await reply.page(500, "A server error has occurred", "FUNCTION_INVOCATION_FAILED")
            return
        await _run(app, function, scope, _Request(body, receive), reply)


async def _run(app: ASGIApp, function: Function, scope: Scope, request: "_Request", reply: "_Reply") -> None:
    try:
        async with asyncio.timeout(function.max_duration_s) as limit:
            await app(scope, request.receive, reply.send)
    except Exception:
        if limit.expired():
            _log(f"{function.path} was cut off after its maxDuration of {function.max_duration_s:g} s")
            await reply.page(504, "An error occurred with your deployment", "FUNCTION_INVOCATION_TIMEOUT")
            return
        # As Vercel's runtime, whose server is uvicorn.
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
        await reply.plain(500, "Internal Server Error", {})


class _Request:
    """The body, read whole before the function runs (as the platform does), then the client's disconnect."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


class _Reply:
    """Sends the answer, and no error page once a function's answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def page(self, status: int, title: str, code: str) -> None:
        await self.plain(status, f"{title}\n\n{code}\n", {"x-vercel-error": code})

    async def plain(self, status: int, text: str, headers: Mapping[str, str]) -> None:
        if self.status is not None:
            return  # the server closes the connection of an unfinished answer
        encoded = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(text)), **headers}
        raw = [(name.encode(), value.encode()) for name, value in encoded.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})
        await self.send({"type": "http.response.body", "body": text.encode()})


async def _read_body(receive: Receive) -> bytes | None:
    """Returns the body, or None if it exceeds the platform's limit. Raises `ClientDisconnect`."""
    body = bytearray()
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece = message.get("body", b"")
        size += len(piece)
        if size <= BODY_LIMIT_BYTES:
            body += piece
        more = message.get("more_body", False) and size <= DRAIN_LIMIT_BYTES
    return bytes(body) if size <= BODY_LIMIT_BYTES else None


def _log(text: str) -> None:
    _write(text.rstrip("\n") + "\n")


def application() -> Platform:
    """Called by uvicorn in each worker process, which gets its settings in the environment."""
    return Platform(Path(os.environ[ROOT_VARIABLE]), eager=os.environ.get(EAGER_VARIABLE) == "1")


def serve(root: Path, *, host: str, port: int, workers: int, eager: bool) -> None:
    """Serves until SIGTERM or SIGINT. Each worker is an instance of every function."""
    import uvicorn  # noqa: PLC0415  200 ms that `--help` need not wait for
    from uvicorn.supervisors import Multiprocess  # noqa: PLC0415

    os.environ[ROOT_VARIABLE] = str(root.resolve())
    os.environ[EAGER_VARIABLE] = "1" if eager else "0"
    # The functions configure logging themselves; uvicorn's lines would repeat theirs.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        "dev.functions:application",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACEFUL_STOP_S,
    )
    with contextlib.suppress(KeyboardInterrupt):
        if workers == 1:
            uvicorn.Server(config).run()
            return
        listening = config.bind_socket()
        # uvicorn's socket does not name TCP as its protocol, so asyncio leaves Nagle's algorithm on, and one answer in
        # ten waits 40 ms for an acknowledgement. Connections inherit what their listening socket has (tcp(7)).
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Multiprocess(config, sockets=[listening]).run()
