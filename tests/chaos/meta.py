"""Plays Meta: tells everything, regrouped at will, and tells again what was not answered 200 within five seconds: at
once, then less and less often.

Source: Meta, "Webhooks from Meta" and "Instagram Webhooks" (retries, batches of up to 1000). Must not know what the
pipeline does with a webhook; it judges answers only.
"""

import asyncio
import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from dev.send.webhook import WEBHOOK_PATH, as_meta_writes
from lib.webhooks.signature import sign_hub
from tests.chaos.model import envelope
from tests.chaos.traffic import Told

PATIENCE_S = 5.0
AT_ONCE = 6
MOST_IN_A_WEBHOOK = 25
TICK_S = 0.02
LONGEST_PAUSE_S = 8.0
FORGER = "not the app's secret"


@dataclass
class Tally:
    """What the webhook said: by status (0: nothing within five seconds, or a broken connection)."""

    statuses: Counter[int] = field(default_factory=Counter)
    accepted: set[int] = field(default_factory=set)
    told_again: int = 0
    wrong: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


class Meta:
    """One run's. `tell` may be called while `run` is at it, from the same thread."""

    def __init__(self, base_url: str, secret: str, *, seed: int) -> None:
        self.tally = Tally()
        self._url = base_url + WEBHOOK_PATH
        self._secret = secret
        self._dice = random.Random(f"{seed}/meta")
        self._due: list[tuple[float, int, int, Told]] = []
        self._order = itertools.count()
        self._posting: set[asyncio.Task[None]] = set()
        self._http = httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False)

    @property
    def waiting(self) -> int:
        """How many things are still to be told, or told again."""
        return len(self._due)

    @property
    def idle(self) -> bool:
        """Whether all is told and accepted."""
        return not self._due and not self._posting

    def tell(self, told: Iterable[Told], *, began_s: float) -> None:
        """Takes things on, each to be told at its time after `began_s`, which is of the steady clock."""
        for one in told:
            self._later(one, began_s + one.at_s, attempt=0)

    async def run(self) -> None:
        """Tells what is due, until cancelled."""
        try:
            while True:
                self._post_due()
                await asyncio.sleep(TICK_S)
        finally:
            for task in self._posting:
                task.cancel()
            await asyncio.gather(*self._posting, return_exceptions=True)
            await self._http.aclose()

    def _post_due(self) -> None:
        now_s = time.monotonic()
        while len(self._posting) < AT_ONCE and self._due and self._due[0][0] <= now_s:
            most = self._dice.choice((1, 1, 3, MOST_IN_A_WEBHOOK))
            batch = [heapq.heappop(self._due)]
            while len(batch) < most and self._due and self._due[0][0] <= now_s:
                batch.append(heapq.heappop(self._due))
            for part in _by_signer([(told, attempt) for _, _, attempt, told in batch]):
                task = asyncio.create_task(self._post(part))
                self._posting.add(task)
                task.add_done_callback(self._posting.discard)

    async def _post(self, batch: list[tuple[Told, int]]) -> None:
        forged = batch[0][0].what == "forged"
        body = as_meta_writes({"object": "instagram", "entry": self._entries([told for told, _ in batch])})
        headers = {
            "Content-Type": "application/json",
            "X-Hub-Signature-256": sign_hub(body, FORGER if forged else self._secret),
        }
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_S):
                status = (await self._http.post(self._url, content=body, headers=headers)).status_code
        except (httpx.HTTPError, TimeoutError):
            status = 0
        self.tally.slowest_s = max(self.tally.slowest_s, time.monotonic() - began_s)
        self.tally.statuses[status] += 1
        self._judge(batch, status, forged=forged)

    def _judge(self, batch: list[tuple[Told, int]], status: int, *, forged: bool) -> None:
        wanted = (401,) if forged else (200,)
        excused = status == 0 or status >= 500
        if status not in wanted and not excused:
            self.tally.wrong.append(f"a {'forged' if forged else 'genuine'} webhook was answered {status}")
        for told, attempt in batch:
            if status not in wanted:
                self._later(told, time.monotonic() + _pause_s(attempt), attempt + 1)
                self.tally.told_again += 1
            elif told.number not in self.tally.accepted:
                self.tally.accepted.add(told.number)
                for after_s in told.again_after_s:
                    self._later(told, time.monotonic() + after_s, attempt)
            else:
                self.tally.told_again += 1

    def _entries(self, batch: list[Told]) -> list[dict[str, Any]]:
        """One entry an account and kind of item, as Meta groups them."""
        now_ms = time.time_ns() // 1_000_000
        entries: dict[tuple[str, str], dict[str, Any]] = {}
        for told in batch:
            entry = envelope(told, now_ms=now_ms)
            under = "changes" if told.what == "change" else "messaging"
            known = entries.setdefault((told.account, under), entry)
            if known is not entry:
                known[under] += entry[under]
        return list(entries.values())

    def _later(self, told: Told, at_s: float, attempt: int) -> None:
        heapq.heappush(self._due, (at_s, next(self._order), attempt, told))


def _pause_s(attempt: int) -> float:
    return 0.0 if attempt == 0 else min(0.25 * 2**attempt, LONGEST_PAUSE_S)


def _by_signer(batch: list[tuple[Told, int]]) -> list[list[tuple[Told, int]]]:
    """A webhook has one signature: what somebody forged is in none of Meta's."""
    parts = (
        [entry for entry in batch if entry[0].what != "forged"],
        [entry for entry in batch if entry[0].what == "forged"],
    )
    return [part for part in parts if part]
