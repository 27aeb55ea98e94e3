"""The time of the webhook's answer in its process, for 1, 10, 100 and 1000 events, against the bare floor.

The floor is the least that any webhook must do with the same bytes: one HMAC-SHA256, one `json.loads`, and one HTTP
request by a bare httpcore pool, over the same network in memory.
"""

import asyncio
import contextlib
import hashlib
import hmac
import io
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpcore
from matplotlib.figure import Figure

from bench.function import (
    BASE_URL,
    INGEST,
    WEBHOOK,
    App,
    Call,
    answered,
    call,
    ingest_answer,
    load,
    network,
    use_ingest_client,
    webhook_body,
)  # fmt: skip
from bench.memory_network import MemoryNetwork
from bench.section import Section, Tell, half, ratio, save, without_frame
from dev.stack import keys
from lib.ingest.http_client import IngestHttpClient

SIZES = (1, 10, 100, 1000)
SPENT_S = 6.0
"""The time to measure one size, ours and the floor together."""

MOST_REQUESTS = 12
FEWEST = 5
BEARER = {"authorization": f"Bearer {keys.INTERNAL_SECRET}", "x-ingest-budget-ms": "3800"}


def run(tell: Tell, *, quick: bool) -> Section:
    """Measures every size, and counts the outbound requests of a webhook of 1000 events."""
    with contextlib.redirect_stdout(io.StringIO()):  # the functions' own log lines
        webhook, ingest = load(WEBHOOK), load(INGEST)
        return asyncio.run(_run(webhook, ingest, tell, SPENT_S / 20 if quick else SPENT_S))


@dataclass
class Times:
    """Seconds of each answer: by the wall clock, and of the processor."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median by the wall clock."""
        return statistics.median(self.wall)


@dataclass(frozen=True)
class Measured:
    """One size of webhook: our answer and the floor."""

    ours: Times
    floor: Times


async def _run(webhook: App, ingest: App, tell: Tell, spent_s: float) -> Section:
    measured: dict[int, Measured] = {}
    for size in SIZES:
        tell(f"{size} events")
        measured[size] = await _measure(webhook, webhook_body(size), spent_s)
    tell("1000 events through the internal endpoint")
    requests, whole_s = await _whole(webhook, ingest, webhook_body(SIZES[-1]))
    ten, hundred, most = (statistics.median(measured[size].ours.cpu) for size in SIZES[1:])
    small_us = (hundred - ten) / (SIZES[2] - SIZES[1]) * 1e6
    large_us = (most - hundred) / (SIZES[3] - SIZES[2]) * 1e6
    return Section(
        title="The webhook's answer",
        about=(
            "The webhook function in its process, from the first byte of the request to the last byte of the answer. "
            "The floor, for the same bytes: one HMAC-SHA256, one `json.loads` and one HTTP/1.1 request with its "
            "answer by a bare httpcore pool, over a network in memory. Medians, with the half of our times around "
            "them; CPU is the processor time."
        ),
        head=(
            *("events in the webhook", "bytes", "ours, ms", "half within", "floor, ms", "ratio"),
            *("ours, CPU, ms", "floor, CPU, ms", "ratio", "ours, µs an event"),
        ),
        rows=tuple(_row(size, sides) for size, sides in measured.items()),
        remarks=(
            f"One more event costs {small_us:.0f} µs of CPU between 10 and 100 events, and {large_us:.0f} µs between "
            "100 and 1000. The aim is at most 1.5 times the floor for one event (here "
            f"{ratio(measured[1].ours.median, measured[1].floor.median)}), and linear growth after it.",
            f"1000 events lead to {requests} outbound requests (at most {MOST_REQUESTS}): the hop, and QStash's "
            f"batches of 100. The webhook and the internal endpoint together take {whole_s * 1e3:.0f} ms for them, of "
            "Meta's 5 s.",
        ),
        pictures=((_picture(measured), "Time by events in the webhook, ours and the floor"),),
    )


def _row(size: int, sides: Measured) -> tuple[str, ...]:
    median = sides.ours.median
    ours_cpu, floor_cpu = statistics.median(sides.ours.cpu), statistics.median(sides.floor.cpu)
    return (
        f"{size}",
        f"{len(webhook_body(size))}",
        f"{median * 1e3:.3f}",
        half([wall_s * 1e3 for wall_s in sides.ours.wall], 3),
        f"{sides.floor.median * 1e3:.3f}",
        ratio(median, sides.floor.median),
        f"{ours_cpu * 1e3:.3f}",
        f"{floor_cpu * 1e3:.3f}",
        ratio(ours_cpu, floor_cpu),
        f"{median / size * 1e6:.0f}",
    )


async def _measure(webhook: App, body: bytes, spent_s: float) -> Measured:
    """Ours and the floor in turns, so that a slow moment of the machine slows both."""
    memory = MemoryNetwork(ingest_answer(body))
    use_ingest_client(IngestHttpClient(BASE_URL + INGEST, network=memory))
    pool = httpcore.AsyncConnectionPool(network_backend=memory)

    async def ours() -> None:
        await answered(webhook, body)

    async def floor() -> None:
        hmac.new(keys.APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
        json.loads(body)
        await pool.request("POST", BASE_URL + INGEST, headers=[("Content-Type", "application/json")], content=body)

    measured = Measured(Times(), Times())
    deadline = time.perf_counter() + spent_s
    while time.perf_counter() < deadline or len(measured.ours.wall) < FEWEST:
        for times, side in ((measured.ours, ours), (measured.floor, floor)):
            wall_s, cpu_s = await _timed(side)
            times.wall.append(wall_s)
            times.cpu.append(cpu_s)
    return measured


async def _timed(work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """Returns the seconds of `work` by the wall clock, and of the processor."""
    began_s, began_cpu_s = time.perf_counter(), time.thread_time()
    await work()
    return time.perf_counter() - began_s, time.thread_time() - began_cpu_s


async def _whole(webhook: App, ingest: App, body: bytes) -> tuple[int, float]:
    """Returns how many outbound requests a webhook leads to, and the seconds until its answer.

    The internal endpoint is the function itself, and QStash is in memory.
    """
    requests: list[str] = []

    async def reply(target: str, sent: bytes) -> tuple[int, bytes]:
        requests.append(target)
        if target == INGEST:
            return await call(ingest, Call("POST", INGEST, sent, BEARER))
        return 200, json.dumps([{"messageId": f"msg_{number}"} for number in range(len(json.loads(sent)))]).encode()

    use_ingest_client(IngestHttpClient(BASE_URL + INGEST))
    with network(reply):
        await answered(webhook, webhook_body(1))
        requests.clear()
        took_s, _ = await _timed(lambda: answered(webhook, body))
    if len(requests) > MOST_REQUESTS:
        raise RuntimeError(f"{len(requests)} requests for one webhook: {requests}")
    return len(requests), took_s


def _picture(measured: dict[int, Measured]) -> str:
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    ours = [sides.ours.median * 1e3 for sides in measured.values()]
    floor = [sides.floor.median * 1e3 for sides in measured.values()]
    axes.loglog(list(measured), ours, "o-", color="#1f6f54", label="ours")
    axes.loglog(list(measured), floor, "o-", color="#8a8f98", label="floor")
    axes.set_xlabel("events in the webhook")
    axes.set_ylabel("ms, median")
    axes.legend(frameon=False)
    without_frame(axes)
    return save(figure, "webhook.svg")
