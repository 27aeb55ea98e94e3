"""Sends messages through a running stack, one phase after the other, and notes all their times."""

import asyncio
import json
import statistics
import time
import uuid
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import httpx

from bench.load import Messages, Sender, Watcher, Webhook, check_all_arrived, qstash_state
from bench.processor_time import ProcessorTime
from bench.section import Tell
from dev.stack import Stack
from lib.events.model import as_json
from lib.webhooks.parser import parse_webhook

WARM_UP = 20
"""The number of webhooks before the measurement."""


@dataclass(frozen=True)
class Plan:
    """The amounts. `rate` is webhooks of one message a second; the burst has `burst` messages, `batch` a webhook.
    `outage` messages come in one webhook while QStash is down.

    Before the measurement each of `people` has written, so that every process is loaded and every person known.
    """

    people: int
    alone: int
    steady: int
    burst: int
    outage: int
    rate: float = 20.0
    batch: int = 100
    at_once: int = 4


@dataclass
class Times:
    """The moments of one phase, by mid, in seconds of `time.perf_counter`: due (or posted), and answered 200."""

    due: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)

    def to_answer(self) -> list[float]:
        """Returns the seconds until the 200."""
        return [at - self.due[mid] for mid, at in self.answered.items()]

    def to_row(self, seen: dict[str, float]) -> list[float]:
        """Returns the seconds until the row was seen."""
        return [seen[mid] - at for mid, at in self.due.items()]


@dataclass
class Measurements:
    """The measurements. `held` says how many messages QStash held: (moment, messages).

    `burst_cpu` is the seconds of processor time of each component during the burst.
    """

    alone: Times
    steady: Times
    burst: Times
    burst_cpu: dict[str, float]
    outage: Times
    held: list[tuple[float, int]]
    refused: Counter[int]
    seen: dict[str, float]
    resolution_ms: tuple[float, float]
    arrived: str


async def measure(stack: Stack, plan: Plan, tell: Tell) -> Measurements:
    """Runs all phases. Raises `RuntimeError` if a message does not arrive."""
    messages, held = Messages(plan.people), list[tuple[float, int]]()
    async with Sender(stack.functions_url) as sender:
        with Watcher(stack.dsn) as watcher:
            tell("warming up")
            warm = [messages.webhook(plan.people // WARM_UP) for _ in range(WARM_UP)]
            await asyncio.gather(*map(sender.post, warm))
            await watcher.until_seen([mid for webhook in warm for mid in webhook.mids])
            tell(f"the SQL function alone, {plan.alone} times")
            alone = await _alone(stack, messages, plan.alone, watcher)
            tell(f"{plan.steady} webhooks, {plan.rate:g} a second")
            steady = await _steady(sender, messages, plan)
            await watcher.until_seen(steady.due)
            gaps_s = [later - earlier for earlier, later in pairwise(watcher.asked)]
            tell(f"a burst of {plan.burst} messages")
            sampling = asyncio.create_task(_sample(stack, held, tell))
            spent = ProcessorTime(stack)
            try:
                burst = await _burst(sender, messages, plan)
                await watcher.until_seen(burst.due)
                burst_cpu = spent.since()
            finally:
                sampling.cancel()
                await asyncio.gather(sampling, return_exceptions=True)
            tell(f"{plan.outage} messages while QStash is down")
            outage = await _outage(stack, sender, messages.webhook(plan.outage))
            await watcher.until_seen(outage.due)
    arrived = check_all_arrived(stack, plan.people + plan.alone + plan.steady + plan.burst + plan.outage)
    resolution_ms = (statistics.median(gaps_s) * 1e3, percentile(gaps_s, 99) * 1e3)
    return Measurements(
        alone, steady, burst, burst_cpu, outage, held, sender.refused, watcher.seen, resolution_ms, arrived
    )


async def _alone(stack: Stack, messages: Messages, calls: int, watcher: Watcher) -> Times:
    """Calls `record_event` through PostgREST, one call after the other. Each row is seen before the next call."""
    times = Times()
    headers = {"apikey": stack.service_role_key, "Authorization": f"Bearer {stack.service_role_key}"}
    url = f"{stack.supabase_url}/rest/v1/rpc/record_event"
    async with httpx.AsyncClient(headers=headers, trust_env=False) as http:
        for _ in range(calls):
            webhook = messages.webhook(1)
            (event,) = parse_webhook(json.loads(webhook.body), received_at=time.time_ns() // 1_000_000)
            options = {"lease_token": str(uuid.uuid4()), "lease_s": 30}
            body = {"p_event": as_json(event), "p_via": "queue", "p_effects": [], "p_options": options}
            times.due[webhook.mids[0]] = time.perf_counter()
            (await http.post(url, json=body)).raise_for_status()
            times.answered[webhook.mids[0]] = time.perf_counter()
            await watcher.until_seen(webhook.mids)
    return times


async def _steady(sender: Sender, messages: Messages, plan: Plan) -> Times:
    """Posts by the clock, even while others wait. A webhook's time runs from the moment it was due."""
    times, began_s = Times(), time.perf_counter() + 0.1

    async def post(due_s: float) -> None:
        webhook = messages.webhook(1)
        await asyncio.sleep(due_s - time.perf_counter())
        times.due[webhook.mids[0]] = due_s
        times.answered[webhook.mids[0]] = await sender.post(webhook)

    await asyncio.gather(*(post(began_s + number / plan.rate) for number in range(plan.steady)))
    return times


async def _burst(sender: Sender, messages: Messages, plan: Plan) -> Times:
    """Posts as fast as the webhook accepts, a few at once. A message's time runs from its webhook's first post."""
    times = Times()
    left = deque[Webhook](messages.webhook(plan.batch) for _ in range(plan.burst // plan.batch))

    async def post() -> None:
        while left:
            webhook = left.popleft()
            times.due |= dict.fromkeys(webhook.mids, time.perf_counter())
            times.answered |= dict.fromkeys(webhook.mids, await sender.post(webhook))

    await asyncio.gather(*(post() for _ in range(plan.at_once)))
    return times


async def _outage(stack: Stack, sender: Sender, webhook: Webhook) -> Times:
    """Posts one webhook while QStash refuses everything."""
    async with httpx.AsyncClient(trust_env=False) as http:
        faults = f"{stack.qstash_url}/__dev/faults"
        before = (await http.get(faults)).json()
        (await http.post(faults, json={"publish": "refuse"})).raise_for_status()
        try:
            began_s = time.perf_counter()
            answered_s = await sender.post(webhook)
        finally:
            (await http.post(faults, json=before)).raise_for_status()
    return Times(dict.fromkeys(webhook.mids, began_s), dict.fromkeys(webhook.mids, answered_s))


async def _sample(stack: Stack, held: list[tuple[float, int]], tell: Tell) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            state = await qstash_state(http, stack)
            held.append((time.perf_counter(), state["pending"] + state["active"] + state["waiting_retry"]))
            if len(held) % 20 == 0:
                tell(f"the burst: QStash holds {held[-1][1]}")
            await asyncio.sleep(0.25)


def percentile(times: Sequence[float], percent: int) -> float:
    """Returns a percentile, from 1 to 99."""
    return statistics.quantiles(times, n=100, method="inclusive")[percent - 1]
