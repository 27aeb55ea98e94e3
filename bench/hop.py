"""What httpcore brings over httpx under the hop, the webhook's request to the internal endpoint: both in one run.

The same request is sent by `IngestHttpClient`, which uses httpcore, and by the same client written with httpx. The
network is in memory.
"""

import asyncio
import contextlib
import io
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

import httpx

from bench import package
from bench.function import (
    BASE_URL,
    INGEST,
    WEBHOOK,
    App,
    answered,
    ingest_answer,
    load,
    use_ingest_client,
    webhook_body,
)
from bench.memory_network import MemoryNetwork
from bench.section import Section, Tell, half, ratio
from dev.stack.config import ROOT
from lib.ingest.http_client import CONNECT_TIMEOUT_S, KEEPALIVE_S, MAX_CONNECTIONS, IngestHttpClient

SPENT_S = 20.0
STARTS = 15

HTTPCORE, HTTPX = "httpcore", "httpx"
CLIENTS = {
    HTTPCORE: "httpcore.AsyncConnectionPool(ssl_context=context)",
    HTTPX: "httpx.AsyncClient(verify=context, trust_env=False)",
}

START = """
import json, ssl, sys, time, certifi, starlette.applications
context = ssl.create_default_context(cafile=certifi.where())
began = time.perf_counter(), time.process_time()
import {module}
{client}
ended = time.perf_counter(), time.process_time()
sys.stderr.write(json.dumps([(end - begin) * 1e3 for begin, end in zip(began, ended)]))
"""
"""What a fresh process does: the webhook has imported Starlette and made its TLS context in any case."""


class HttpxClient:
    """`IngestHttpClient` with httpx in the place of httpcore: the same limits and the same timeouts."""

    def __init__(self, url: str, *, network: MemoryNetwork) -> None:
        limits = httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_S)
        transport = httpx.AsyncHTTPTransport(limits=limits)
        transport._pool._network_backend = network  # httpx has no parameter for it
        self._url = httpx.URL(url)
        self._http = httpx.AsyncClient(transport=transport, trust_env=False)

    async def post(self, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> tuple[int, bytes]:
        """Returns the status and the body of the answer."""
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
        answer = await self._http.post(self._url, content=body, headers=headers, timeout=timeout)
        return answer.status_code, answer.content


Times = dict[str, list[tuple[float, float]]]
"""By client, of each measurement: the time by the wall clock, and the processor time."""


def run(tell: Tell, *, quick: bool) -> Section:
    """Measures one request, a webhook of one event, and the import of each client."""
    spent_s, starts = (SPENT_S / 20, 2) if quick else (SPENT_S, STARTS)
    tell("requests")
    with contextlib.redirect_stdout(io.StringIO()):  # the function's own log lines
        request, webhook = asyncio.run(_requests(load(WEBHOOK), spent_s / 2))
    tell("making the package")
    built = package.make(ROOT)
    tell("starting processes")
    imports = {bytecode: _imports(built, starts, bytecode=bytecode) for bytecode in (False, True)}
    return Section(
        title="httpcore or httpx under the hop",
        about=(
            "The webhook's request to the internal endpoint: by `IngestHttpClient`, which uses httpcore, and by the "
            "same client on httpx. Both in turns, over a network in memory: the request alone, and the whole answer to "
            "a webhook of one event. The import is that of a fresh process with the function's package "
            f"({built.made}), after Starlette and the TLS context, until the client is made. Medians, with the half "
            "of the times around them; CPU is the processor time. Baseline: httpx."
        ),
        head=("measured", "httpcore", "half within", "httpx", "half within", "httpcore to httpx"),
        rows=(
            *_rows("the request, µs", request, 1e6),
            *_rows("a webhook of one event, µs", webhook, 1e6),
            *_rows("import without bytecode, ms", imports[False], 1),
            *_rows("import with bytecode, ms", imports[True], 1),
        ),
    )


async def _requests(webhook: App, spent_s: float) -> tuple[Times, Times]:
    """Times of the request alone, and of the webhook's answer; in seconds."""
    body = webhook_body(1)
    network = MemoryNetwork(ingest_answer(body))
    hops = {
        name: make(BASE_URL + INGEST, network=network)
        for name, make in ((HTTPCORE, IngestHttpClient), (HTTPX, HttpxClient))
    }

    def request(hop: IngestHttpClient) -> Callable[[], Awaitable[object]]:
        return lambda: hop.post(body, {"Content-Type": "application/json"}, timeout_s=2.0)

    def whole(hop: IngestHttpClient) -> Callable[[], Awaitable[object]]:
        use_ingest_client(hop)
        return lambda: answered(webhook, body)

    return await _in_turns(hops, request, spent_s), await _in_turns(hops, whole, spent_s)


async def _in_turns(
    hops: Mapping[str, object], work: Callable[[IngestHttpClient], Callable[[], Awaitable[object]]], spent_s: float
) -> Times:
    times: Times = {name: [] for name in hops}
    deadline = time.perf_counter() + spent_s
    while time.perf_counter() < deadline:
        for name, hop in hops.items():
            ready = work(cast(IngestHttpClient, hop))
            began_s, began_cpu_s = time.perf_counter(), time.thread_time()
            await ready()
            times[name].append((time.perf_counter() - began_s, time.thread_time() - began_cpu_s))
    return {name: taken[1:] for name, taken in times.items()}  # the first one made the connection


def _imports(built: package.Package, starts: int, *, bytecode: bool) -> Times:
    """Times of import and client, in milliseconds."""
    times: Times = {name: [] for name in CLIENTS}
    for number in range(starts + 1):
        for name, client in CLIENTS.items():
            done = built.run("-c", START.format(module=name, client=client), bytecode=bytecode)
            if done.returncode:
                raise RuntimeError(f"{name} could not be imported: {done.stderr[-2000:]}")
            if number:  # the first one fills the disk cache
                wall_ms, cpu_ms = json.loads(done.stderr)
                times[name].append((wall_ms, cpu_ms))
    return times


def _rows(measured: str, times: Times, scale: float) -> tuple[tuple[str, ...], ...]:
    """Two rows: by the wall clock, and of the processor."""
    rows = []
    for clock, what in enumerate((measured, f"{measured}, CPU")):
        by_client = {name: [taken[clock] * scale for taken in pairs] for name, pairs in times.items()}
        medians = {name: statistics.median(values) for name, values in by_client.items()}
        cells = (cell for name in (HTTPCORE, HTTPX) for cell in _cells(by_client[name]))
        rows.append((what, *cells, ratio(medians[HTTPCORE], medians[HTTPX])))
    return tuple(rows)


def _cells(values: Sequence[float]) -> tuple[str, str]:
    return f"{statistics.median(values):.1f}", half(values, 1)
