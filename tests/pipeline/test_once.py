"""Once, and not lost on the way to once: permits, echoes that contradict an answer, one message told in two ways."""

import uuid
from itertools import permutations
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.pipeline.channels import Channels
from tests.pipeline.facts import NOON_MS, Fact, Under
from tests.support.builders import ACCOUNT, CONTACT, echo, item, message, new_mid, now_ms, postback, webhook
from tests.support.world import World

EFFECT = "dm:1"
WORDS = Jsonb({"text": "20."})


@pytest.fixture
def token(world: World) -> uuid.UUID:
    """The lease of a worker that has claimed a reply."""
    world.db.execute(
        "insert into events (event_id, account_id, kind, contact_id, direction, via, occurred_at, received_at)"
        " values ('e', %s, 'message', %s, 'inbound', 'queue', now(), now())",
        (ACCOUNT, CONTACT),
    )
    world.db.execute(
        "insert into profiles (account_id, igsid, first_seen_at, last_seen_at, last_inbound_at)"
        " values (%s, %s, now(), now(), now())",
        (ACCOUNT, CONTACT),
    )
    lease = uuid.uuid4()
    world.db.execute(
        "insert into outbox"
        " (effect_id, event_id, kind, account_id, contact_id, payload, state, lease_token, lease_until)"
        " values (%s, 'e', 'dm', %s, %s, '{}', 'claimed', %s, now() + interval '1 minute')",
        (EFFECT, ACCOUNT, CONTACT, lease),
    )
    return lease


def begin(world: World, lease: uuid.UUID, *, within_s: float = 60.0) -> dict[str, Any]:
    options = Jsonb({}) if within_s == 0 else None
    row = world.row(
        "select begin_send(%s, %s, %s, 30, coalesce(%s, jsonb_build_object("
        "'not_after', clock_timestamp() + %s * interval '1 second'))) as permit",
        EFFECT, lease, WORDS, options, within_s,
    )  # fmt: skip
    return dict(row["permit"])


def finish(world: World, lease: uuid.UUID, state: str, *, never_left: bool = False, mid: str | None = None) -> str:
    row = world.row(
        "select finish_effect(%s, %s, %s, %s, 'code', 60, %s) as ended", EFFECT, lease, state, mid, never_left
    )
    return str(row["ended"]["state"])


def effect(world: World) -> tuple[str, str | None]:
    row = world.row("select state, mid from outbox")
    return row["state"], row["mid"]


# Permits.


def test_a_permit_that_is_asked_for_twice_with_one_lease_is_one_permit(world: World, token: uuid.UUID) -> None:
    assert begin(world, token) == begin(world, token) == {"go": True}
    before = world.row("select sending_at, lease_until from outbox")
    assert begin(world, token) == {"go": True}
    assert world.row("select sending_at, lease_until from outbox") == before
    assert begin(world, uuid.uuid4()) == {"go": False, "code": "lease_lost"}


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_permit_that_is_asked_for_too_late_is_none(world: World, token: uuid.UUID, has_begun: bool) -> None:
    if has_begun:
        begin(world, token)
    before = world.row("select * from outbox")
    assert begin(world, token, within_s=-0.001) == {"go": False, "code": "too_late"}
    assert world.row("select * from outbox") == before


@pytest.mark.parametrize("has_begun", [False, True], ids=["the call was lost", "the answer was lost"])
def test_the_caller_that_gave_up_takes_the_reply_back_and_no_echo_is_its_own(
    world: World, token: uuid.UUID, has_begun: bool
) -> None:
    if has_begun:
        begin(world, token)
    assert finish(world, token, "planned", never_left=True) == "planned"
    assert begin(world, token) == {"go": False, "code": "lease_lost"}
    # An agent writes the same words: nothing of ours left, so the reply is still owed.
    world.deliver(webhook(echo("20.")))
    assert effect(world) == ("planned", None)


def test_a_lease_that_ran_out_while_nothing_had_left_can_be_taken_back(world: World, token: uuid.UUID) -> None:
    begin(world, token)
    world.db.execute("update outbox set lease_until = now() - interval '1 second'")
    world.rows("select expire_sends()")
    assert effect(world)[0] == "unknown"
    assert finish(world, token, "planned", never_left=True) == "planned"


@pytest.mark.parametrize("cuts", [1, 2, 5])
def test_a_lost_answer_of_the_database_loses_no_reply(world: World, cuts: int) -> None:
    """The gateway loses answers while a reply is under way. The reply leaves once, and nobody wonders whether."""
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.lose_answers("begin_send", cuts)
    world.deliver(webhook(message("price")))
    world.sweep()
    assert len(world.sent()) == 1
    assert effect(world) == ("sent", world.sent()[0]["message_id"])


@pytest.mark.parametrize("cuts", [1, 3])
def test_a_lost_answer_after_the_reply_left_is_asked_for_again(world: World, cuts: int) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.lose_answers("finish_effect", cuts)
    world.deliver(webhook(message("price")))
    assert effect(world) == ("sent", world.sent()[0]["message_id"])


# The echo has the last word.

REFUSALS = ("429", "rate_limit", "transient", "outside_window", "user_gone", "no_consent")


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("echo_first", [True, False], ids=["echo first", "answer first"])
def test_a_refused_reply_whose_echo_comes_was_sent_and_is_not_repeated(
    world: World, token: uuid.UUID, refusal: str, echo_first: bool
) -> None:
    begin(world, token)
    if echo_first:
        world.deliver(webhook(echo("20.", mid="m_left")))
    ended = finish(world, token, "planned" if refusal in ("429", "rate_limit", "transient") else "failed")
    if not echo_first:
        assert ended in ("planned", "failed")
        world.deliver(webhook(echo("20.", mid="m_left")))
    assert effect(world) == ("sent", "m_left")
    assert world.row("select error_code, mid_guessed from outbox") == {"error_code": None, "mid_guessed": True}


@pytest.mark.parametrize("refusal", ["rate_limit", "user_gone"])
def test_through_the_pipeline_a_refused_reply_that_was_delivered_is_settled_and_counts(
    world: World, refusal: str
) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.", cooldown_s=3600)
    world.graph_fault("send", refusal, times=1)
    world.post_webhook(webhook(message("price")))
    while world.rows("select from outbox where left_at is not null") == []:
        pass
    world.post_webhook(webhook(echo("20.", mid="m_left")))
    while effect(world) != ("sent", "m_left"):
        pass
    world.sweep()
    world.deliver(webhook(message("price")))
    assert world.sent() == []
    assert [row["error_code"] for row in world.rows("select error_code from outbox order by planned_at")] == [
        None, "cooling_down",
    ]  # fmt: skip


def test_before_a_repetition_the_echo_is_looked_for(world: World, token: uuid.UUID) -> None:
    """An echo that no trigger settled, because the row was not there to be found: the look comes before the send."""
    begin(world, token)
    finish(world, token, "planned")
    world.db.execute(
        "insert into messages (account_id, mid, contact_id, direction, kind, text, sent_at)"
        " values (%s, 'm_left', %s, 'outbound', 'echo', '20.', now())",
        (ACCOUNT, CONTACT),
    )
    again = uuid.uuid4()
    world.db.execute("update outbox set state = 'claimed', lease_token = %s, not_before = null", (again,))
    assert begin(world, again) == {"go": False, "code": "already_sent"}
    assert effect(world) == ("sent", "m_left")


# One message told in two ways.


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("trigger", ["first_message", "keyword"])
def test_a_mid_told_as_a_message_and_as_a_postback_is_answered_once(world: World, order: int, trigger: str) -> None:
    mid = new_mid()
    world.rule(trigger=trigger, pattern="price" if trigger == "keyword" else None, reply_text="20.")
    world.rule(trigger="postback", pattern="price", reply_text="20.")
    for built in (message("price", mid=mid), postback("price", mid=mid))[::order]:
        world.deliver(webhook(built))
    by_rule = world.rows("select rule_id, count(*)::int as n from outbox group by 1")
    assert all(row["n"] == 1 for row in by_rule)
    assert len(world.rows("select from outbox where state = 'sent'")) == len(by_rule)


TELLINGS: dict[str, tuple[Under, dict[str, Any]]] = {
    "the person": ("messaging", item(at_ms=NOON_MS, message={"mid": "m", "text": "price"})),
    "an echo": (
        "messaging",
        item(at_ms=NOON_MS, outbound=True, message={"mid": "m", "text": "price", "is_echo": True}),
    ),
    "nobody": ("messaging", {"timestamp": NOON_MS, "message": {"mid": "m", "text": "price"}}),
    "standby": ("standby", item(at_ms=NOON_MS, message={"mid": "m", "text": "price"})),
}


def test_the_persons_own_telling_wins_in_every_order(world: World) -> None:
    channels = Channels(world, world.stack.functions_url)
    ends = []
    for order in permutations(TELLINGS):
        for name in order:
            under, built = TELLINGS[name]
            channels.consume(Fact(ACCOUNT, under, built, NOON_MS).event())
        ends.append(
            world.rows("select direction, contact_id, kind, standby, text from messages")
            + world.rows("select last_inbound_at, last_outbound_at, last_message_at from profiles")
            + world.rows("select kind, direction, contact_id, via_standby from events")
            + world.rows("select unread_count, is_unread from conversations")
        )
        world.db.execute("truncate events, messages, profiles, outbox")
    assert ends == [ends[0]] * len(ends)
    assert ends[0][0] == {
        "direction": "inbound", "contact_id": CONTACT, "kind": "message", "standby": False, "text": "price",
    }  # fmt: skip
    assert ends[0][-1] == {"unread_count": 1, "is_unread": True}


@pytest.mark.parametrize("order", [*permutations(("the person", "nobody", "standby", "an echo"))])
def test_the_telling_that_can_be_answered_is_answered_once_whenever_it_comes(
    world: World, order: tuple[str, ...]
) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    channels = Channels(world, world.stack.functions_url)
    at_ms = now_ms()
    for name in (*order, *order):
        under, built = TELLINGS[name]
        channels.consume(Fact(ACCOUNT, under, {**built, "timestamp": at_ms}, at_ms).event())
    assert [sent["recipient_id"] for sent in world.sent()] == [CONTACT]
    assert world.rows("select state from outbox") == [{"state": "sent"}]
    assert world.row("select processed_at is not null as done from events")["done"]


def test_a_rule_that_came_later_does_not_answer_an_old_message(world: World) -> None:
    under, built = TELLINGS["the person"]
    channels = Channels(world, world.stack.functions_url)
    at_ms = now_ms()
    channels.consume(Fact(ACCOUNT, under, {**built, "timestamp": at_ms}, at_ms).event())
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    for telling in ("standby", "nobody"):
        under, built = TELLINGS[telling]
        channels.consume(Fact(ACCOUNT, under, {**built, "timestamp": at_ms}, at_ms).event())
    assert (world.count("outbox"), world.sent()) == (0, [])


@pytest.mark.parametrize("refusal", ["429", "rate_limit", "rate_limit_thread", "action_blocked"])
def test_a_reply_that_was_refused_and_delivered_is_found_in_its_conversation_before_it_is_repeated(
    world: World, refusal: str
) -> None:
    """No echo ever comes."""
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", refusal, times=1, accepts=True)
    world.deliver(webhook(message("price")))
    world.sweep()
    assert [sent["message_id"] for sent in world.sent()] == [effect(world)[1]]
    assert effect(world)[0] == "sent"


def test_a_picture_that_was_refused_and_may_be_there_is_not_sent_again(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", attachment={"type": "image", "url": "https://cdn.example/price.png"})
    world.graph_fault("send", "429", times=1, accepts=True)
    world.deliver(webhook(message("price")))
    world.sweep()
    assert len(world.sent()) == 1
    assert effect(world)[0] == "unknown"


@pytest.mark.parametrize("refusal", ["429", "rate_limit", "action_blocked"])
def test_a_reply_that_was_refused_and_not_delivered_is_repeated(world: World, refusal: str) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", refusal, times=1)
    world.deliver(webhook(message("price")))
    world.sweep()
    assert len(world.sent()) == 1
    assert effect(world) == ("sent", world.sent()[0]["message_id"])


def test_while_the_conversation_cannot_be_read_a_refused_reply_waits(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("send", "429", times=1, accepts=True)
    world.graph_fault("conversations", "500")
    world.deliver(webhook(message("price")))
    assert len(world.sent()) == 1
    assert effect(world)[0] == "planned"
    world.graph_fault("conversations", "ok")
    world.sweep()
    assert (len(world.sent()), effect(world)[0]) == (1, "sent")


def test_a_connection_that_meta_closes_while_it_is_idle_loses_no_reply(world: World) -> None:
    world.rule(trigger="keyword", pattern="price", reply_text="20.")
    world.graph_fault("*", "close_kept")
    people = [f"60012345678903{number:02}" for number in range(8)]
    for person in people:
        world.deliver(webhook(message("price", contact=person)))
    assert sorted(sent["recipient_id"] for sent in world.sent()) == people
    assert {row["state"] for row in world.rows("select state from outbox")} == {"sent"}
