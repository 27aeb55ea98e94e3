"""Supabase's gateway: passes `/rest/v1/*` to PostgREST, for the API keys that a hosted project accepts.

Bodies are streamed both ways. `POST /__dev/fault` with `{"times": 3}` makes the gateway lose the next three answers;
`Fault` says what else can go wrong.

Run as `python -m dev.stack.gateway --port N --upstream-port M`.
"""

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dev.connection import cut
from dev.stack import keys
from dev.stack.ports import HOST

PREFIX = "/rest/v1"
FAULT = "/__dev/fault"
# PostgREST's server closes connections that were idle for 30 s, so the gateway must give them up earlier.
UPSTREAM_IDLE_S = 20.0
# As long as Supabase's own gateway (Kong) keeps an idle connection. A client that reuses one must not find it closed.
CLIENT_IDLE_S = 75
GRACEFUL_STOP_S = 2
HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"expect", b"te", b"host"})

LEGACY_KEYS = {role: keys.supabase_jwt(role) for role in ("anon", "service_role")}
ROLE_OF_KEY = {
    LEGACY_KEYS["anon"]: "anon",
    LEGACY_KEYS["service_role"]: "service_role",
    keys.PUBLISHABLE_KEY: "anon",
    keys.SECRET_KEY: "service_role",
}


def _refusal(status: int, message: str, **more: str) -> Response:
    return JSONResponse({"message": message, **more}, status)


NO_ROUTE = _refusal(404, "no Route matched with those values")
NO_KEY = _refusal(401, "No API key found in request", hint="No `apikey` request header was found.")
WRONG_KEY = _refusal(401, "Invalid API key", hint="Double check your Supabase `anon` or `service_role` API key.")
DOWN = _refusal(503, "PostgREST does not accept connections")
LOST = _refusal(502, "PostgREST closed the connection before it answered")


class Fault(BaseModel):
    """What goes wrong with the next `times` requests: of one SQL function, or of any.

    Without a `status` PostgREST does what the client asked for, and the answer is lost. With one the gateway answers by
    itself, as a proxy does that is in trouble, and PostgREST is not asked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    times: int = Field(default=0, ge=0)
    function: str = ""
    status: int | None = Field(default=None, ge=200, le=599)
    body: str = ""
    content_type: str = "application/json"

    def is_of(self, path: str) -> bool:
        """Returns whether the fault is of a request to `path`."""
        return self.times > 0 and (not self.function or path.endswith(f"/rpc/{self.function}"))


@dataclass
class Faults:
    """The fault that is set, for as many requests as are left of it."""

    fault: Fault = field(default_factory=Fault)

    async def set(self, request: Request) -> Response:
        """Takes a new fault from the body."""
        try:
            self.fault = Fault.model_validate_json(await request.body())
        except ValidationError as error:
            return _refusal(400, str(error))
        return JSONResponse({"message": f"The next {self.fault.times} requests fail"})

    def take(self, path: str) -> Fault | None:
        """Returns the fault of a request to `path`, or None."""
        fault = self.fault
        if not fault.is_of(path):
            return None
        self.fault = fault.model_copy(update={"times": fault.times - 1})
        return fault


@dataclass
class Connections:
    """Connections to `url`, one for each request that is under way.

    Each is a pool of one. A single pool asks the kernel about every idle connection at each request: with 16 of them
    that doubles what the gateway costs.
    """

    url: httpx.URL
    _idle: list[httpx.AsyncHTTPTransport] = field(default_factory=list)

    @contextlib.contextmanager
    def one(self) -> Iterator[httpx.AsyncHTTPTransport]:
        """Lends a connection that no other request uses."""
        limits = httpx.Limits(max_connections=1, keepalive_expiry=UPSTREAM_IDLE_S)
        connection = self._idle.pop() if self._idle else httpx.AsyncHTTPTransport(verify=False, limits=limits)
        try:
            yield connection
        finally:
            self._idle.append(connection)


class Gateway:
    """The ASGI application behind `/rest/v1`."""

    def __init__(self, upstream_port: int, faults: Faults) -> None:
        self._postgrest = Connections(httpx.URL(f"http://{HOST}:{upstream_port}"))
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers with PostgREST's answer, or with a refusal of the gateway's own.

        If PostgREST or the client breaks off, the answer stays unfinished. uvicorn then closes the connection.
        """
        request = Request(scope, receive)
        fault = self._faults.take(request.url.path)
        if fault is not None and fault.status is not None:
            await Response(fault.body, fault.status, media_type=fault.content_type)(scope, receive, send)
            return
        headers = forwarded_headers(request.headers)
        if isinstance(headers, Response):
            await headers(scope, receive, send)
            return
        with self._postgrest.one() as connection, contextlib.suppress(ClientDisconnect, httpx.TransportError):
            try:
                answer = await connection.handle_async_request(self._forwarded(request, headers))
            except httpx.TransportError as error:
                refusal = DOWN if isinstance(error, httpx.ConnectError) else LOST
                await refusal(scope, receive, send)
                return
            async with contextlib.aclosing(answer):
                if fault is not None:
                    await answer.aread()
                    await cut(receive)
                else:
                    await _passed_on(answer)(scope, receive, send)

    def _forwarded(self, request: Request, headers: list[tuple[bytes, bytes]]) -> httpx.Request:
        """The request as PostgREST gets it: without the prefix, everything else byte for byte."""
        target: bytes = request.scope["raw_path"].removeprefix(PREFIX.encode()) or b"/"
        if query := request.scope["query_string"]:
            target += b"?" + query
        if request.method == "HEAD":
            # PostgREST answers without a length, then closes the connection and does not announce it.
            headers = [*headers, (b"connection", b"close")]
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        content = request.stream() if has_body else None
        extensions = {"target": target}
        url = self._postgrest.url
        return httpx.Request(request.method, url, headers=headers, content=content, extensions=extensions)


def forwarded_headers(headers: Headers) -> list[tuple[bytes, bytes]] | Response:
    """Returns the headers for PostgREST, or a refusal if the API key is missing or unknown."""
    key = headers.get("apikey")
    if key is None:
        return NO_KEY
    role = ROLE_OF_KEY.get(key)
    if role is None:
        return WRONG_KEY
    kept = _end_to_end(headers.raw)
    if "authorization" not in headers:
        # Supabase's gateway makes a JWT for the key. A key of the new style in `Authorization` is no JWT. It reaches
        # PostgREST as it is, and PostgREST refuses it (Supabase, "Understanding API keys").
        kept.append((b"authorization", f"Bearer {LEGACY_KEYS[role]}".encode()))
    return kept


def _passed_on(answer: httpx.Response) -> Response:
    response = StreamingResponse(answer.aiter_raw(), answer.status_code)
    response.raw_headers = _end_to_end(answer.headers.raw)
    return response


def _end_to_end(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP]


async def _no_route(_request: Request, _error: Exception) -> Response:
    return NO_ROUTE


def create_app(upstream_port: int) -> Starlette:
    """Returns the gateway before the PostgREST on `upstream_port`."""
    faults = Faults()
    gateway = Gateway(upstream_port, faults)
    routes = [
        Route(FAULT, faults.set, methods=["POST"]),
        Route(PREFIX, gateway),
        Route(PREFIX + "/{path:path}", gateway),
    ]
    return Starlette(routes=routes, exception_handlers={404: _no_route})


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m dev.stack.gateway")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream-port", type=int, required=True)
    arguments = parser.parse_args()
    uvicorn.run(
        create_app(arguments.upstream_port),
        host=HOST,
        port=arguments.port,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=CLIENT_IDLE_S,
        timeout_graceful_shutdown=GRACEFUL_STOP_S,
    )


if __name__ == "__main__":
    main()
