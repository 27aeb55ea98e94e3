"""Whatever the order, however often and by whatever channel: the same facts end in the same tables.

Each example tells the facts of a few conversations, some of them in several forms (`tellings.py`). It tells them twice,
each time into an empty database: once in order, one at a time, each once; and once shuffled, each up to four times,
through QStash, directly, by both channels at once, and by consumers that run at the same moment. What a person could
look up afterwards must be the same.

`CONVERGENCE_EXAMPLES` is how many examples are tried (`CONVERGENCE_EXAMPLES=2000 make test ARGS="-k convergence"`).
A failure prints its facts and deliveries, the decorator that repeats it, and the `CONVERGENCE_SEED` of the whole run.
"""

import json
import os
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st

from lib.events.model import Echo, Message, Postback, Unsend
from tests.pipeline.channels import Channels, Phase, deliveries
from tests.pipeline.facts import ACCOUNTS, MIDS, Fact, conversations
from tests.pipeline.tellings import ledger_key, register, told_otherwise
from tests.support.builders import edit, message, unsend, webhook
from tests.support.receiver import receiver
from tests.support.world import World

EXAMPLES = int(os.environ.get("CONVERGENCE_EXAMPLES", "40"))
SEED = int(os.environ.get("CONVERGENCE_SEED", secrets.randbits(32)))

IDS = ("event_id", "mid", "account_id", "igsid", "contact_id", "actor_id", "comment_id", "topic")

examples = settings(
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

pytestmark = pytest.mark.timeout(600 + 5 * EXAMPLES)  # a failure is shrunk, for up to five minutes


@st.composite
def stories(draw: st.DrawFn, *, most_facts: int) -> tuple[list[Fact], list[Phase], int]:
    """Facts, their deliveries, and how many more times than once QStash delivers what it takes."""
    facts = draw(conversations(most_facts))
    facts += [draw(told_otherwise(fact)) for fact in facts[: most_facts // 3] if draw(st.booleans())]
    facts = list({repr(fact): fact for fact in facts}.values())
    return facts, draw(deliveries(facts)), draw(st.integers(0, 2))


@pytest.fixture(scope="module")
def pipeline(_world: World) -> World:
    """The running pipeline. Each example makes it empty."""
    return _world


@seed(SEED)
@examples
@given(story=stories(most_facts=25))
def test_any_order_repetition_and_channel_ends_in_the_tables_of_one_pass_in_order(
    pipeline: World, story: tuple[list[Fact], list[Phase], int]
) -> None:
    facts, phases, stutter = story
    _tell(facts, phases, stutter)
    pipeline.reset()
    register(pipeline)
    in_order = Channels(pipeline, pipeline.stack.functions_url)
    for fact in sorted(facts, key=_when):
        for event in fact.events():
            in_order.consume(event)
    expected = pipeline.snapshot()

    pipeline.reset()
    register(pipeline)
    ended = Channels(pipeline, pipeline.stack.functions_url, stutter=stutter).deliver(facts, phases)

    assert ended["failed"] == 0
    actual = pipeline.snapshot()
    assert _differences(expected, actual) == []
    assert {(row["account_id"], row["event_id"]) for row in actual["events"]} == _keys(facts)
    assert pipeline.rows("select event_id from events where processed_at is null") == []
    _assert_nothing_unsent_is_left(facts, actual)


@pytest.fixture(scope="module")
def next_phase(pipeline: World) -> Any:
    """Functions with a next phase, for one of the accounts: their base URL, and who receives it."""
    env = {"INSTAGRAM_ACCOUNT_ID": ACCOUNTS[0]}
    with receiver() as there, pipeline.stack.functions({"PHASE3_URL": there.url, **env}) as base_url:
        yield base_url, there


@seed(SEED)
@settings(examples, max_examples=max(EXAMPLES // 4, 1))
@given(story=stories(most_facts=12))
def test_any_order_repetition_and_channel_hands_each_event_to_the_next_phase_once(
    pipeline: World, next_phase: Any, story: tuple[list[Fact], list[Phase], int]
) -> None:
    facts, phases, _ = story
    base_url, there = next_phase
    _tell(facts, phases, 0)
    pipeline.reset()
    register(pipeline)
    there.bodies.clear()

    ended = Channels(pipeline, base_url).deliver(facts, phases)

    assert ended["failed"] == 0
    handed_on = sorted((body["account_id"], body["event_id"]) for body in there.bodies)
    assert handed_on == sorted(_keys(facts, _goes_on))
    assert pipeline.rows("select effect_id from outbox where state <> 'sent' or kind <> 'next_phase'") == []
    assert pipeline.rows("select event_id from events where processed_at is null") == []
    _assert_nothing_unsent_is_left(facts, pipeline.snapshot())


def test_a_message_that_comes_after_its_unsend_is_handed_on_without_its_words(world: World, next_phase: Any) -> None:
    base_url, there = next_phase
    there.bodies.clear()
    for item in (unsend("m"), message("my regrets", mid="m"), edit("m", "my deep regrets")):
        world.deliver(webhook(item), base_url=base_url)
    assert [body["kind"] for body in there.bodies] == ["unsend", "message", "edit"]
    assert "regrets" not in json.dumps(there.bodies)
    assert "regrets" not in json.dumps(world.snapshot())


def _tell(facts: list[Fact], phases: list[Phase], stutter: int) -> None:
    """What Hypothesis prints of a failure."""
    note(f"the whole run again: CONVERGENCE_SEED={SEED} CONVERGENCE_EXAMPLES={EXAMPLES}")
    for number, fact in enumerate(facts):
        note(f"{number:2} {fact.event().event_id} {fact}")
    note(f"stutter {stutter}; " + "; ".join(f"{phase.channel} {phase.numbers}" for phase in phases))


def _when(fact: Fact) -> tuple[int, int]:
    """First what was said, then what was said of it, each in the order of time."""
    event = fact.event()
    rank = 0 if isinstance(event, Message | Echo | Postback) else 2 if isinstance(event, Unsend) else 1
    return rank, event.occurred_at


def _keys(facts: list[Fact], which: Callable[[Any], bool] = lambda _: True) -> set[tuple[str, str]]:
    """The accounts and ids of the events, as the ledger has them."""
    return {ledger_key(event) for fact in facts for event in fact.events() if which(event)}


def _goes_on(event: Any) -> bool:
    return event.kind != "unknown" and not event.is_test


def _differences(expected: dict[str, list[Any]], actual: dict[str, list[Any]]) -> list[str]:
    """The rows that are in one only, without the columns in which the most similar row of the other agrees."""
    lines: list[str] = []
    for table, rows in expected.items():
        missing = [row for row in rows if row not in actual[table]]
        extra = [row for row in actual[table] if row not in rows]
        lines += [f"{table}, in order: {_apart(row, extra)}" for row in missing]
        lines += [f"{table}, shuffled: {_apart(row, missing)}" for row in extra]
    return lines


def _apart(row: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    similar = max(others, key=lambda other: sum(other[name] == value for name, value in row.items()), default={})
    return {name: value for name, value in row.items() if name in IDS or name not in similar or similar[name] != value}


def _assert_nothing_unsent_is_left(facts: list[Fact], tables: dict[str, list[Any]]) -> None:
    """The words of a message that was unsent are in no table, whatever brought them."""
    unsent = {event.mid for fact in facts if isinstance(event := fact.event(), Unsend)}
    everything = json.dumps(tables)
    assert [mid.name for mid in MIDS if mid.name in unsent and mid.words("") in everything] == []
