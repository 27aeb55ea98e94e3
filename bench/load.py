"""Load on a local stack: messages nobody has seen, posted as Meta posts them, and the moment each row was seen.

Knows webhooks, QStash's state and the ledger. Must not know what is made of the times.
"""

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

from bench.section import Tell
from dev.graph.mids import new_mid
from dev.send.webhook import WEBHOOK_PATH, as_meta_writes
from dev.stack import Ports, Stack, StackConfig, keys
from dev.stack.config import ROOT
from dev.stack.options import running
from lib.webhooks.signature import sign_hub

PATIENCE_S = 5.0
"""How long Meta waits for an answer (Meta, "Webhooks from Meta")."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0
MOST_ATTEMPTS = 30
POLL_S = 0.005
OVERLAP = "2 s"
"""A row's `recorded_at` is its transaction's beginning: it can become visible after a row that is younger."""

STUCK_AFTER_S = 60.0


@contextlib.contextmanager
def own_stack(
    tell: Tell, *, instances: int = 1, functions_dir: Path = ROOT, env: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """A local stack with an empty database, as durable as a real one; gone afterwards, however that comes.

    `env` are settings of the functions' on top of the laptop's.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        config = StackConfig(data_dir=Path(directory) / "stack", ports=Ports.free(), echo="off", instances=instances)
        with running(replace(config, functions_dir=functions_dir, env=env or {}), tell) as stack:
            yield stack


@dataclass(frozen=True)
class Webhook:
    """A body as it is posted, and the messages in it."""

    body: bytes
    mids: tuple[str, ...]


@dataclass
class Messages:
    """New messages without end, of `people` in turn."""

    people: int
    _number: int = 0

    def webhook(self, size: int) -> Webhook:
        """The next `size` of them."""
        account, now_ms = keys.ACCOUNT_ID, time.time_ns() // 1_000_000
        items = [self._item(account, now_ms) for _ in range(size)]
        body = {"object": "instagram", "entry": [{"time": now_ms, "id": account, "messaging": items}]}
        return Webhook(as_meta_writes(body), tuple(item["message"]["mid"] for item in items))

    def _item(self, account: str, now_ms: int) -> dict[str, Any]:
        self._number += 1
        person = str(6_000_000_000_000_000 + self._number % self.people)
        mid = new_mid(account, person, now_us=now_ms * 1000 + self._number)
        text = f"Hello, is the blue one still there? I would take {self._number} \U0001f499"
        message = {"mid": mid, "text": text}
        return {"sender": {"id": person}, "recipient": {"id": account}, "timestamp": now_ms, "message": message}


@dataclass
class Sender:
    """Posts webhooks, each again until it is answered 200 in time, as Meta does.

    `refused` counts the other answers by status; 0 is none within `PATIENCE_S`, or a broken connection.
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
        """When it was answered 200, in seconds of `time.perf_counter`. Raises `RuntimeError` where it never is."""
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
    """Asks the ledger every few milliseconds what is new, on a connection and a thread of its own.

    `seen`: when a message was seen first, by mid, in seconds of `time.perf_counter`. That is its row being visible to
    anybody, no more than one question late. `asked`: when each question was answered.
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
            while not self._stopping.wait(POLL_S):
                rows = database.execute(query, (newest, OVERLAP)).fetchall()
                now_s = time.perf_counter()
                self.asked.append(now_s)
                for mid, _ in rows:
                    self.seen.setdefault(mid, now_s)
                newest = max((at for _, at in rows), default=newest)

    async def until_seen(self, mids: Iterable[str]) -> None:
        """Returns when all of `mids` are seen. Raises `RuntimeError` where nothing more comes for a minute."""
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
    """What QStash is busy with, and how much it has delivered."""
    return dict((await http.get(f"{stack.qstash_url}/__dev/state")).raise_for_status().json())


def check_all_arrived(stack: Stack, messages: int) -> str:
    """Says that there is a row for each of so many `messages`, and no dead letter. Raises `RuntimeError` otherwise."""
    with psycopg.connect(stack.dsn) as database:
        (rows,) = database.execute("select count(*) from public.messages where not is_placeholder").fetchone() or (0,)
        (dead,) = database.execute("select count(*) from public.dead_letters").fetchone() or (0,)
    if (rows, dead) != (messages, 0):
        raise RuntimeError(f"{rows} rows for {messages} messages, and {dead} dead letters")
    return f"Afterwards there is a row for each of {messages:,} messages, and no dead letter."
