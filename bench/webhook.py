"""What the webhook function costs in its process: with 1, 10, 100 and 1000 events, against the bare floor.

The floor is what nobody can do without, for the same bytes: one HMAC-SHA256, one `json.loads`, one HTTP request over a
network in memory. Both send theirs by the same client to the same network, so that what is left is ours.
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

from matplotlib.figure import Figure

from bench.function import BASE_URL, INGEST, WEBHOOK, App, Call, call, load, network, webhook_body, webhook_call
from bench.memory_network import MemoryNetwork
from bench.section import Section, Tell, ratio, save
from dev.stack import keys
from lib.container import container
from lib.ingest.http_client import IngestHttpClient

SIZES = (1, 10, 100, 1000)
SPENT_S = 6.0
"""For one size, both sides together."""

MOST_REQUESTS = 12
FEWEST = 5
BEARER = {"authorization": f"Bearer {keys.INTERNAL_SECRET}", "x-ingest-budget-ms": "3800"}


def run(tell: Tell, *, quick: bool) -> Section:
    """Measures every size, and counts the requests a webhook of 1000 events leads to."""
    with contextlib.redirect_stdout(io.StringIO()):  # the functions' own log lines
        webhook, ingest = load(WEBHOOK), load(INGEST)
        return asyncio.run(_run(webhook, ingest, tell, SPENT_S / 20 if quick else SPENT_S))


async def _run(webhook: App, ingest: App, tell: Tell, spent_s: float) -> Section:
    measured: dict[int, tuple[float, float]] = {}
    for size in SIZES:
        tell(f"{size} events")
        measured[size] = await _measure(webhook, webhook_body(size), spent_s)
    tell("1000 events through the internal endpoint")
    requests, whole_s = await _whole(webhook, ingest, webhook_body(SIZES[-1]))
    (one, ten, hundred, most) = (measured[size] for size in SIZES)
    per_event_us = (most[0] - hundred[0]) / (SIZES[3] - SIZES[2]) * 1e6
    before_us = (hundred[0] - ten[0]) / (SIZES[2] - SIZES[1]) * 1e6
    return Section(
        title="The webhook's answer",
        about=(
            "The webhook function in its process, from the first byte of the request to the last of the answer. The "
            "floor, for the same bytes: one HMAC-SHA256, one `json.loads` and one HTTP/1.1 request with its answer, "
            "over a network in memory."
        ),
        head=("events in the webhook", "bytes", "ours, ms", "floor, ms", "ratio", "ours, µs an event"),
        rows=tuple(
            (
                f"{size}",
                f"{len(webhook_body(size))}",
                f"{ours * 1e3:.3f}",
                f"{floor * 1e3:.3f}",
                ratio(ours, floor),
                f"{ours / size * 1e6:.0f}",
            )
            for size, (ours, floor) in measured.items()
        ),
        remarks=(
            f"One more event costs {before_us:.0f} µs between 10 and 100 events, and {per_event_us:.0f} µs between 100 "
            f"and 1000. The aim is at most 1.5 times the floor for one event (here {ratio(*one)}), and linear after.",
            f"1000 events lead to {requests} outbound requests (at most {MOST_REQUESTS}): the hop, and QStash's "
            f"batches of 100. The webhook and the internal endpoint together take {whole_s * 1e3:.0f} ms for them, of "
            "Meta's 5 s.",
        ),
        pictures=((_picture(measured), "Time by events in the webhook, ours and the floor"),),
    )


async def _measure(webhook: App, body: bytes, spent_s: float) -> tuple[float, float]:
    """Median seconds: ours, the floor. Taken in turns, so that what slows the machine slows both."""
    request, answer = webhook_call(body), MemoryNetwork(_results(body))
    _hop_over(IngestHttpClient(BASE_URL + INGEST, network=answer))
    hop = IngestHttpClient(BASE_URL + INGEST, network=answer)

    async def ours() -> None:
        await _answered(webhook, request)

    async def floor() -> None:
        hmac.new(keys.APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
        json.loads(body)
        await hop.post(body, {"Content-Type": "application/json"}, timeout_s=2.0)

    sides: tuple[list[float], list[float]] = ([], [])
    deadline = time.perf_counter() + spent_s
    while time.perf_counter() < deadline or len(sides[0]) < FEWEST:
        for times, side in zip(sides, (ours, floor), strict=True):
            times.append(await _timed(side))
    return statistics.median(sides[0]), statistics.median(sides[1])


def _hop_over(hop: IngestHttpClient) -> None:
    """From now on the instance's hop is `hop`."""
    vars(container()).pop("forwarder", None)
    vars(container())["ingest_client"] = hop


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    began_s = time.perf_counter()
    await work()
    return time.perf_counter() - began_s


async def _answered(webhook: App, request: Call) -> None:
    status, body = await call(webhook, request)
    if status != 200 or b'"queued":0' in body:
        raise RuntimeError(f"the webhook answered {status}: {body[:200]!r}")


def _results(body: bytes) -> bytes:
    """What the internal endpoint says when QStash took every event."""
    mids = [item["message"]["mid"] for item in json.loads(body)["entry"][0]["messaging"]]
    results = [{"event_id": f"ig_msg_{mid}", "status": "queued", "via": "queue", "message_id": "msg_1"} for mid in mids]
    return json.dumps({"results": results}).encode()


async def _whole(webhook: App, ingest: App, body: bytes) -> tuple[int, float]:
    """Outbound requests for a webhook, and the seconds it takes, with an internal endpoint and a QStash in memory."""
    requests: list[str] = []

    async def reply(target: str, sent: bytes) -> tuple[int, bytes]:
        requests.append(target)
        if target == INGEST:
            return await call(ingest, Call("POST", INGEST, sent, BEARER))
        return 200, json.dumps([{"messageId": f"msg_{number}"} for number in range(len(json.loads(sent)))]).encode()

    _hop_over(IngestHttpClient(BASE_URL + INGEST))
    with network(reply):
        await _answered(webhook, webhook_call(webhook_body(1)))
        requests.clear()
        took_s = await _timed(lambda: _answered(webhook, webhook_call(body)))
    if len(requests) > MOST_REQUESTS:
        raise RuntimeError(f"{len(requests)} requests for one webhook: {requests}")
    return len(requests), took_s


def _picture(measured: dict[int, tuple[float, float]]) -> str:
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for place, (name, color) in enumerate((("ours", "#1f6f54"), ("floor", "#8a8f98"))):
        axes.loglog(list(measured), [times[place] * 1e3 for times in measured.values()], "o-", color=color, label=name)
    axes.set_xlabel("events in the webhook")
    axes.set_ylabel("ms, median")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, "webhook.svg")
