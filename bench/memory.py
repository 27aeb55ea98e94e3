"""The memory of a function instance over many events, against an empty application in the same run.

Each function has a process of its own. An event takes its real way: webhook, internal endpoint, QStash's stand-in,
consumer, Postgres.
"""

import asyncio
import contextlib
import http.client
import math
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
from matplotlib.figure import Figure

from bench.instances import CONSUMER, EMPTY, EMPTY_PATH, INGEST, WEBHOOK, Process, one_each
from bench.load import Messages, Sender, check_all_arrived, qstash_state
from bench.section import Section, Tell, ratio, save, without_frame
from dev.stack import Stack

EVENTS, EVENTS_QUICK = 100_000, 400
IN_A_WEBHOOK = 100
PEOPLE = 500
AT_ONCE = 2
MOST_HELD = 500
"""While QStash's stand-in holds more events, nothing is posted: a long queue would be memory of its own."""

EVERY_S = 1.0
WARM = 0.1
NEGLIGIBLE = 0.01
FITTED = 0.8
"""Shares of all events: a process is warm after the first tenth; growth is fitted over the last four fifths."""

BLOCKS = 8
MIB = 1024 * 1024
COLORS = {WEBHOOK: "#2f5d9b", INGEST: "#c98a1b", CONSUMER: "#1f6f54", EMPTY: "#8a8f98"}


@dataclass
class Curve:
    """The resident bytes of one process over its work so far, in events or requests."""

    done: list[int] = field(default_factory=list)
    rss: list[int] = field(default_factory=list)

    def add(self, done: int, rss: int) -> None:
        """Adds a point."""
        self.done.append(done)
        self.rss.append(rss)

    def at(self, done: float) -> int:
        """Returns the bytes at the first point with so much work done."""
        return next(rss for at, rss in zip(self.done, self.rss, strict=True) if at >= done)

    def growth(self, begin: float, end: float) -> float:
        """Returns the bytes an event of a fitted straight line, or 0 if there are too few points for a line."""
        points = [(at, rss) for at, rss in zip(self.done, self.rss, strict=True) if begin <= at <= end]
        if len({at for at, _ in points}) < 2:
            return 0.0
        return float(statistics.linear_regression(*zip(*points, strict=True)).slope)

    def noise(self, begin: float, end: float) -> float:
        """Returns two standard errors of the growth, estimated from `BLOCKS` parts of the way."""
        width = (end - begin) / BLOCKS
        parts = [self.growth(begin + width * part, begin + width * (part + 1)) for part in range(BLOCKS)]
        return 2 * statistics.stdev(parts) / math.sqrt(BLOCKS)


def run(tell: Tell, *, quick: bool) -> Section:
    """Measures on a stack of its own. Raises `RuntimeError` if an event does not arrive."""
    events = EVENTS_QUICK if quick else EVENTS
    with one_each(tell) as (stack, processes):
        began_s = time.monotonic()
        curves, size = asyncio.run(_drive(stack, processes, events, tell))
        arrived = f"{check_all_arrived(stack, events)} It took {time.monotonic() - began_s:.0f} s."
        curves[EMPTY] = _drive_empty(processes[EMPTY], events, size, tell)
    return _section(curves, events, size, arrived)


async def _drive(
    stack: Stack, processes: Mapping[str, Process], events: int, tell: Tell
) -> tuple[dict[str, Curve], int]:
    """Posts the events and waits until QStash has delivered them. Returns the curves, and the bytes of one event."""
    curves = {name: Curve() for name in processes if name != EMPTY}
    messages, left, held = Messages(PEOPLE), events // IN_A_WEBHOOK, 0

    async def post(sender: Sender) -> None:
        nonlocal left
        while left:
            if held > MOST_HELD:
                await asyncio.sleep(0.05)
                continue
            left -= 1
            await sender.post(messages.webhook(IN_A_WEBHOOK))

    async def follow(posting: Sequence[asyncio.Task[None]]) -> None:
        nonlocal held
        sampled_s, told = 0.0, -1
        async with httpx.AsyncClient(trust_env=False) as state_of:
            while True:
                posted = all(task.done() for task in posting)
                state = await qstash_state(state_of, stack)
                held, over = state["pending"] + state["active"] + state["waiting_retry"], posted and state["idle"]
                if over or time.monotonic() > sampled_s + EVERY_S:
                    sampled_s = time.monotonic()
                    for name, curve in curves.items():
                        curve.add(state["delivered"], processes[name].rss())
                if (percent := 100 * state["delivered"] // events) > told:
                    told = percent
                    tell(f"{percent} % of {events:,} events")
                if over:
                    return
                await asyncio.sleep(0.1)

    async with Sender(processes[WEBHOOK].url) as sender, asyncio.TaskGroup() as tasks:
        posting = [tasks.create_task(post(sender)) for _ in range(AT_ONCE)]
        tasks.create_task(follow(posting))
    return curves, len(messages.webhook(IN_A_WEBHOOK).body) // IN_A_WEBHOOK


def _drive_empty(process: Process, requests: int, size: int, tell: Tell) -> Curve:
    """Sends as many requests as there were events, each of an event's size, on kept connections."""
    tell(f"{requests:,} requests to the empty application")
    curve, left, gate = Curve(), requests, threading.Lock()
    body = b"x" * size

    def post() -> None:
        nonlocal left
        connection = http.client.HTTPConnection(urlsplit(process.url).netloc, timeout=30)
        with contextlib.closing(connection):
            while True:
                with gate:
                    if left <= 0:
                        return
                    left -= 1
                connection.request("POST", EMPTY_PATH, body)
                connection.getresponse().read()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        posting = [pool.submit(post) for _ in range(AT_ONCE)]
        try:
            while not all(task.done() for task in posting):
                curve.add(requests - left, process.rss())
                time.sleep(EVERY_S / 5)
        finally:
            left = 0
        for task in posting:
            task.result()
    curve.add(requests, process.rss())
    return curve


def _section(curves: Mapping[str, Curve], events: int, size: int, arrived: str) -> Section:
    begin = events * (1 - FITTED)
    names = {name: (curve.growth(begin, events), curve.noise(begin, events)) for name, curve in curves.items()}
    flat = [name for name, (growth, noise) in names.items() if growth <= max(noise, size * NEGLIGIBLE)]
    grows = [name for name in names if name not in flat]
    return Section(
        title="Memory of an instance",
        about=(
            f"{events:,} events in webhooks of {IN_A_WEBHOOK}, through webhook, internal endpoint, QStash's stand-in "
            "and consumer into Postgres, one process each; resident memory once a second. Growth is a straight line "
            f"fitted over the last {FITTED:.0%} of the events, ± two standard errors (from {BLOCKS} parts of the way). "
            f"Baseline: an empty Starlette application on the same server, {events:,} requests of {size} bytes, an "
            "event's size."
        ),
        head=(
            "process", f"MiB after {events * WARM:,.0f}", f"after {events:,}", "to baseline",
            "growth, bytes an event", "± noise", "growth to an event's size",
        ),
        rows=tuple(_row(name, curves, names[name], events, size) for name in curves),
        remarks=(
            f"Flat (no growth beyond noise, or less than {NEGLIGIBLE:.0%} of an event's size): "
            f"{', '.join(flat) or 'none'}. Growing: {', '.join(grows) or 'none'}.",
            arrived,
        ),
        pictures=((_picture(curves, events), "Resident memory of each process by events done"),),
    )  # fmt: skip


def _row(
    name: str, curves: Mapping[str, Curve], fitted: tuple[float, float], events: int, size: int
) -> tuple[str, ...]:
    curve, (growth, noise) = curves[name], fitted
    return (
        name,
        f"{curve.at(events * WARM) / MIB:.1f}",
        f"{curve.rss[-1] / MIB:.1f}",
        ratio(curve.rss[-1], curves[EMPTY].rss[-1]),
        f"{growth:+.1f}",
        f"{noise:.1f}",
        f"{growth / size:+.4f}×",
    )


def _picture(curves: Mapping[str, Curve], events: int) -> str:
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        step = max(1, len(curve.done) // 300)
        done, rss = curve.done[::step], [size / MIB for size in curve.rss[::step]]
        axes.plot(done, rss, color=COLORS[name], label=name)
    axes.axvline(events * (1 - FITTED), color="#444", linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("events done (the empty application: requests); dotted: growth is fitted from here")
    axes.set_ylabel("resident memory, MiB")
    axes.legend(frameon=False)
    without_frame(axes)
    return save(figure, "memory.svg")
