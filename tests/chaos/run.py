"""One run: what is told, under what is broken, to the end, and the judgement of it."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import httpx

from dev.stack import Stack, StackConfig, keys
from lib.container import Container
from lib.core.settings import load
from lib.qstash.publisher import CONSUMER_PATH, EVENT_LABEL, FAILURE_PATH
from tests.chaos.faults import Faults
from tests.chaos.judge import Judgement, judge, read_tables
from tests.chaos.meta import Meta
from tests.chaos.model import expected
from tests.chaos.outside import NEXT_PHASE, Outside
from tests.chaos.prepare import prepare
from tests.chaos.recovery import recover
from tests.chaos.schedule import Fault
from tests.chaos.story import Happened, Plan, Story
from tests.chaos.traffic import Told, traffic
from tests.chaos.watch import Watch

SAMPLE_EVERY_S = 0.5
PUBLISH_AGAIN_S = 0.3
LISTEN_EVERY_S = 0.02
TOLD_IN_OUTAGE = 0.15
"""The part of the outage in which Meta still has something new to tell: QStash gives up on that, too."""

Tick = Callable[[Story, Fault | None], None]
"""Called twice a second, and with each fault as it comes."""


class Run:
    """One run on a stack that has just started, with `outside` as its world."""

    def __init__(self, stack: Stack, plan: Plan, outside: Outside, tick: Tick) -> None:
        self.story = Story(plan)
        self._stack, self._plan, self._outside, self._tick = stack, plan, outside, tick
        self._meta = Meta(stack.functions_url, keys.APP_SECRET, seed=plan.seed)
        self._faults, self._watch = Faults(stack), Watch(stack)
        self._poison: set[str] = set()
        self._now_ms = time.time_ns() // 1_000_000
        # The last events are told during the outage.
        self._told = traffic(plan.seed, plan.events, plan.lasts_s + plan.outage_s * TOLD_IN_OUTAGE, now_ms=self._now_ms)
        self._began_s = 0.0

    async def run(self) -> Story:
        """The run. Raises `StackError` when a part of the stack can't be mended."""
        here = Container(load(self._stack.env))
        self.story.webhooks = self._meta.tally
        beside: list[asyncio.Task[None]] = []
        try:
            await asyncio.to_thread(self._faults.start_old_instance)
            await prepare(self._stack, here, self._told, outside_url=self._outside.url)
            self._began_s = time.monotonic()
            self._meta.tell((one for one in self._told if one.what != "poison"), began_s=self._began_s)
            beside = [asyncio.create_task(work) for work in (self._meta.run(), self._listen(), self._sample())]
            await self._chaos()
            self.story.faults_over_s = self._at_s()
            await asyncio.to_thread(self._faults.mend)
            await recover(self._stack, here, self._meta, self._watch, self._say)
            self.story.judgement = await asyncio.to_thread(self._judge)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await here.close()
            self._faults.close()
            self._watch.close()
        return self.story

    async def _chaos(self) -> None:
        """Faults, lane by lane, and what comes from another publisher, until the time is over."""
        lanes: dict[str, list[Fault]] = {}
        for fault in self._plan.faults:
            lanes.setdefault(fault.lane, []).append(fault)
        outage = lanes.pop("outage", [])
        poison = [one for one in self._told if one.what == "poison"]
        work: list[Coroutine[Any, Any, None]] = [self._break(faults) for faults in lanes.values()]
        await asyncio.gather(*work, self._poisoned(poison), self._until(self._plan.lasts_s))
        # Alone: what another lane mends would end it too early.
        await asyncio.to_thread(self._faults.mend)
        await self._break(outage)

    async def _break(self, faults: list[Fault]) -> None:
        for fault in faults:
            await self._until(fault.at_s)
            began_s = self._at_s()
            self._tick(self.story, fault)
            await asyncio.to_thread(self._faults.begin, fault)
            await asyncio.sleep(fault.for_s)
            await asyncio.to_thread(self._faults.end, fault)
            self.story.happened.append(Happened(fault, began_s, self._at_s()))

    async def _poisoned(self, poison: list[Told]) -> None:
        for one in poison:
            await self._until(one.at_s)
            await self._publish(one)

    async def _publish(self, poison: Told) -> None:
        base, env = self._stack.functions_url, self._stack.env
        headers = {
            "Authorization": f"Bearer {env['QSTASH_TOKEN']}",
            "Upstash-Deduplication-Id": f"poison_{poison.number}",
            "Upstash-Retries": "3",
            "Upstash-Label": EVENT_LABEL,
            "Upstash-Failure-Callback": base + FAILURE_PATH,
        }
        url = f"{self._stack.qstash_url}/v2/publish/{base}{CONSUMER_PATH}"
        async with httpx.AsyncClient(timeout=5.0, trust_env=False) as http:
            while True:
                try:
                    answer = await http.post(url, json=dict(poison.item), headers=headers)
                    self._poison.add(answer.raise_for_status().json()["messageId"])
                    return
                except (httpx.HTTPError, ValueError):
                    await asyncio.sleep(PUBLISH_AGAIN_S)

    async def _sample(self) -> None:
        while True:
            sample = await asyncio.to_thread(self._watch.sample, self._at_s(), len(self._meta.tally.accepted))
            self.story.samples.append(sample)
            self.story.told = sum(one.what != "poison" for one in self._told)
            self._tick(self.story, None)
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def _listen(self) -> None:
        while True:
            while not self._outside.echoes.empty():
                self._hear(self._outside.echoes.get())
            await asyncio.sleep(LISTEN_EVERY_S)

    def _hear(self, body: dict[str, Any]) -> None:
        """An echo: one more thing for Meta to tell."""
        item = body["entry"][0]["messaging"][0]
        account, contact = item["sender"]["id"], item["recipient"]["id"]
        echo = Told(self._plan.events + len(self._told), 0.0, "item", account, contact, item)
        self._told.append(echo)
        self._meta.tell([echo], began_s=time.monotonic())

    async def _say(self, what: str) -> None:
        self.story.now = what
        self._tick(self.story, None)

    def _judge(self) -> Judgement:
        return judge(
            expected(self._told, now_ms=self._now_ms),
            read_tables(self._stack),
            handed_on=self._outside.handed_on,
            poison=self._poison,
            webhooks=self._meta.tally.wrong,
        )

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, at_s - self._at_s()))

    def _at_s(self) -> float:
        return time.monotonic() - self._began_s


def config_for(config: StackConfig, outside: Outside) -> StackConfig:
    """The stack of a run: several instances, a next phase, and echoes, for they settle what nobody else can."""
    return replace(config, instances=2, echo="on", env={"PHASE3_URL": outside.url + NEXT_PHASE})
