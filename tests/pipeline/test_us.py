"""Who is us, and who is whom: either id of an account, in any place of an item; two accounts told of one thing."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from tests.pipeline.channels import Channels
from tests.pipeline.facts import Fact
from tests.support.accounts import FIRST, SECOND, connect, other_id
from tests.support.builders import CONTACT, comment, item, now_ms, webhook
from tests.support.world import World

BOTH_IDS = (FIRST, other_id(FIRST))

KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "message": lambda: {"message": {"mid": "m", "text": "price"}},
    "echo": lambda: {"message": {"mid": "m", "text": "price", "is_echo": True}},
    "unsend": lambda: {"message": {"mid": "m", "is_deleted": True}},
    "edit": lambda: {"message_edit": {"mid": "m", "text": "price", "num_edit": 1}},
    "reaction": lambda: {"reaction": {"mid": "m", "action": "react", "reaction": "love"}},
    "postback": lambda: {"postback": {"mid": "m", "title": "B", "payload": "price"}},
    "read": lambda: {"read": {"mid": "m"}},
}


@pytest.fixture(autouse=True)
def _connected(world: World) -> None:
    """An account that is known under both of its ids, and answers everything."""
    connect(world, FIRST)
    for trigger in ("keyword", "comment", "postback", "first_message"):
        world.rule(trigger=trigger, pattern="price" if trigger == "keyword" else None, reply_text="20.")


def told(entry_id: str, built: dict[str, Any], *, under: Any = "messaging") -> Fact:
    return Fact(entry_id, under, built, now_ms())


@pytest.mark.parametrize("outbound", [True, False], ids=["from us", "to us"])
@pytest.mark.parametrize("kind", KINDS)
def test_either_id_is_us_in_every_place_of_an_item(world: World, kind: str, outbound: bool) -> None:
    """The rows are those of the item that names us by one id only."""
    channels = Channels(world, world.stack.functions_url)
    rows: dict[tuple[str, str], object] = {}
    at_ms = now_ms()
    for entry_id, party_id in product(BOTH_IDS, BOTH_IDS):
        built = item(account=party_id, contact=CONTACT, outbound=outbound, at_ms=at_ms, **KINDS[kind]())
        channels.consume(told(entry_id, built).event())
        world.settle()
        rows[entry_id, party_id] = {
            "events": world.rows("select kind, account_id, contact_id, direction from events where mid = 'm'"),
            "messages": world.rows(
                "select account_id, mid, contact_id, direction, kind, text, is_self from messages where mid = 'm'"
            ),
            "reactions": world.rows("select account_id, mid, contact_id from reactions"),
            "people": [row["igsid"] for row in world.rows("select igsid from profiles")],
            "answers": len(world.rows("select from outbox")),
        }
        world.db.execute("truncate events, messages, reactions, profiles, outbox")
    expected = rows[FIRST, FIRST]
    assert rows == dict.fromkeys(rows, expected)
    assert FIRST not in str(world.rows("select igsid from profiles"))


@pytest.mark.parametrize(("entry_id", "author_id"), [*product(BOTH_IDS, BOTH_IDS)])
def test_our_own_comment_is_ours_under_either_id_and_gets_no_private_reply(
    world: World, entry_id: str, author_id: str
) -> None:
    world.deliver(webhook(comment("price please", contact=author_id), account=entry_id, under="changes"))
    row = world.row("select account_id, is_self, contact_id from comments")
    assert row == {"account_id": FIRST, "is_self": True, "contact_id": FIRST}
    assert world.row("select direction from events")["direction"] == "outbound"
    assert (world.count("outbox"), world.count("profiles"), world.sent()) == (0, 0, [])


def test_our_reaction_is_ours_and_its_actor_has_one_name(world: World) -> None:
    for entry_id, party_id in product(BOTH_IDS, BOTH_IDS):
        built = item(account=party_id, outbound=True, reaction={"mid": "m", "action": "react", "reaction": "love"})
        world.deliver(webhook(built, account=entry_id))
    assert world.rows("select distinct actor_id, contact_id from reactions") == [
        {"actor_id": FIRST, "contact_id": CONTACT}
    ]
    assert [row["igsid"] for row in world.rows("select igsid from profiles")] == [CONTACT]


def test_a_note_to_ourselves_under_both_ids_is_nobody_elses(world: World) -> None:
    built = item(account=FIRST, contact=other_id(FIRST), message={"mid": "m", "text": "price"})
    world.deliver(webhook(built, account=FIRST))
    assert world.row("select is_self, direction from messages") == {"is_self": True, "direction": "outbound"}
    assert (world.count("profiles"), world.sent()) == (0, [])


def test_an_event_from_before_its_account_had_two_ids_stays_one_event(world: World) -> None:
    world.db.execute("delete from accounts")
    body = webhook(item(account=FIRST, message={"mid": "m", "text": "hello"}), account=other_id(FIRST))
    world.deliver(body)
    connect(world, FIRST)
    world.forget_deduplication()
    world.deliver(body)
    assert world.row("select event_id, account_id from events") == {"event_id": "ig_msg_m", "account_id": FIRST}


@pytest.mark.parametrize("what", ["message", "comment", "mention", "unsend", "edit", "reaction", "postback"])
def test_one_thing_told_to_two_of_our_accounts_is_two_events(world: World, what: str) -> None:
    connect(world, SECOND)
    channels = Channels(world, world.stack.functions_url)
    for account in (FIRST, SECOND, FIRST, SECOND):
        if what == "comment":
            fact = told(account, comment("price", comment_id="1785"), under="changes")
        elif what == "mention":
            fact = told(account, {"field": "mentions", "value": {"media_id": "1", "comment_id": "2"}}, under="changes")
        else:
            fact = told(account, item(account=account, at_ms=now_ms() // 10**6 * 10**6, **KINDS[what]()))
        channels.consume(fact.event())
    world.settle()
    both = [{"account_id": FIRST}, {"account_id": SECOND}]
    assert world.rows("select account_id from events order by 1") == both
    if what in ("message", "postback", "comment"):
        # Each account answers, once. (Meta grants a comment one private reply, so the second is refused there.)
        assert world.rows("select account_id from outbox order by 1") == both
    tables = {"message": "messages", "comment": "comments", "mention": "mentions", "reaction": "reactions"}
    if what in tables:
        assert {row["account_id"] for row in world.snapshot()[tables[what]]} == {FIRST, SECOND}
