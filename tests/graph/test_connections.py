"""Connections: a send has a fresh one, a closed kept one costs a read nothing, and a failure says how far it came."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.errors.exceptions import GraphTransportError
from lib.graph.client import GraphClient
from lib.graph.transport import MAX_ANSWER_BYTES
from lib.http.transport import client as http_client
from tests.graph.conftest import PERSON, TOKEN, Meta, credentials

CLOSING = ("close_after_answer", "close_idle", "close_kept")


def new_client(*, max_idle: int) -> httpx.AsyncClient:
    return http_client(timeout_s=10, max_connections=64, max_idle=max_idle, max_bytes=MAX_ANSWER_BYTES)


@asynccontextmanager
async def client(meta: Meta) -> AsyncIterator[GraphClient]:
    """A client with the two pools that a function instance has."""
    async with new_client(max_idle=20) as http, new_client(max_idle=0) as fresh_http:
        urls = {"instagram_url": meta.url, "facebook_url": meta.url}
        yield GraphClient(http, version="v26.0", **urls, fresh_http=fresh_http)


async def send(graph: GraphClient, text: str = "Hello") -> str:
    return await graph.send(credentials(), recipient={"id": PERSON}, message={"text": text}, timeout_s=5)


def run(meta: Meta, steps: Iterable[tuple[str, float]]) -> None:
    """Sends and reads, with a pause in seconds after each."""

    async def all_steps() -> None:
        async with client(meta) as graph:
            for step, pause_s in steps:
                if step == "send":
                    await send(graph)
                elif step == "read":
                    await graph.profile(credentials(), PERSON, timeout_s=5)
                else:
                    await graph.conversation_messages(credentials(), PERSON, timeout_s=5)
                await asyncio.sleep(pause_s)

    asyncio.run(all_steps())


@pytest.mark.parametrize("fault", CLOSING)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["send", "read", "conversation"]), st.sampled_from([0.0, 0.001, 0.3])),
        min_size=2,
        max_size=6,
    )
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_call_fails_because_meta_closed_an_idle_connection(
    meta: Meta, fault: str, steps: list[tuple[str, float]]
) -> None:
    meta.post("reset", {})
    meta.post("echo", {"mode": "off"})
    meta.fault("*", fault)

    run(meta, steps)

    assert len(meta.sent()) == sum(step == "send" for step, _ in steps)


def test_a_send_has_a_connection_of_its_own_and_reads_share_one(meta: Meta) -> None:
    run(meta, [("read", 0), ("read", 0), ("send", 0), ("send", 0), ("read", 0)])

    assert [(call["endpoint"], call["kept_connection"]) for call in meta.calls()] == [
        ("profile", False),
        ("profile", True),
        ("send", False),
        ("send", False),
        ("profile", True),
    ]


def test_a_read_is_repeated_once_and_only_for_a_kept_connection(meta: Meta) -> None:
    run(meta, [("read", 0)])
    meta.fault("profile", "cut_before_accept")

    async def read_twice() -> None:
        async with client(meta) as graph:
            await graph.me(credentials(), timeout_s=5)  # the connection is kept
            with pytest.raises(GraphTransportError):
                await graph.profile(credentials(), PERSON, timeout_s=5)

    before = len(meta.calls())
    asyncio.run(read_twice())
    assert [call["endpoint"] for call in meta.calls()[before:]] == ["me", "profile", "profile"]


def test_a_read_that_gets_no_answer_in_time_is_not_repeated(meta: Meta) -> None:
    meta.fault("profile", "timeout_dropped")

    async def read() -> GraphTransportError:
        async with client(meta) as graph:
            await graph.me(credentials(), timeout_s=5)
            with pytest.raises(GraphTransportError) as caught:
                await graph.profile(credentials(), PERSON, timeout_s=0.3)
            return caught.value

    assert asyncio.run(read()).kind == "timeout"
    assert [call["endpoint"] for call in meta.calls()] == ["me", "profile"]


# How far a request came.


@contextmanager
def strange_server(said: bytes | None) -> Iterator[str]:
    """A server that reads a request, says `said`, and closes. None: the port is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        if said is None:
            server.close()
            yield url
            return

        def serve() -> None:
            connection, _address = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        yield url
        thread.join()


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (None, False),
        (b"", True),
        (b"HTTP/1.1 200", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b" " * 2_000_000, True),
        (b"no HTTP at all\r\n\r\n", True),
    ],
)
def test_a_send_may_have_left_once_it_was_written(said: bytes | None, *, left: bool) -> None:
    async def attempt(url: str) -> GraphTransportError:
        async with new_client(max_idle=0) as http:
            graph = GraphClient(http, version="v26.0", instagram_url=url, facebook_url=url)
            with pytest.raises(GraphTransportError) as caught:
                await send(graph)
            return caught.value

    with strange_server(said) as url:
        error = asyncio.run(attempt(url))
    assert (error.request_left, error.kind) == (left, "connection")


def test_a_send_with_a_header_that_cannot_be_written_never_left(meta: Meta) -> None:
    """The token is checked before the call, so the header is a default of the HTTP client."""

    async def attempt() -> GraphTransportError:
        async with new_client(max_idle=0) as http:
            http.headers["Bad Name"] = TOKEN
            with pytest.raises(GraphTransportError) as caught:
                await send(meta.graph(http))
            return caught.value

    assert not asyncio.run(attempt()).request_left
