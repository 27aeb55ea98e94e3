"""Rules that a person writes: what the constraint takes the reader takes; the brake; and no loop without an end."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from dev.stack import keys
from lib.replies.rules import RuleBook
from tests.support.accounts import FIRST, SECOND, connect
from tests.support.builders import ACCOUNT, CONTACT, echo, message, now_ms, webhook
from tests.support.world import HEALTH, World

OURS = {"Authorization": f"Bearer {keys.INTERNAL_SECRET}"}

# What the constraint takes, the reader takes.

_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(("", " ", "image", "MEDIA_SHARE", "https://cdn.example/a.png", "1790000000001", "Yes", "x" * 30)),
)  # fmt: skip
_JSON = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
_ATTACHMENTS = st.one_of(
    _JSON,
    st.dictionaries(st.sampled_from(("type", "url", "id", "more")), _SCALARS, max_size=3),
    st.fixed_dictionaries(
        {"type": st.sampled_from(("image", "MEDIA_SHARE"))}, optional={"url": _SCALARS, "id": _SCALARS}
    ),
)
_CHOICES = st.one_of(
    _JSON, st.lists(st.fixed_dictionaries({"title": _SCALARS, "payload": _SCALARS}), min_size=1, max_size=14)
)
_TEXTS = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
_ROWS = st.fixed_dictionaries(
    {
        "trigger": st.sampled_from(("keyword", "comment", "postback", "first_message", "story_reply", "other")),
        "match": st.sampled_from(("exact", "contains", "regex", "fuzzy")),
        "pattern": st.one_of(_TEXTS, st.sampled_from(("x.{0,300}y", "x{5}", "a{,400}b", "(", "x.{0,100}", "p" * 501))),
        "reply_text": _TEXTS,
        "priority": st.integers(-(2**31), 2**31 - 1),
        "cooldown_s": st.one_of(st.none(), st.integers(-1, 2**31 - 1)),
    },
    optional={"attachment": _ATTACHMENTS, "quick_replies": _CHOICES, "account_id": _TEXTS},
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=_ROWS)
@example(
    row={"trigger": "comment", "match": "contains", "attachment": {"type": "MEDIA_SHARE", "id": 17900000000000001}}
)
@example(row={"trigger": "comment", "match": "contains", "attachment": {"type": "image", "id": 1}})
@example(
    row={"trigger": "comment", "match": "contains", "reply_text": "x", "quick_replies": [{"title": "a", "payload": 1}]}
)
@example(row={"trigger": "keyword", "match": "contains", "pattern": "\x1c", "reply_text": "x"})
@example(row={"trigger": "comment", "match": "contains", "reply_text": "\x1f"})
def test_what_the_constraint_takes_the_reader_takes(world: World, row: dict[str, Any]) -> None:
    world.db.execute("truncate reply_rules")
    try:
        world.rule(**{name: Jsonb(value) if name in ("attachment", "quick_replies") else value
                      for name, value in row.items()})  # fmt: skip
    except (psycopg.errors.IntegrityError, psycopg.errors.DataError):
        return
    [stored] = world.row("select enabled_rules() as rows")["rows"]
    book = RuleBook.of_rows([stored])
    assert [bad for bad in book.bad if "regular expression" not in bad.reason] == []
    # And what the reader takes, each later step takes: a message that Meta's refusals are compared with.
    for rule in book._rules:
        assert json.dumps(rule.message())


@pytest.fixture
def unguarded(world: World) -> Iterator[World]:
    """A table as a newer version may have it: every row fits in."""
    constraints = world.rows(
        "select conname, pg_get_constraintdef(oid) as definition from pg_constraint"
        " where conrelid = 'reply_rules'::regclass and contype = 'c'"
    )
    for row in constraints:
        name = psycopg.sql.Identifier(row["conname"])
        world.db.execute(psycopg.sql.SQL("alter table reply_rules drop constraint {}").format(name))
    yield world
    world.db.execute("truncate reply_rules")
    for row in constraints:
        name, definition = psycopg.sql.Identifier(row["conname"]), psycopg.sql.SQL(row["definition"])
        world.db.execute(psycopg.sql.SQL("alter table reply_rules add constraint {} {}").format(name, definition))


@pytest.mark.parametrize(
    "bad",
    [
        {"trigger": "from_the_future", "reply_text": "hello"},
        {"trigger": "keyword", "pattern": "price", "attachment": {"type": "MEDIA_SHARE", "id": 17900000000000001}},
        {"trigger": "keyword", "pattern": "(", "match": "regex", "reply_text": "hello"},
        {"trigger": "keyword", "pattern": None, "reply_text": "hello"},
        {"trigger": "keyword", "pattern": "price"},
        {"trigger": "keyword", "pattern": "x.{0,300}y.{0,300}z", "match": "regex", "reply_text": "hello"},
    ],
)
def test_one_bad_rule_stops_nothing_else_and_is_named(unguarded: World, bad: dict[str, Any]) -> None:
    world = unguarded
    rule_id = world.rule(**bad)
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.deliver(webhook(message("price")))
    with world.qstash_fault(publish="refuse"):
        world.deliver(webhook(message("hello", contact="6001234567890999")))
    assert (world.count("messages"), world.count("dead_letters")) == (3, 0)
    assert [sent["message"]["text"] for sent in world.sent()] == ["20."]
    answer = world.http.get(HEALTH, headers=OURS)
    assert answer.json()["checks"]["rules"]["detail"]["left_out"][0]["rule_id"] == rule_id
    assert answer.status_code == 503
    assert f'"rule_id": {rule_id}' in world.functions_log()


# The brake.


def held_back(world: World) -> None:
    """A reply is planned and has to wait: Meta's limit is reached."""
    world.graph_fault("send", "rate_limit", times=1)
    world.post_webhook(webhook(message("price")))
    while not world.rows("select from outbox where state = 'planned' and error_code is not null"):
        pass


def state(world: World) -> list[tuple[str, str | None]]:
    return [(row["state"], row["error_code"]) for row in world.rows("select state, error_code from outbox")]


@pytest.mark.parametrize("brake", ["disable", "delete"])
def test_a_rule_that_is_switched_off_stops_what_is_planned(world: World, brake: str) -> None:
    rule_id = world.rule(trigger="keyword", pattern="price", reply_text="20.")
    held_back(world)
    if brake == "disable":
        world.db.execute("update reply_rules set enabled = false where rule_id = %s", (rule_id,))
    else:
        world.db.execute("delete from reply_rules where rule_id = %s", (rule_id,))
    world.sweep()
    assert state(world) == [("skipped", "rule_disabled")]
    assert world.sent() == []
    assert world.rows("select from events where processed_at is null") == []


@pytest.mark.parametrize(("mode", "code"), [("off", "replies_off"), ("dry_run", "dry_run")])
def test_replies_that_are_switched_off_stop_what_is_planned(world: World, mode: str, code: str) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    held_back(world)
    with world.stack.functions({"REPLIES_MODE": mode}) as base_url:
        world.sweep(base_url=base_url)
    assert (state(world), world.sent()) == ([("skipped", code)], [])


# No loop without an end.


def test_two_accounts_of_ours_do_not_answer_each_other(world: World) -> None:
    connect(world, FIRST, SECOND)
    world.rule(trigger="keyword", pattern="e", reply_text="Welcome, we are here", cooldown_s=0)
    body = webhook({"sender": {"id": SECOND}, "recipient": {"id": FIRST}, "timestamp": now_ms(),
                    "message": {"mid": "m_1", "text": "hello there"}}, account=FIRST)  # fmt: skip
    world.deliver(body)
    assert (state(world), world.sent()) == ([("skipped", "own_account")], [])


def test_a_bot_that_answers_every_answer_does_not_keep_us_busy_for_ever(world: World) -> None:
    """The bot writes back within the second. Without cooldowns the ceiling ends it."""
    world.rule(trigger="keyword", pattern="e", reply_text="We are here", cooldown_s=0)
    with world.stack.functions({"REPLIES_PER_PERSON_PER_HOUR": "3"}) as base_url:
        for number in range(6):
            world.db.execute("update outbox set slot_at = slot_at - interval '2 seconds'")
            world.deliver(webhook(message(f"We are here, too {number}")), base_url=base_url)
            world.deliver(webhook(echo("We are here")), base_url=base_url)
        assert len(world.sent()) == 3
        assert sorted(state(world)) == [("sent", None)] * 3 + [("skipped", "too_many_replies")] * 3
        # An hour later the person is answered again, and another person always was.
        world.db.execute("update outbox set slot_at = slot_at - interval '1 hour'")
        for contact in (CONTACT, "6001234567890999"):
            world.deliver(webhook(message("hello", contact=contact)), base_url=base_url)
    assert len(world.sent()) == 5


def test_replies_that_were_planned_together_stop_at_the_ceiling_too(world: World) -> None:
    world.rule(trigger="keyword", pattern="e", reply_text="We are here", cooldown_s=0)
    with world.stack.functions({"REPLIES_PER_PERSON_PER_HOUR": "2"}) as base_url:
        with world.qstash_fault(publish="refuse"):
            world.post_webhook(webhook(*[message(f"hello {number}") for number in range(5)]), base_url=base_url)
        for _ in range(6):
            world.db.execute("update outbox set slot_at = slot_at - interval '2 seconds'")
            world.sweep(base_url=base_url)
    assert len(world.sent()) == 2
    assert {end for end, _ in state(world)} == {"sent", "skipped"}


@pytest.mark.parametrize(("own", "answers"), [(None, 1), (0, 3), (3600, 1)])
def test_a_rule_without_a_cooldown_of_its_own_has_the_settings(world: World, own: int | None, answers: int) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.", cooldown_s=own)
    for _ in range(3):
        world.deliver(webhook(message("price")))
    assert len(world.sent()) == answers
    assert world.row("select distinct account_id from outbox") == {"account_id": ACCOUNT}


def test_the_cooldown_of_the_settings_can_be_none(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    with world.stack.functions({"REPLY_COOLDOWN_S": "0"}) as base_url:
        for _ in range(2):
            world.deliver(webhook(message("price")), base_url=base_url)
    assert len(world.sent()) == 2
