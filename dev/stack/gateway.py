"""Supabase's front door: `/rest/v1/*` to PostgREST, with the API keys a hosted project accepts.

Knows the route, the keys and PostgREST's address; must not know tables, rights or JSON beyond its own errors.
One upstream connection a client connection; answers are passed through piece by piece, so that it costs a
fraction of what PostgREST does. `POST /__dev/cut?answers=3` makes it lose the next three answers.

Run as `python -m dev.stack.gateway --port N --upstream-port M`.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import time
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from dev.stack import keys
from dev.stack.http1 import HEAD_LIMIT_BYTES, Head, MalformedError, body_pieces, read_head
from dev.stack.ports import HOST

PREFIX = "/rest/v1"
CUT = "/__dev/cut"
REQUEST_LIMIT_BYTES = 64 * 1024 * 1024
# PostgREST's server closes connections idle for 30 s; a younger one can be trusted with a request.
UPSTREAM_IDLE_S = 20.0
HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "upgrade", "expect", "te", "host"})

LEGACY_KEYS = {role: keys.supabase_jwt(role) for role in ("anon", "service_role")}
ROLE_OF_KEY = {
    LEGACY_KEYS["anon"]: "anon",
    LEGACY_KEYS["service_role"]: "service_role",
    keys.PUBLISHABLE_KEY: "anon",
    keys.SECRET_KEY: "service_role",
}


@dataclass(frozen=True)
class Refusal:
    """An answer of the gateway's own."""

    status: HTTPStatus
    message: str
    hint: str = ""
    close: bool = False

    def encode(self) -> bytes:
        """The whole response."""
        body = json.dumps({"message": self.message} | ({"hint": self.hint} if self.hint else {})).encode()
        headers = [("content-type", "application/json; charset=utf-8"), ("content-length", str(len(body)))]
        if self.close:
            headers.append(("connection", "close"))
        start = f"HTTP/1.1 {self.status.value} {self.status.phrase}"
        return Head(start, tuple(headers)).encode() + body


NO_ROUTE = Refusal(HTTPStatus.NOT_FOUND, "no Route matched with those values")
NO_KEY = Refusal(HTTPStatus.UNAUTHORIZED, "No API key found in request", "No `apikey` request header was found.")
WRONG_KEY = Refusal(
    HTTPStatus.UNAUTHORIZED, "Invalid API key", "Double check your Supabase `anon` or `service_role` API key."
)
MALFORMED = Refusal(HTTPStatus.BAD_REQUEST, "Bad request", close=True)
TOO_LARGE = Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Request body too large", close=True)
DOWN = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "PostgREST does not accept connections")
LOST = Refusal(HTTPStatus.BAD_GATEWAY, "PostgREST closed the connection before it answered", close=True)


@dataclass
class Cuts:
    """How many answers of PostgREST are still to be lost: what was asked for has happened, and nobody is told."""

    left: int = 0

    def ask(self, target: str) -> bytes:
        """The answer to `target`, whose `answers` is the new count; 0 ends it."""
        answers = parse_qs(urlsplit(target).query).get("answers", [""])[0]
        if not (answers.isascii() and answers.isdigit()):
            return Refusal(HTTPStatus.BAD_REQUEST, "answers must be a whole number").encode()
        self.left = int(answers)
        return Refusal(HTTPStatus.OK, f"The next {self.left} answers are lost").encode()

    def take(self) -> bool:
        """Whether this answer is one of them."""
        if self.left == 0:
            return False
        self.left -= 1
        return True


class UpstreamLostError(Exception):
    """PostgREST's connection broke; `answered` tells whether part of an answer has been passed on."""

    def __init__(self, *, answered: bool) -> None:
        super().__init__()
        self.answered = answered


class Upstream:
    """The connection to PostgREST that belongs to one client connection."""

    def __init__(self, port: int, cuts: Cuts) -> None:
        self.cuts = cuts
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used_at = 0.0

    async def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection fit for a request. Raises `OSError` when PostgREST does not accept one."""
        if self._streams is not None:
            reader, _ = self._streams
            if reader.at_eof() or time.monotonic() - self._used_at > UPSTREAM_IDLE_S:
                self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port, limit=HEAD_LIMIT_BYTES)
        self._used_at = time.monotonic()
        return self._streams

    def close(self) -> None:
        """Drop the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def serve_client(client: asyncio.StreamReader, answer: asyncio.StreamWriter, upstream: Upstream) -> None:
    """Answer one client connection's requests, one after the other, until either side has had enough."""
    try:
        while await _serve_one(client, answer, upstream):
            pass
    except MalformedError:
        answer.write(MALFORMED.encode())
    except (OSError, asyncio.IncompleteReadError):
        pass  # the client has gone
    finally:
        upstream.close()
        answer.close()


async def _serve_one(client: asyncio.StreamReader, answer: asyncio.StreamWriter, upstream: Upstream) -> bool:
    """Answer one request. Returns whether the connection may carry another."""
    request = await read_head(client)
    if request is None:
        return False
    if request.has("expect", "100-continue"):
        answer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await _read_body(client, request)
    if (target := _target(request)).partition("?")[0] == CUT:
        answer.write(upstream.cuts.ask(target))
        return True
    refusal = TOO_LARGE if body is None else await _forward(request, body, answer, upstream)
    if refusal is not None:
        answer.write(refusal.encode())
        await answer.drain()
        if refusal.close:
            return False
    return not request.has("connection", "close")


def _target(request: Head) -> str:
    return (*request.start.split(" "), "")[1]


async def _read_body(client: asyncio.StreamReader, request: Head) -> bytes | None:
    """The whole body in its framing, None when it is too large.

    Whole, so that a client that gives up half-way never reaches PostgREST.
    """
    body = bytearray()
    async for piece in body_pieces(client, request):
        body += piece
        if len(body) > REQUEST_LIMIT_BYTES:
            return None
    return bytes(body)


async def _forward(request: Head, body: bytes, answer: asyncio.StreamWriter, upstream: Upstream) -> Refusal | None:
    """Pass a request on and its answer back. Returns what to answer instead, when that can't be done."""
    forwarded = rewrite(request)
    if isinstance(forwarded, Refusal):
        return forwarded
    try:
        reader, writer = await upstream.streams()
    except OSError:
        return DOWN
    # Not drained: PostgREST may answer, and stop reading, before it has read a large body.
    writer.write(forwarded.encode() + body)
    try:
        if not await _relay(reader, answer, upstream.cuts, method=request.start.split(" ", 1)[0]):
            upstream.close()
    except UpstreamLostError as lost:
        if lost.answered:
            raise ConnectionResetError from lost
        return LOST
    return None


def rewrite(request: Head) -> Head | Refusal:
    """The request as PostgREST shall see it, or our answer when it shall not. Raises `MalformedError`."""
    parts = request.start.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise MalformedError("request line")
    method, target, _ = parts
    path = urlsplit(target).path
    if path != PREFIX and not path.startswith(f"{PREFIX}/"):
        return NO_ROUTE
    key = request.get("apikey")
    if key is None:
        return NO_KEY
    role = ROLE_OF_KEY.get(key)
    if role is None:
        return WRONG_KEY
    headers = [(name, value) for name, value in request.headers if name not in HOP_BY_HOP]
    authorization = request.get("authorization")
    if authorization is None or authorization.startswith("Bearer sb_"):
        # The new keys are no JWTs; Supabase's gateway puts one in their place.
        headers = [(name, value) for name, value in headers if name != "authorization"]
        headers.append(("authorization", f"Bearer {LEGACY_KEYS[role]}"))
    rest = target.split(PREFIX, 1)[1]
    start = f"{method} {rest if rest.startswith('/') else '/' + rest} HTTP/1.1"
    return Head(start, (*headers, ("host", HOST)))


async def _relay(reader: asyncio.StreamReader, answer: asyncio.StreamWriter, cuts: Cuts, *, method: str) -> bool:
    """Pass PostgREST's answer on. Returns whether its connection may be used again."""
    answered = False
    try:
        response = await read_head(reader)
        if response is None:
            raise ConnectionResetError
        if cuts.take():
            raise UpstreamLostError(answered=True)
        bodiless = response.start.split(" ")[1] in ("204", "304")
        bare = method == "HEAD" or bodiless
        if not bare and not response.framed:
            raise MalformedError("PostgREST always frames its answers")
        kept = tuple((name, value) for name, value in response.headers if name not in HOP_BY_HOP)
        answered = True
        answer.write(Head(response.start, kept).encode())
        if not bare:
            async for piece in body_pieces(reader, response):
                answer.write(piece)
                await answer.drain()
        await answer.drain()
    except (OSError, asyncio.IncompleteReadError, MalformedError) as error:
        raise UpstreamLostError(answered=answered) from error
    # After an answer to HEAD, which it sends without a length, PostgREST closes and does not announce it.
    return (response.framed or bodiless) and not response.has("connection", "close")


async def serve(port: int, upstream_port: int) -> None:
    """Serve until SIGTERM."""
    stopped = asyncio.Event()
    cuts = Cuts()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)

    async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # at the end; asyncio would log it
            await serve_client(reader, writer, Upstream(upstream_port, cuts))

    await asyncio.start_server(on_client, HOST, port, limit=HEAD_LIMIT_BYTES, backlog=512)
    await stopped.wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m dev.stack.gateway")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream-port", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.upstream_port))


if __name__ == "__main__":
    main()
