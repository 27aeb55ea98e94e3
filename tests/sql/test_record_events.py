"""A batch of events leaves what its events leave one by one, whichever of them fail, and whoever records beside it."""

import asyncio
import random
import threading
import uuid
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from lib.core.deadline import Deadline
from lib.core.settings import load
from lib.database import Database
from lib.errors.exceptions import NotRecorded
from lib.events.model import Event, as_json
from lib.processing.attempt import Attempt
from lib.processing.outbox import PlannedEffect
from lib.processing.planner import Plan
from lib.processing.store import EventStore, Recorded
from lib.webhooks.parser import parse_webhook
from tests.pipeline.facts import Fact, conversations
from tests.pipeline.tellings import register, told_otherwise
from tests.support.builders import CONTACT, OTHER_CONTACT, message, webhook
from tests.support.world import World

OPTIONS = {"lease_s": 30, "app_id": "1001"}
VOLATILE = ("now",)


def messages(*texts: str, contact: str = CONTACT) -> list[Event]:
    """Messages of one person, the texts in order."""
    items = [message(text, contact=contact, at_ms=1_795_000_000_000 + n) for n, text in enumerate(texts)]
    return list(parse_webhook(webhook(*items), received_at=1_795_000_000_500))


def batch(world: World, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers of one call."""
    query = "select record_events(%s, 'direct', %s) as answers"
    return list(world.row(query, Jsonb(list(items)), Jsonb(OPTIONS))["answers"])


def single(world: World, item: dict[str, Any]) -> dict[str, Any]:
    """The answer for one event by itself."""
    query = "select record_event(%s, 'direct', %s, %s) as answer"
    effects, options = Jsonb(item.get("effects", [])), Jsonb(OPTIONS)
    return dict(world.row(query, Jsonb(item["event"]), effects, options)["answer"])


def lasting(answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers without the time of day."""
    return [{key: value for key, value in answer.items() if key not in VOLATILE} for answer in answers]


@st.composite
def told(draw: st.DrawFn) -> list[Fact]:
    """Facts in any order, some of them in several forms, some twice."""
    facts = draw(conversations(12))
    facts += [draw(told_otherwise(fact)) for fact in facts[:4] if draw(st.booleans())]
    facts += draw(st.lists(st.sampled_from(facts), max_size=3))
    return draw(st.permutations(facts))


@pytest.fixture(scope="module")
def pipeline(_world: World) -> World:
    """The running pipeline. Each example makes it empty."""
    return _world


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(facts=told())
def test_a_batch_leaves_the_tables_that_its_events_leave_one_by_one(pipeline: World, facts: list[Fact]) -> None:
    items = [{"event": as_json(event)} for fact in facts for event in fact.events()]
    pipeline.empty()
    register(pipeline)
    one_by_one = [single(pipeline, item) for item in items]
    expected = pipeline.snapshot()

    pipeline.empty()
    register(pipeline)
    answers = batch(pipeline, items)

    assert pipeline.snapshot() == expected
    assert [answer["outcome"] for answer in answers].count("new") == len(expected["events"])
    assert [answer["account_id"] for answer in answers] == [answer["account_id"] for answer in one_by_one]


def test_the_answers_are_those_of_single_calls_in_the_order_asked_for(world: World) -> None:
    events = [*messages("a", "b"), *messages("c", contact=OTHER_CONTACT), *messages("d", contact="6000000000000001")]
    shuffled = random.Random(1).sample(events, len(events))
    items: list[dict[str, Any]] = [{"event": as_json(event)} for event in shuffled]
    items[1]["effects"] = [{"kind": "next_phase", "payload": {"text": "x"}}]
    items.append(items[0])
    answers = batch(world, items)
    assert [answer["outcome"] for answer in answers] == ["new", "new", "new", "new", "duplicate"]
    assert [answer.get("contact_id") for answer in answers[:4]] == [item["event"]["contact_id"] for item in items[:4]]
    assert [len(answer["effects"]) for answer in answers[:4]] == [0, 1, 0, 0]
    world.empty()
    assert lasting([single(world, item) for item in items]) == lasting(answers)


@pytest.mark.parametrize("bad", [{0}, {3}, {6}, {0, 1, 5}, set(range(7))])
def test_an_event_that_fails_has_an_error_code_and_all_others_are_recorded(world: World, bad: set[int]) -> None:
    events = messages(*"abcdefg")
    items = [{"event": as_json(event)} for event in events]
    for number in bad:
        items[number] = {"event": items[number]["event"] | {"occurred_at": "no number"}}
    answers = batch(world, items)
    for number, answer in enumerate(answers):
        assert answer == {"error_code": "22P02"} if number in bad else answer["outcome"] == "new"
    recorded = {row["event_id"] for row in world.rows("select event_id from events")}
    assert recorded == {event.event_id for number, event in enumerate(events) if number not in bad}
    assert world.count("messages") == len(recorded)


def test_a_batch_of_none_and_one_with_old_rules_record_nothing(world: World) -> None:
    assert batch(world, []) == []
    world.rule(trigger="keyword", pattern="price", reply_text="Here")
    stale = {"event": as_json(messages("price")[0]), "options": {"rules_version": 0}}
    fresh = {"event": as_json(messages("hello")[0])}
    assert [answer["outcome"] for answer in batch(world, [stale, fresh])] == ["stale_rules", "new"]
    assert world.count("events") == 1


def test_batches_in_any_order_and_single_calls_beside_them_do_not_wait_in_a_circle(world: World) -> None:
    people = [str(6_000_000_000_000_000 + number) for number in range(8)]
    rounds = [[event for person in people for event in messages(*"abc", contact=person)] for _ in range(12)]
    failures: list[object] = []
    together = threading.Barrier(4)

    def record(worker: int) -> None:
        with psycopg.connect(world.stack.dsn, autocommit=True) as db:
            for number, events in enumerate(rounds):
                items = [{"event": as_json(event)} for event in events]
                random.Random(number * 10 + worker).shuffle(items)
                together.wait()
                try:
                    if worker < 2:
                        query = "select record_events(%s, 'direct')"
                        [(answers,)] = db.execute(query, (Jsonb(items),)).fetchall()
                        failures.extend(answer for answer in answers if "error_code" in answer)
                    else:
                        for item in items:
                            db.execute("select record_event(%s, 'queue')", (Jsonb(item["event"]),))
                except psycopg.Error as error:
                    failures.append(error.sqlstate)

    before = deadlocks(world)
    workers = [threading.Thread(target=record, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert deadlocks(world) == before
    assert world.count("events") == sum(len(events) for events in rounds)


def deadlocks(world: World) -> int:
    """How often Postgres has ended a circle of waiting transactions."""
    row = world.row("select deadlocks from pg_stat_database where datname = current_database()")
    return int(row["deadlocks"])


@pytest.fixture
def store(world: World) -> EventStore:
    """The store of a function of this pipeline."""
    settings = load(world.stack.env)
    return EventStore(Database(settings), settings)


def test_the_store_records_a_batch_and_tells_what_failed(world: World, store: EventStore) -> None:
    good, other = messages("good", "other")
    failing = other.model_copy(update={"occurred_at": 2**62})
    attempts = [Attempt(event, "direct", uuid.uuid4(), Deadline.after(25)) for event in (good, failing)]
    effects = [PlannedEffect(kind="next_phase", payload={"text": "x"})]
    answers = asyncio.run(store.record_events(attempts, [Plan(effects, None), Plan([], None)], via="direct"))
    recorded, failed = answers
    assert isinstance(recorded, Recorded)
    assert recorded.outcome == "new"
    assert [effect.kind for effect in recorded.effects] == ["next_phase"]
    assert isinstance(failed, NotRecorded)
    assert failed.code == "22008"
    assert world.count("events") == 1
