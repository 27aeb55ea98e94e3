"""Connections: a send has a fresh one, a closed kept one costs a read nothing, and a failure says how far it came."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpcore
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.errors.exceptions import GraphTransportError
from lib.graph.client import GraphClient
from tests.graph.conftest import PERSON, TOKEN, Meta, credentials

CLOSING = ("close_after_answer", "close_idle", "close_kept")


@asynccontextmanager
async def client(meta: Meta) -> AsyncIterator[GraphClient]:
    """A client with the two pools that a function instance has."""
    none_kept = httpx.Limits(max_keepalive_connections=0)
    async with (
        httpx.AsyncClient(verify=False) as http,
        httpx.AsyncClient(verify=False, limits=none_kept) as fresh_http,
    ):
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


class Wire(httpcore.AsyncNetworkStream):
    """A connection that fails with `error` in its `fails_at` step: tls, write 1 (headers), write 2 (body), read."""

    def __init__(self, fails_at: str, error: Exception) -> None:
        self._fails_at, self._error, self._writes = fails_at, error, 0

    def _step(self, name: str) -> None:
        if name == self._fails_at:
            raise self._error

    async def start_tls(self, *_args: Any, **_options: Any) -> httpcore.AsyncNetworkStream:
        self._step("tls")
        return self

    async def write(self, _buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  httpcore's
        self._writes += 1
        self._step({1: "headers", 2: "body"}.get(self._writes, "more"))

    async def read(self, _most: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  httpcore's
        self._step("read")
        if self._fails_at == "headers":
            raise self._error  # a connection that could not be written to brings no answer either
        return b""

    async def aclose(self) -> None:
        pass

    def get_extra_info(self, _info: str) -> Any:
        return None


class Network(httpcore.AsyncNetworkBackend):
    """Connects to a `Wire`, or fails to."""

    def __init__(self, fails_at: str, error: Exception) -> None:
        self._fails_at, self._error = fails_at, error

    async def connect_tcp(self, *_args: Any, **_options: Any) -> httpcore.AsyncNetworkStream:
        if self._fails_at == "connect":
            raise self._error
        return Wire(self._fails_at, self._error)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@pytest.mark.parametrize(
    ("fails_at", "error", "left"),
    [
        ("connect", httpcore.ConnectError(), False),
        ("connect", httpcore.ConnectTimeout(), False),
        ("tls", httpcore.ConnectError(), False),
        ("tls", httpcore.ConnectTimeout(), False),
        ("tls", TimeoutError(), False),
        ("headers", httpcore.WriteError(), False),
        ("headers", httpcore.WriteTimeout(), False),
        ("headers", TimeoutError(), False),
        ("body", httpcore.WriteError(), True),
        ("body", httpcore.WriteTimeout(), True),
        ("body", TimeoutError(), True),
        ("read", httpcore.ReadError(), True),
        ("read", httpcore.ReadTimeout(), True),
        ("read", httpcore.RemoteProtocolError(), True),
        ("nothing", RuntimeError(), True),
    ],
)
def test_a_send_may_have_left_once_its_body_has_begun_to(fails_at: str, error: Exception, *, left: bool) -> None:
    async def attempt() -> GraphTransportError:
        transport = httpx.AsyncHTTPTransport(verify=False)
        transport._pool = httpcore.AsyncConnectionPool(network_backend=Network(fails_at, error))
        async with httpx.AsyncClient(transport=transport) as http:
            url = "https://graph.example"
            graph = GraphClient(http, version="v26.0", instagram_url=url, facebook_url=url)
            with pytest.raises(GraphTransportError) as caught:
                await send(graph)
            return caught.value

    assert asyncio.run(attempt()).request_left is left


def test_a_send_with_a_header_that_cannot_be_written_never_left(meta: Meta) -> None:
    """The token is checked before the call, so the header is a default of the HTTP client."""

    async def attempt() -> GraphTransportError:
        async with httpx.AsyncClient(verify=False, headers={"Bad Name": TOKEN}) as http:
            with pytest.raises(GraphTransportError) as caught:
                await send(meta.graph(http))
            return caught.value

    assert not asyncio.run(attempt()).request_left
