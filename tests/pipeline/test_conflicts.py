"""Transactions that meet: Postgres ends one of two, it counts as retryable, and is done again at once."""

import asyncio
import random
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, repeat
from threading import Barrier, Thread

import httpx
import psycopg
import pytest
from postgrest import APIError, AsyncRPCFilterRequestBuilder
from psycopg import IsolationLevel
from psycopg.errors import DeadlockDetected, SerializationFailure

from lib.core.settings import load
from lib.database import Database
from lib.errors.classify import classify
from lib.errors.exceptions import UnreadableAnswer
from lib.errors.verdict import Verdict
from lib.events.model import Event
from lib.webhooks.parser import parse_webhook
from tests.pipeline.channels import record
from tests.support.builders import ACCOUNT, CONTACT, edit, message, now_ms, postback, reaction, read, unsend, webhook
from tests.support.deliveries import body_of, event, post
from tests.support.world import CONSUMER, World

WORKERS = 8
ROUNDS = 5
MOST_CONFLICTS = 1000
"""Of one worker. Under repeatable read, of several that touch one row at a time all but one fail."""


def verdict_on(error: psycopg.Error) -> Verdict:
    """What `classify` says when PostgREST hands this error on."""
    return classify(APIError({"code": error.sqlstate, "message": str(error), "details": None, "hint": None}))


def test_a_transaction_that_a_deadlock_undid_is_repeated_at_once(world: World) -> None:
    post(world, CONSUMER, body_of(event()))
    one = event(text="in the way")
    answer = deadlocked(world, one)
    assert (answer.status_code, answer.json()["status"]) == (200, "processed")
    assert "Transaction undone; repeating" in world.functions_log()
    assert world.row("select processed_at is not null as done from events where event_id = %s", one["event_id"])["done"]
    assert world.row("select text from messages where mid = %s", one["mid"])["text"] == "in the way"


def test_a_last_attempt_that_can_not_be_read_is_no_other_error_than_a_first_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    called_off = APIError({"code": "40P01", "message": "deadlock detected", "details": None, "hint": None})
    answers = iter([called_off, called_off, ValueError("no JSON")])

    async def execute(_call: object) -> None:
        raise next(answers)

    monkeypatch.setattr(AsyncRPCFilterRequestBuilder, "execute", execute)
    with pytest.raises(UnreadableAnswer):
        asyncio.run(Database(load(world.stack.env)).rpc("schema_version", {}))


def deadlocked(world: World, one: dict[str, object]) -> httpx.Response:
    """The consumer's answer where another transaction has the person, and wants the event.

    The consumer waits first, so its transaction is the first to look for a deadlock (after a second), and ends.
    """
    answers: list[httpx.Response] = []
    consumer = Thread(target=lambda: answers.append(post(world, CONSUMER, body_of(one))))
    with psycopg.connect(world.stack.dsn) as other:
        other.execute("select from profiles where igsid = %s for update", (CONTACT,))
        consumer.start()
        until_somebody_waits(world)
        other.execute(
            "insert into events (event_id, kind, account_id, direction, via, occurred_at, received_at)"
            " values (%s, 'message', %s, 'inbound', 'direct', now(), now())",
            (one["event_id"], ACCOUNT),
        )
        other.rollback()
    consumer.join()
    return answers[0]


def test_a_serialisation_failure_is_retryable_and_the_next_attempt_heals_it(world: World) -> None:
    first, second = parse_webhook(webhook(message("one"), message("two")), received_at=now_ms())
    level = IsolationLevel.REPEATABLE_READ
    with session(world, level) as here, session(world, level) as there:
        record(here, first)  # the person is new, and only here
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(record, there, second)
            until_somebody_waits(world)
            here.commit()
            with pytest.raises(SerializationFailure) as raised:
                waiting.result()
        there.rollback()
        assert verdict_on(raised.value).retryable
        record(there, second)
        there.commit()
    assert world.count("messages") == 2


@pytest.mark.parametrize(
    "isolation", [IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ], ids=lambda level: level.name.lower()
)
def test_workers_at_the_same_conversation_fail_with_conflicts_only_and_end_in_the_same_tables(
    world: World, isolation: IsolationLevel
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201  pytest shows it where the test fails
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        events = conversation()
        with session(world, isolation) as alone:
            for one in events:
                record(alone, one)
                alone.commit()
        expected = world.snapshot()
        world.reset()

        orders = [chance.sample(events, len(events)) for _ in range(WORKERS)]
        with ThreadPoolExecutor(WORKERS) as pool:
            verdicts = list(pool.map(work, repeat(world), repeat(isolation), orders, repeat(Barrier(WORKERS))))
        assert all(verdict.retryable for verdict in chain.from_iterable(verdicts))
        assert world.snapshot() == expected
        world.reset()


def conversation() -> list[Event]:
    """Two messages and a tap of one person with all that may be said of them, in order."""
    first, second, tap = (f"mid-{secrets.token_hex(4)}" for _ in range(3))
    items = [
        message("one", mid=first), message("two", mid=second), postback("BUY", mid=tap),
        edit(first, "one, again", 1), edit(first, "one, and again", 2), edit(second, "two, again", 1),
        reaction(first, at_ms=1), reaction(first, "unreact", at_ms=2), reaction(first, at_ms=3), reaction(tap, at_ms=1),
        read(first), read(second),
        unsend(second), unsend("mid-that-never-comes"),
    ]  # fmt: skip
    standby = webhook(items[0], under="standby")
    return parse_webhook([webhook(*items), standby], received_at=now_ms())


def work(world: World, isolation: IsolationLevel, order: list[Event], together: Barrier) -> list[Verdict]:
    """Records each event until it is in, the first of everybody at the same moment; returns what went wrong."""
    verdicts: list[Verdict] = []
    with session(world, isolation) as here:
        together.wait()
        for one in order:
            while not recorded(here, one, verdicts):
                assert len(verdicts) < MOST_CONFLICTS
    return verdicts


def recorded(here: psycopg.Connection, one: Event, verdicts: list[Verdict]) -> bool:
    try:
        record(here, one)
        here.commit()
    except (DeadlockDetected, SerializationFailure) as error:
        here.rollback()
        verdicts.append(verdict_on(error))
        return False
    return True


def until_somebody_waits(world: World) -> None:
    """Returns as soon as a transaction waits for another."""
    deadline = time.monotonic() + 10
    while not world.rows("select 1 from pg_locks where not granted"):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def session(world: World, isolation: IsolationLevel) -> Iterator[psycopg.Connection]:
    """A connection whose transactions have this isolation."""
    with psycopg.connect(world.stack.dsn) as here:
        here.isolation_level = isolation
        yield here
