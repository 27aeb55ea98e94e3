"""One fact told in several forms: the tables end the same in every order, and a person is answered once."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from lib.events.model import encode
from tests.pipeline.channels import record
from tests.pipeline.facts import ACCOUNTS, PERSON, Fact, Under, facts_about
from tests.pipeline.tellings import every_form, ledger_key, register, told_otherwise
from tests.support.builders import item, now_ms
from tests.support.world import World


@pytest.fixture(scope="module")
def pipeline(_world: World) -> World:
    """The database. Each example is rolled back."""
    _world.reset()
    return _world


def end_of(world: World, facts: list[Fact]) -> dict[str, list[dict[str, Any]]]:
    """The tables after these facts, one at a time."""
    with world.db.transaction(force_rollback=True):
        register(world)
        for fact in facts:
            for event in fact.events():
                record(world.db, event)
        return world.snapshot()


def differences(one: dict[str, list[Any]], other: dict[str, list[Any]]) -> list[str]:
    return [
        f"{table} only {when}: {row}"
        for table in one
        for when, these, those in (("first", one[table], other[table]), ("second", other[table], one[table]))
        for row in these
        if row not in those
    ]


@st.composite
def tellings(draw: st.DrawFn) -> list[Fact]:
    """Two to four forms of one fact, and now and then another fact of the same message."""
    fact, other = draw(facts_about()), draw(facts_about())
    told = [fact, *(draw(told_otherwise(fact)) for _ in range(draw(st.integers(1, 3))))]
    if len(told) < 4 and draw(st.booleans()):
        told.append(other)
    return list({repr(one): one for one in told}.values())


@given(told=tellings())
@settings(
    max_examples=150,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@pytest.mark.timeout(600)
def test_the_forms_of_one_fact_end_the_same_in_every_order(pipeline: World, told: list[Fact]) -> None:
    for fact in told:
        note(str(fact))
    expected = end_of(pipeline, told)
    assert {(row["account_id"], row["event_id"]) for row in expected["events"]} == {
        ledger_key(event) for fact in told for event in fact.events()
    }
    for order in permutations(told):
        ended = end_of(pipeline, [*order, order[0]])
        assert differences(expected, ended) == [], [told.index(fact) for fact in order]


def asked(mid: str) -> dict[str, Fact]:
    """A person's question, just now, in every form."""
    at = now_ms()
    said = item(contact=PERSON, account=ACCOUNTS[0], at_ms=at, message={"mid": mid, "text": "the price?"})
    return every_form(Fact(ACCOUNTS[0], "messaging", said, at))


OTHER_FORMS = sorted(set(asked("m")) - {"as it is"})


def answered_once(world: World, names: list[str]) -> None:
    """Tells the question in these forms, one after the other, through QStash."""
    world.reset()
    register(world)
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    forms = asked("m_1")
    for name in names:
        world.deliver({"object": "instagram", "entry": [forms[name].entry()]})
    assert [(sent["recipient_id"], sent["message"]["text"]) for sent in world.sent()] == [(PERSON, "20.")]
    assert [row["state"] for row in world.rows("select state from outbox")] == ["sent"]
    assert world.rows("select event_id from events where processed_at is null") == []
    question = world.row("select kind, direction, contact_id, standby from messages where mid = 'm_1'")
    assert question == {"kind": "message", "direction": "inbound", "contact_id": PERSON, "standby": False}


@pytest.mark.parametrize("other", OTHER_FORMS)
@pytest.mark.parametrize("first", [True, False], ids=["then ordinarily", "after ordinarily"])
def test_a_question_in_another_form_is_answered_once(world: World, other: str, first: bool) -> None:
    answered_once(world, [other, "as it is"] if first else ["as it is", other])


@given(others=st.lists(st.sampled_from(OTHER_FORMS), min_size=2, max_size=4, unique=True), data=st.data())
@settings(max_examples=15, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.timeout(600)
def test_a_question_in_several_forms_is_answered_once_in_any_order(
    pipeline: World, others: list[str], data: st.DataObject
) -> None:
    answered_once(pipeline, data.draw(st.permutations([*others, "as it is"])))


def test_a_form_that_names_nobody_finishes_a_reply_to_the_person(world: World) -> None:
    register(world)
    rule = world.rule(trigger="keyword", pattern="price", reply_text="20.")
    forms = asked("m_1")
    effects = [{"kind": "dm", "payload": {"text": "20."}, "rule_id": rule}]
    # The first worker died with the reply in its hands.
    world.db.execute(
        "select record_event(%s, 'queue', %s, %s)",
        [encode(forms["as it is"].event()).decode(), Jsonb(effects), Jsonb({"lease_s": 0})],
    )
    world.deliver({"object": "instagram", "entry": [forms["without its parties"].entry()]})
    assert [sent["recipient_id"] for sent in world.sent()] == [PERSON]
    assert world.rows("select event_id from events where processed_at is null") == []


@pytest.mark.parametrize("first", ["as the echo or the message", "without its parties", "under standby"])
def test_the_profile_is_fetched_whichever_form_came_first(world: World, first: str) -> None:
    register(world)
    forms = asked("m_1")
    for name in (first, "as it is"):
        world.deliver({"object": "instagram", "entry": [forms[name].entry()]})
    assert world.row("select state from profiles") == {"state": "complete"}


OURS, THEIRS = {"id": ACCOUNTS[0]}, {"id": PERSON}
EDIT = {"message_edit": {"mid": "m", "text": "so"}}
REACTION = {"reaction": {"mid": "m", "action": "react"}, "timestamp": 1_767_614_400_000}


@pytest.mark.parametrize(
    ("under", "told"),
    [
        ("messaging", {"sender": THEIRS, "recipient": OURS, "timestamp": 1_767_614_400_000, "read": {"mid": "m"}}),
        ("messaging", {"sender": THEIRS, "recipient": OURS, "read": {"watermark": 1_767_614_400_000}}),
        ("messaging", {"sender": OURS, "recipient": THEIRS, **REACTION}),
        ("messaging", {"sender": THEIRS, "recipient": OURS, **REACTION}),
        ("messaging", {"sender": THEIRS, "recipient": OURS, **EDIT}),
        ("changes", {"field": "mentions", "value": {"media_id": "17", "comment_id": "18"}}),
        ("changes", {"field": "story_insights", "value": {"media_id": "17", "reach": 3}}),
        ("changes", {"field": "feed", "value": {"item": "status"}}),
    ],
    ids=lambda told: told if isinstance(told, str) else "+".join(told),
)
def test_what_is_told_under_either_id_of_our_account_is_one_event(world: World, under: Under, told: Any) -> None:
    forms = every_form(Fact(ACCOUNTS[0], under, told, 1_767_614_401_000))
    both = [form for name, form in forms.items() if name == "as it is" or "other id" in name]
    assert len(both) >= 2
    rows = end_of(world, both)
    assert len(rows["events"]) == 1
    assert {row["account_id"] for table in ("events", "reactions", "mentions") for row in rows[table]} == {ACCOUNTS[0]}
    assert {row["actor_id"] for row in rows["reactions"]} <= {ACCOUNTS[0], PERSON}
