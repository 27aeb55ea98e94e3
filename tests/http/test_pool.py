"""Our HTTP client against servers that answer well, badly, late or not at all, under both event loops."""

import asyncio
import datetime
import gzip
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeVar

import h11
import httpx
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors.classify import classify
from lib.http import errors
from lib.http.connection import MAX_HEAD_BYTES, Answer
from lib.http.pool import KEEPALIVE_S, Origin, Pool, Timeouts, encode_request
from lib.http.transport import PoolTransport, client

T = TypeVar("T")
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MAX_BYTES = 100_000
REQUEST = encode_request(b"GET", b"/", [(b"Host", b"here")], b"")

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Run(Protocol):
    """Runs a coroutine on one kind of event loop."""

    def __call__(self, work: Awaitable[T]) -> T: ...


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return partial(run_on, request.param)


def run_on(loop: str, work: Awaitable[T]) -> T:
    async def all_of_it() -> T:
        return await asyncio.wait_for(work, 20)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(all_of_it())


def no_tls() -> ssl.SSLContext:
    raise AssertionError("no request here is for TLS")


def a_pool(*, most: int = 4, idle: int = 4, tls: Callable[[], ssl.SSLContext] = no_tls) -> Pool:
    return Pool(max_connections=most, max_idle=idle, max_bytes=MAX_BYTES, tls=tls)


@asynccontextmanager
async def served(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=tls)
    try:
        yield Origin("127.0.0.1", server.sockets[0].getsockname()[1], is_tls=tls is not None)
    finally:
        server.close()


async def ask(pool: Pool, origin: Origin, request: bytes = REQUEST, *, within_s: float = 5.0) -> Answer:
    return await pool.ask(origin, request, Timeouts(pool_s=within_s, connect_s=within_s, answer_s=within_s))


async def outcome(pool: Pool, origin: Origin, *, within_s: float = 5.0) -> Answer | errors.NoAnswer:
    try:
        return await ask(pool, origin, within_s=within_s)
    except errors.NoAnswer as error:
        return error


def always(*pieces: bytes, then_close: bool = False) -> tuple[Serve, list[int]]:
    """A server that answers each request with `pieces`, and the number of requests of each connection."""
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(connections)
        connections.append(0)
        while True:
            await reader.readuntil(b"\r\n\r\n")
            connections[place] += 1
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if then_close:
                return

    return serve, connections


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


# What a good server says is read as it was said.

CUTS = st.lists(st.integers(0, 10_000), max_size=6)
HEADER_VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)


def framed(body: bytes, framing: str) -> bytes:
    if framing == "length":
        return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    if framing == "chunked":
        chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part]
        return b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n"
    return b"Connection: close\r\n\r\n" + body


@pytest.mark.parametrize("loop", LOOPS)
@given(
    status=st.sampled_from([200, 201, 400, 404, 429, 489, 500, 503]),
    body=st.binary(max_size=300),
    value=HEADER_VALUES,
    framing=st.sampled_from(["length", "chunked", "until the end"]),
    informed=st.booleans(),
    cuts=CUTS,
)
@settings(max_examples=60, deadline=None)
def test_an_answer_is_read_however_it_is_framed_and_cut(
    loop: str, status: int, body: bytes, value: str, framing: str, informed: bool, cuts: list[int]
) -> None:
    head = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" if informed else b""
    head += b"HTTP/1.1 %d Fine\r\nX-Value: %s\r\n" % (status, value.encode())
    pieces = cut(head + framed(body, framing), cuts)

    async def twice() -> list[Answer]:
        serve, _ = always(*pieces, then_close=framing == "until the end")
        pool = a_pool()
        async with served(serve) as origin:
            return [await ask(pool, origin) for _ in range(2)]

    for answer in run_on(loop, twice()):
        assert (answer.status, answer.body) == (status, body)
        assert (b"X-Value", value.encode()) in answer.headers
        assert (b"Link", b"</a>") not in answer.headers


def test_answers_without_a_body_keep_the_connection(run: Run) -> None:
    async def thrice() -> tuple[list[int], list[int]]:
        serve, connections = always(b"HTTP/1.1 204 No Content\r\n\r\n")
        pool = a_pool()
        async with served(serve) as origin:
            return [(await ask(pool, origin)).status for _ in range(3)], connections

    assert run(thrice()) == ([204, 204, 204], [3])


# Whatever a server says, there is an end, and the next request gets its own answer.


def damaged() -> st.SearchStrategy[bytes]:
    good = st.sampled_from(
        [
            OK,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nok",
            OK + OK,
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ]
    )
    spot = st.tuples(st.integers(0, 10_000), st.binary(max_size=3), st.integers(0, 4))

    def damage(data: bytes, spots: list[tuple[int, bytes, int]]) -> bytes:
        for place, new, gone in spots:
            at = place % (len(data) + 1)
            data = data[:at] + new + data[at + gone :]
        return data

    return st.one_of(st.binary(max_size=200), st.builds(damage, good, st.lists(spot, max_size=3)))


@pytest.mark.parametrize("loop", LOOPS)
@given(said=damaged(), cuts=CUTS, then_close=st.booleans())
@settings(max_examples=150, deadline=None)
def test_whatever_a_server_says_there_is_an_end_and_the_next_answer_is_its_own(
    loop: str, said: bytes, cuts: list[int], then_close: bool
) -> None:
    async def check() -> None:
        bad, _ = always(*cut(said, cuts), then_close=then_close)
        good, _ = always(OK)
        turns = iter([bad])

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await next(turns, good)(reader, writer)  # the first connection is the bad one

        pool = a_pool()
        async with served(serve) as origin:
            first = await outcome(pool, origin, within_s=0.2)
            second = await outcome(pool, origin, within_s=0.2)
        if isinstance(first, errors.NoAnswer):
            assert isinstance(second, Answer)
            assert second.body == b"ok"
        elif isinstance(second, Answer):  # of the same connection, or of a new one
            assert second in (first, Answer(200, [(b"Content-Length", b"2")], b"ok"))

    run_on(loop, check())


@pytest.mark.parametrize("surplus", [OK, b"x", b"HTTP/1.1 200 OK\r\nX-Evil: yes\r\nContent-Length: 0\r\n\r\n"])
def test_nothing_that_follows_an_answer_becomes_part_of_it_or_of_the_next(run: Run, surplus: bytes) -> None:
    async def both() -> tuple[Answer, Answer, list[int]]:
        serve, connections = always(OK + surplus)
        pool = a_pool()
        async with served(serve) as origin:
            return await ask(pool, origin), await ask(pool, origin), connections

    first, second, connections = run(both())
    assert first == second == Answer(200, [(b"Content-Length", b"2")], b"ok")
    assert connections == [1, 1]


def test_an_answer_that_is_too_long_is_given_up(run: Run) -> None:
    async def long() -> Answer | errors.NoAnswer:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(MAX_BYTES + MAX_HEAD_BYTES):
                writer.write(b"x" * 10_000)
                await writer.drain()

        async with served(serve) as origin:
            return await outcome(a_pool(), origin)

    assert isinstance(run(long()), errors.BadAnswer)


# Connections.


def test_connections_are_kept_and_at_most_so_many(run: Run) -> None:
    async def many() -> list[int]:
        serve, connections = always(OK)
        pool = a_pool(most=3, idle=3)
        async with served(serve) as origin:
            await asyncio.gather(*(ask(pool, origin) for _ in range(30)))
        return connections

    connections = run(many())
    assert len(connections) <= 3
    assert sum(connections) == 30


def test_without_idle_connections_each_request_has_its_own(run: Run) -> None:
    async def thrice() -> list[int]:
        serve, connections = always(OK)
        pool = a_pool(idle=0)
        async with served(serve) as origin:
            for _ in range(3):
                await ask(pool, origin)
        return connections

    assert run(thrice()) == [1, 1, 1]


@contextmanager
def answers_and_closes() -> Iterator[Origin]:
    """A server in a thread: it goes on while the event loop stands still."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                connection, _address = server.accept()
                connection.recv(1000)
                connection.sendall(OK)
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield Origin("127.0.0.1", server.getsockname()[1], is_tls=False)
        thread.join()


@pytest.mark.parametrize("frozen", [True, False])
def test_a_connection_that_the_server_has_closed_is_not_used(run: Run, *, frozen: bool) -> None:
    async def twice(origin: Origin) -> list[bytes]:
        pool = a_pool()
        first = await ask(pool, origin)
        if frozen:
            time.sleep(0.05)  # noqa: ASYNC251  as the platform freezes an instance: the loop sees nothing of it
        else:
            await asyncio.sleep(0.05)
        return [first.body, (await ask(pool, origin)).body]

    with answers_and_closes() as origin:
        assert run(twice(origin)) == [b"ok", b"ok"]


def test_an_old_connection_is_not_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def twice() -> list[int]:
        serve, connections = always(OK)
        pool = a_pool()
        async with served(serve) as origin:
            await ask(pool, origin)
            now_s = time.monotonic()
            monkeypatch.setattr("lib.http.pool.monotonic", lambda: now_s + KEEPALIVE_S + 1)
            await ask(pool, origin)
        return connections

    assert run(twice()) == [1, 1]


def test_a_connection_is_not_kept_if_the_answer_came_before_the_request_was_written(run: Run) -> None:
    large = encode_request(b"POST", b"/", [(b"Host", b"here"), (b"Content-Length", b"50000000")], b"x" * 50_000_000)

    async def twice() -> list[int]:
        connections: list[int] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(1)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await writer.drain()
            await asyncio.sleep(0.5)  # and reads no more

        pool = a_pool()
        async with served(serve) as origin:
            assert (await ask(pool, origin, large)).body == b"ok"
            assert (await ask(pool, origin)).body == b"ok"
        return connections

    assert run(twice()) == [1, 1]


def test_a_closed_pool_has_no_connection(run: Run) -> None:
    async def check() -> None:
        ended = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await reader.read()
            ended.set()

        pool = a_pool()
        async with served(serve) as origin:
            await ask(pool, origin)
            await pool.close()
            await asyncio.wait_for(ended.wait(), 2)

    run(check())


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"])
def test_who_gives_up_leaves_no_connection_behind(run: Run, said: bytes) -> None:
    async def check() -> list[int]:
        serve, connections = always(said)
        pool = a_pool(most=1)
        async with served(serve) as origin:
            waiting = asyncio.create_task(ask(pool, origin))
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await outcome(pool, origin, within_s=0.1)
        return connections

    assert run(check()) == [1, 1]


# Time.


def test_a_server_that_is_too_slow_is_given_up_in_time(run: Run) -> None:
    async def slow() -> tuple[object, float]:
        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(1000):
                writer.write(b"x")
                await asyncio.sleep(0.02)

        async with served(drip) as origin:
            began_s = time.monotonic()
            return await outcome(a_pool(), origin, within_s=0.2), time.monotonic() - began_s

    error, took_s = run(slow())
    assert type(error) is errors.AnswerTimedOut
    assert took_s < 5


def test_who_waits_for_a_connection_waits_no_longer_than_told(run: Run) -> None:
    async def check() -> object:
        serve, _ = always(b"")
        pool = a_pool(most=1)
        async with served(serve) as origin:
            holding = asyncio.create_task(outcome(pool, origin, within_s=1))
            await asyncio.sleep(0.05)
            second = await outcome(pool, origin, within_s=0.1)
            holding.cancel()
            return second

    assert type(run(check())) is errors.NoFreeConnection


def test_a_server_that_cannot_be_reached(run: Run) -> None:
    async def check() -> list[object]:
        async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with served(silent) as origin:
            shaking = await outcome(
                a_pool(tls=ssl.create_default_context), Origin(origin.host, origin.port, is_tls=True), within_s=0.2
            )
        closed = await outcome(a_pool(), origin)
        names = [await outcome(a_pool(), Origin(name, 80, is_tls=False)) for name in ("no-such.invalid", "a" * 70)]
        return [shaking, closed, *names]

    shaking, *others = run(check())
    assert type(shaking) is errors.ConnectTimedOut
    assert {type(error) for error in others} == {errors.NotConnected}


# What has left.


@pytest.mark.parametrize(
    ("said", "kept", "error"),
    [
        (b"", False, errors.BadAnswer),
        (b"", True, errors.MetClosed),
        (b"HTTP/1.1 2", False, errors.BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", True, errors.BadAnswer),
    ],
)
def test_a_connection_that_closes_upon_a_request(
    run: Run, said: bytes, *, kept: bool, error: type[errors.NoAnswer]
) -> None:
    async def check() -> object:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if kept:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(OK)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)

        pool = a_pool()
        async with served(serve) as origin:
            if kept:
                await ask(pool, origin)
            return await outcome(pool, origin)

    found = run(check())
    assert type(found) is error
    assert not isinstance(found, errors.NeverLeft)


# What is written.

TOKENS = st.one_of(
    st.text(st.characters(codec="latin-1"), max_size=12),
    st.lists(st.sampled_from(["a", "\r", "\n", "\r\n", ": ", "\0", "GET / HTTP/1.1"]), max_size=6).map("".join),
)


@given(
    method=st.sampled_from(["GET", "POST", "get", "P T"]),
    target=st.one_of(st.just("/a?b=c"), TOKENS),
    headers=st.lists(st.tuples(st.one_of(st.just("X-One"), TOKENS), TOKENS), max_size=4),
    body=st.binary(max_size=20),
)
def test_a_request_is_refused_or_arrives_as_it_was_meant(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    meant = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    meant = [(name, value) for name, value in meant if name.lower() not in {b"host", b"content-length"}]
    sent = [(b"Host", b"here"), *meant, (b"Content-Length", b"%d" % len(body))]
    try:
        data = encode_request(method.encode(), target.encode("latin-1"), sent, body)
    except ValueError:
        return
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    request = server.next_event()
    assert isinstance(request, h11.Request)
    assert (request.method, request.target) == (method.encode(), target.encode("latin-1"))
    assert list(request.headers) == [(name.lower(), value.strip(b" \t")) for name, value in sent]
    assert b"".join(bytes(event.data) for event in _events(server) if isinstance(event, h11.Data)) == body


def _events(server: h11.Connection) -> list[h11.Event]:
    events: list[h11.Event] = []
    while not isinstance(event := server.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Event)
        events.append(event)
    return events


# TLS.


def certificate(folder: Path, *, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    plain, pem = serialization.NoEncryption(), serialization.Encoding.PEM
    file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + built.public_bytes(pem))
    return file


@pytest.mark.parametrize(
    ("trusted", "name", "reached"),
    [(True, "localhost", True), (False, "localhost", False), (True, "other.example", False)],
    ids=["good", "of an unknown authority", "for another host"],
)
def test_a_certificate_is_checked(run: Run, tmp_path: Path, *, trusted: bool, name: str, reached: bool) -> None:
    file = certificate(tmp_path, name=name)
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_tls.load_cert_chain(file)
    client_tls = ssl.create_default_context(cafile=str(file)) if trusted else ssl.create_default_context()

    async def check() -> tuple[list[Answer | errors.NoAnswer], list[int]]:
        serve, connections = always(OK)
        pool = a_pool(tls=lambda: client_tls)
        async with served(serve, server_tls) as origin:
            to = Origin("localhost", origin.port, is_tls=True)
            found = [await outcome(pool, to), await outcome(pool, to)]
            await pool.close()
            return found, connections

    found, connections = run(check())
    assert all(isinstance(each, Answer if reached else errors.NotConnected) for each in found)
    assert connections == ([2] if reached else [])


# Under httpx.


@pytest.mark.parametrize(
    ("error", "theirs", "code"),
    [
        (errors.NotConnected(), httpx.ConnectError, "connection_failed"),
        (errors.ConnectTimedOut(), httpx.ConnectTimeout, "timeout"),
        (errors.NoFreeConnection(), httpx.PoolTimeout, "pool_exhausted"),
        (errors.AnswerTimedOut(), httpx.ReadTimeout, "timeout"),
        (errors.MetClosed(), httpx.ReadError, "connection_failed"),
        (errors.BadAnswer(), httpx.RemoteProtocolError, "connection_failed"),
    ],
)
def test_httpx_raises_its_own_errors(error: Exception, theirs: type[Exception], code: str) -> None:
    class Broken(Pool):
        async def ask(self, *_args: object) -> Answer:
            raise error

    async def request() -> None:
        pool = Broken(max_connections=1, max_idle=1, max_bytes=1, tls=no_tls)
        async with httpx.AsyncClient(transport=PoolTransport(pool)) as http:
            await http.get("http://here.example/")

    with pytest.raises(theirs) as caught:
        asyncio.run(request())
    assert type(caught.value) is theirs
    assert classify(caught.value).code == code
    assert classify(caught.value).retryable


@pytest.mark.parametrize(
    ("url", "headers", "theirs"),
    [
        ("ftp://here.example/", {}, httpx.UnsupportedProtocol),
        ("http://here.example/", {"X-Two": "a\r\nX-Three: b"}, httpx.LocalProtocolError),
        ("http://here.example/", {"Bad Name": "a"}, httpx.LocalProtocolError),
    ],
)
def test_what_cannot_be_sent_is_refused_before_there_is_a_connection(
    url: str, headers: dict[str, str], theirs: type[Exception]
) -> None:
    async def request() -> None:
        async with client(timeout_s=5, max_connections=1, max_idle=1, max_bytes=1) as http:
            await http.get(url, headers=headers)

    with pytest.raises(theirs):
        asyncio.run(request())


def test_a_compressed_answer_is_unpacked_and_a_redirect_is_not_followed(run: Run) -> None:
    packed = gzip.compress(b'{"a": 1}')

    async def check() -> tuple[httpx.Response, httpx.Response]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n" + framed(packed, "length"))
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /else\r\nSet-Cookie: a=b\r\n" + framed(b"", "length"))
            assert b"cookie" not in (await reader.read(100)).lower()

        async with (
            served(serve) as origin,
            client(timeout_s=5, max_connections=1, max_idle=1, max_bytes=1000) as http,
        ):
            url = f"http://{origin.host}:{origin.port}/"
            return await http.get(url), await http.post(url, json={})

    unpacked, redirect = run(check())
    assert unpacked.json() == {"a": 1}
    assert redirect.status_code == 302


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    serve, connections = always(OK)

    async def check() -> httpx.Response:
        async with served(serve) as origin:
            monkeypatch.setenv("http_proxy", f"http://{origin.host}:{origin.port}")
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            async with client(timeout_s=5, max_connections=1, max_idle=1, max_bytes=1000) as http:
                return await http.get("http://supabase.example/")

    assert asyncio.run(check()).text == "ok"
    assert connections == [1]
