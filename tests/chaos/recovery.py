"""After the last fault: what Meta, QStash, the sweeper and the person on call do until nothing is owed any more."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg

from cli.dead_letters.work import Tally, work_off
from cli.retries import with_retries
from dev.later import an_hour_passes
from dev.stack import Stack, StackError, keys
from lib.container import Container
from lib.core.deadline import Deadline
from lib.dead_letters.store import DeadLetter, LetterFilter
from lib.recovery.redrive import LetterOutcome
from tests.chaos.dlq import entries_to_consumer
from tests.chaos.meta import Meta
from tests.chaos.prepare import log_in_again
from tests.chaos.watch import Watch

QUIET_WITHIN_S = 240.0
POLL_S = 0.1
MOST_ROUNDS = 6
REPLAY_WITHIN_S = 25.0
SWEEP_PATH = "/api/cron/sweep"

Say = Callable[[str], Awaitable[None]]


async def recover(stack: Stack, here: Container, meta: Meta, watch: Watch, say: Say) -> None:
    """Returns when everything has come to its end, or the rounds are used up: what is open then is for the judge.

    Raises `StackError` when it does not get quiet.
    """
    await say("Meta tells what it still has to tell, and QStash delivers what it holds")
    await quiet(stack, meta, watch)
    await with_retries(lambda: log_in_again(here))
    for _ in range(MOST_ROUNDS):
        open_letters, unfinished, at_qstash = await asyncio.to_thread(_owed, stack)
        if not (open_letters or unfinished or at_qstash):
            return
        await say(
            f"an hour passes; {unfinished} events are unfinished, {open_letters} dead letters open, "
            f"{at_qstash} only at QStash"
        )
        await asyncio.to_thread(_an_hour_passes, stack)
        await _sweep(stack)
        await quiet(stack, meta, watch)
        await _replay(here)
        await quiet(stack, meta, watch)


async def quiet(stack: Stack, meta: Meta, watch: Watch) -> None:
    """Waits until Meta has told everything, echoes too, and QStash has delivered everything.

    Raises `StackError` when a component has died, or it never gets quiet.
    """
    deadline = time.monotonic() + QUIET_WITHIN_S
    calm = 0
    while calm < 3:
        if dead := stack.dead():
            raise StackError("\n".join(dead))
        if time.monotonic() > deadline:
            raise StackError(
                f"Not quiet after {QUIET_WITHIN_S:.0f} s: Meta has {meta.waiting} things to tell, and QStash is "
                f"{'idle' if watch.qstash_is_idle() else 'busy'}."
            )
        calm = calm + 1 if meta.idle and watch.qstash_is_idle() and await _echoes_are_posted(stack) else 0
        await asyncio.sleep(POLL_S)


async def _echoes_are_posted(stack: Stack) -> bool:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        sent: list[dict[str, Any]] = (await http.get(f"{stack.graph_url}/__dev/sent")).raise_for_status().json()
    return all(200 in one["echo_statuses"] for one in sent)


def _owed(stack: Stack) -> tuple[int, int, int]:
    """Open dead letters with an event in them, events that are not finished, and what QStash holds without an open
    letter.
    """
    with psycopg.connect(stack.dsn) as database:
        row = database.execute(
            "select (select count(*) from dead_letters where state = 'open' and event_id is not null),"
            " (select count(*) from events where processed_at is null)"
        ).fetchone()
        letters = database.execute("select source_message_id from dead_letters where state = 'open'").fetchall()
    assert row is not None
    is_open = {letter for (letter,) in letters}
    at_qstash = sum(entry["messageId"] not in is_open for entry in entries_to_consumer(stack))
    return int(row[0]), int(row[1]), at_qstash


def _an_hour_passes(stack: Stack) -> None:
    """Moves the clocks of the database, and gives the functions new instances.

    An instance remembers by its own clock, for a minute or longer, how much of Meta's limits is used, and sends nothing
    meanwhile. That clock cannot be moved. After an hour no instance believes what it read, and an instance without
    requests would not even live.
    """
    with psycopg.connect(stack.dsn, autocommit=True) as database:
        an_hour_passes(database)
    stack.kill("functions")
    stack.start_component("functions")


async def _sweep(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {keys.CRON_SECRET}"}
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        (await http.get(stack.functions_url + SWEEP_PATH, headers=headers)).raise_for_status()


async def _replay(here: Container) -> None:
    async def treat(letter: DeadLetter) -> LetterOutcome:
        return await here.redriver.retry(letter, deadline=Deadline.after(REPLAY_WITHIN_S))

    wanted = LetterFilter(state="open", until=datetime.now(UTC))
    await work_off(here.dead_letters, wanted, treat, Tally(), lambda: None)
