"""Load on a local stack: posts new messages as Meta does, and notes when the row of each becomes visible."""

import asyncio
import contextlib
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psycopg

from bench.message import FIRST_PERSON, WORDS, message, now_ms, webhook
from bench.section import Tell
from dev.send.webhook import WEBHOOK_PATH, as_meta_writes
from dev.stack import Ports, Stack, StackConfig, keys
from dev.stack.config import ROOT
from dev.stack.options import running
from lib.webhooks.signature import sign_hub

PATIENCE_S = 5.0
"""Meta waits this long for an answer (Meta, "Webhooks from Meta")."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0
MOST_ATTEMPTS = 30
POLL_S = 0.005
OVERLAP = "2 s"
"""`recorded_at` is the beginning of the transaction, so a row can become visible after a younger one."""

STUCK_AFTER_S = 60.0


@contextlib.contextmanager
def own_stack(
    tell: Tell, *, instances: int = 1, functions_dir: Path = ROOT, env: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Runs a local stack with an empty database that syncs to disk, and removes it afterwards.

    `env` are settings of the functions, on top of those of the laptop.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        config = StackConfig(data_dir=Path(directory) / "stack", ports=Ports.free(), echo="off", instances=instances)
        with running(replace(config, functions_dir=functions_dir, env=env or {}), tell) as stack:
            yield stack


@dataclass(frozen=True)
class Webhook:
    """A body as it is posted, and the mids of its messages."""

    body: bytes
    mids: tuple[str, ...]


@dataclass
class Messages:
    """An endless supply of new messages, from `people` people in turn."""

    people: int
    _number: int = 0

    def webhook(self, size: int) -> Webhook:
        """Returns a webhook of the next `size` messages."""
        at_ms = now_ms()
        items = [self._item(at_ms) for _ in range(size)]
        return Webhook(as_meta_writes(webhook(items, at_ms=at_ms)), tuple(item["message"]["mid"] for item in items))

    def _item(self, at_ms: int) -> dict[str, Any]:
        self._number += 1
        person = str(FIRST_PERSON + self._number % self.people)
        return message(person, WORDS.format(number=self._number), at_ms=at_ms, number=self._number)


@dataclass
class Sender:
    """Posts webhooks as Meta does: again and again until the answer is 200 in time.

    `refused` counts the other answers by status. Status 0 is a broken connection, or no answer within `PATIENCE_S`.
    """

    base_url: str
    refused: Counter[int] = field(default_factory=Counter)
    _http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def post(self, webhook: Webhook) -> float:
        """Returns when the answer was 200, in seconds of `time.perf_counter`. Raises `RuntimeError` if it never is."""
        headers = {
            "Content-Type": "application/json",
            "X-Hub-Signature-256": sign_hub(webhook.body, keys.APP_SECRET),
        }
        for attempt in range(MOST_ATTEMPTS):
            status = await self._attempt(webhook.body, headers)
            if status == 200:
                return time.perf_counter()
            self.refused[status] += 1
            await asyncio.sleep(min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S))
        raise RuntimeError(f"a webhook was refused {MOST_ATTEMPTS} times: {dict(self.refused)}")

    async def _attempt(self, body: bytes, headers: Mapping[str, str]) -> int:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return (await self._http.post(self.base_url + WEBHOOK_PATH, content=body, headers=headers)).status_code
        except (httpx.TransportError, TimeoutError):
            return 0


class Watcher:
    """Asks the ledger every few milliseconds for new rows, on a connection and a thread of its own.

    `seen` has, by mid, when a message's row was first visible to another connection, at most one question late.
    `asked` has when each question was answered. Both are seconds of `time.perf_counter`.
    """

    def __init__(self, dsn: str) -> None:
        self.seen: dict[str, float] = {}
        self.asked: list[float] = []
        self._dsn = dsn
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        newest: Any = "-infinity"
        query = "select mid, recorded_at from public.events where recorded_at >= %s::timestamptz - %s::interval"
        with psycopg.connect(self._dsn, autocommit=True) as database:
            pause_s = POLL_S
            while not self._stopping.wait(pause_s):
                began_s = time.perf_counter()
                rows = database.execute(query, (newest, OVERLAP)).fetchall()
                # In a burst each question has many rows. The watcher leaves nine tenths of the time to the others.
                pause_s = max(POLL_S, 9 * (time.perf_counter() - began_s))
                now_s = time.perf_counter()
                self.asked.append(now_s)
                for mid, _ in rows:
                    self.seen.setdefault(mid, now_s)
                newest = max((at for _, at in rows), default=newest)

    async def until_seen(self, mids: Iterable[str]) -> None:
        """Waits until all of `mids` are seen. Raises `RuntimeError` if nothing new comes for a minute."""
        missing, known, moved_s = list(mids), 0, time.monotonic()
        while missing:
            if missing[-1] in self.seen:
                missing.pop()
                continue
            if len(self.seen) > known:
                known, moved_s = len(self.seen), time.monotonic()
            elif time.monotonic() > moved_s + STUCK_AFTER_S or not self._thread.is_alive():
                raise RuntimeError(f"at least one of {len(missing)} messages has not arrived")
            await asyncio.sleep(POLL_S)


async def qstash_state(http: httpx.AsyncClient, stack: Stack) -> Mapping[str, int]:
    """Returns how many messages QStash holds in each state, and how many it has delivered."""
    return dict((await http.get(f"{stack.qstash_url}/__dev/state")).raise_for_status().json())


def check_all_arrived(stack: Stack, messages: int) -> str:
    """Returns a sentence if every message has its row and there is no dead letter, else raises `RuntimeError`."""
    with psycopg.connect(stack.dsn) as database:
        (rows,) = database.execute("select count(*) from public.messages where not is_placeholder").fetchone() or (0,)
        (dead,) = database.execute("select count(*) from public.dead_letters").fetchone() or (0,)
    if (rows, dead) != (messages, 0):
        raise RuntimeError(f"{rows} rows for {messages} messages, and {dead} dead letters")
    return f"Afterwards there is a row for each of {messages:,} messages, and no dead letter."
