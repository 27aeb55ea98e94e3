"""Supabase's gateway: passes `/rest/v1/*` to PostgREST, for the API keys that a hosted project accepts.

`POST /__dev/fault` with `{"times": 3}` makes the gateway lose the next three answers;
`Fault` says what else can go wrong.

Run as `python -m dev.stack.gateway --port N --upstream-port M`.
"""

import argparse
from dataclasses import dataclass, field

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dev.connection import cut
from dev.stack import keys
from dev.stack.ports import HOST
from lib.http.connection import Answer
from lib.http.errors import NeverLeft, NoAnswer
from lib.http.pool import Origin, Pool, Timeouts, encode_request
from lib.http.tls import tls_context

PREFIX = "/rest/v1"
FAULT = "/__dev/fault"
# PostgREST's server closes connections that were idle for 30 s, so the gateway must give them up earlier.
UPSTREAM_IDLE_S = 20.0
# As long as Supabase's own gateway (Kong) keeps an idle connection. A client that reuses one must not find it closed.
CLIENT_IDLE_S = 75
GRACEFUL_STOP_S = 2
HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"expect", b"te", b"host"),
        *(b"content-length", b"transfer-encoding"),
    }
)
MAX_CONNECTIONS = 256
MAX_BYTES = 256_000_000
NO_TIMEOUTS = Timeouts(pool_s=None, connect_s=None, answer_s=None)

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


class Gateway:
    """The ASGI application behind `/rest/v1`."""

    def __init__(self, upstream_port: int, faults: Faults) -> None:
        self._postgrest = Origin(HOST, upstream_port, is_tls=False)
        self._pool = Pool(
            max_connections=MAX_CONNECTIONS,
            max_idle=MAX_CONNECTIONS,
            max_bytes=MAX_BYTES,
            tls=tls_context,
            keepalive_s=UPSTREAM_IDLE_S,
        )
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers with PostgREST's answer, or with a refusal of the gateway's own.

        If the client breaks off, PostgREST is not asked.
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
        try:
            forwarded = self._forwarded(request, headers, await request.body())
            answer = await self._pool.ask(self._postgrest, forwarded, NO_TIMEOUTS)
        except ClientDisconnect:
            return
        except NoAnswer as error:
            await (DOWN if isinstance(error, NeverLeft) else LOST)(scope, receive, send)
            return
        if fault is not None:
            await cut(receive)
        else:
            await _passed_on(answer)(scope, receive, send)

    def _forwarded(self, request: Request, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
        """The request as PostgREST gets it: without the prefix, everything else byte for byte."""
        target: bytes = request.scope["raw_path"].removeprefix(PREFIX.encode()) or b"/"
        if query := request.scope["query_string"]:
            target += b"?" + query
        # The server leaves out the body of an answer to HEAD.
        method = "GET" if request.method == "HEAD" else request.method
        host = (b"host", f"{HOST}:{self._postgrest.port}".encode())
        has_body = body or "content-length" in request.headers or "transfer-encoding" in request.headers
        length = [(b"content-length", b"%d" % len(body))] if has_body else []
        return encode_request(method.encode(), target, [host, *headers, *length], body)


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


def _passed_on(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    framed = [(b"content-length", b"%d" % len(answer.body))] if answer.body else []
    response.raw_headers = [*_end_to_end(answer.headers), *framed]
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
