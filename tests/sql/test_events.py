"""What the SQL functions say of an event: tables of cases, asked of Postgres directly."""

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.support.world import World

PERSON, ACCOUNT, OUR_APP, OTHER_APP = "6001234567890123", "17841400000000000", "1001", "2002"


def event(kind: str, **fields: Any) -> Jsonb:
    """The JSON of an event, as little of it as the functions need."""
    return Jsonb({"event_id": "ig_x", "kind": kind, "account_id": ACCOUNT, "contact_id": PERSON, **fields})


@pytest.mark.parametrize(
    ("kind", "message", "speaks_of_one"),
    [
        ("message", True, True),
        ("echo", True, True),
        ("postback", True, True),
        ("edit", False, True),
        ("unsend", False, True),
        ("reaction", False, False),
        ("read", False, False),
        ("comment", False, False),
        ("unknown", False, False),
    ],
)
def test_which_kinds_are_messages_and_which_speak_of_one(
    world: World, kind: str, message: bool, speaks_of_one: bool
) -> None:
    row = world.row("select ingestion.is_message(%s) as a, ingestion.is_about_a_message(%s) as b", kind, kind)
    assert (row["a"], row["b"]) == (message, speaks_of_one)


@pytest.mark.parametrize(
    ("fields", "opens"),
    [
        ({"kind": "message"}, True),
        ({"kind": "postback"}, True),
        ({"kind": "message", "direction": "outbound"}, False),
        ({"kind": "echo", "direction": "outbound"}, False),
        ({"kind": "message", "is_test": True}, False),
        ({"kind": "message", "is_self": True}, False),
        ({"kind": "message", "contact_id": None}, False),
        ({"kind": "reaction"}, False),
        ({"kind": "comment"}, False),
        ({"kind": "read"}, False),
    ],
)
def test_what_opens_the_reply_window(world: World, fields: dict[str, Any], opens: bool) -> None:
    row = world.row("select ingestion.opens_window(ingestion.read_event(%s)) as opens", event(**fields))
    assert row["opens"] is opens


@pytest.mark.parametrize(
    ("fields", "app_id", "owner"),
    [
        ({"kind": "message"}, OUR_APP, "ours"),
        ({"kind": "message", "standby": True}, OUR_APP, "others"),
        ({"kind": "read"}, OUR_APP, None),
        ({"kind": "read", "standby": True}, OUR_APP, "others"),
        ({"kind": "handover", "action": "take", "new_owner_app_id": OUR_APP}, OUR_APP, "others"),
        ({"kind": "handover", "action": "pass", "new_owner_app_id": OUR_APP}, OUR_APP, "ours"),
        ({"kind": "handover", "action": "pass", "new_owner_app_id": OTHER_APP}, OUR_APP, "others"),
        ({"kind": "handover", "action": "pass"}, OUR_APP, "ours"),
        ({"kind": "handover", "action": "pass", "new_owner_app_id": OTHER_APP}, "", "ours"),
        ({"kind": "handover", "action": "pass", "new_owner_app_id": OUR_APP}, None, None),
        ({"kind": "handover", "action": "request", "requested_owner_app_id": OUR_APP}, OUR_APP, None),
        ({"kind": "handover", "action": "app_roles"}, OUR_APP, None),
    ],
)
def test_whose_the_conversation_is_after_an_event(
    world: World, fields: dict[str, Any], app_id: str | None, owner: str | None
) -> None:
    row = world.row("select ingestion.thread_owner(ingestion.read_event(%s), %s) as owner", event(**fields), app_id)
    assert row["owner"] == owner


def test_an_event_is_read_with_its_defaults_and_under_the_accounts_own_id(world: World) -> None:
    world.db.execute("insert into accounts (account_id, app_scoped_id) values (%s, '26000000000000001')", (ACCOUNT,))
    json = event("postback", account_id="26000000000000001", title="Buy", payload="BUY", occurred_at=1_795_000_000_000)
    row = world.row("select (ingestion.read_event(%s)).*", json)
    assert (row["account_id"], row["direction"], row["is_message"]) == (ACCOUNT, "inbound", True)
    assert (row["text"], row["payload"], row["attachments"]) == ("Buy", "BUY", None)
    assert (row["standby"], row["is_test"], row["is_self"], row["is_live"]) == (False, False, False, False)
    assert row["occurred_at"].timestamp() == 1_795_000_000


@pytest.mark.parametrize(
    ("item", "redacted"),
    [
        ({"message": {"mid": "m", "text": "hi", "attachments": [1]}}, {"message": {"mid": "m"}}),
        ({"message_edit": {"mid": "m", "text": "hi", "num_edit": 1}}, {"message_edit": {"mid": "m", "num_edit": 1}}),
        ({"postback": {"mid": "m", "title": "Buy", "payload": "BUY"}}, {"postback": {"mid": "m"}}),
        ({"value": {"message": {"mid": "m", "text": "hi"}}}, {"value": {"message": {"mid": "m"}}}),
        (
            {"message": {"mid": "m", "reply_to": {"mid": "n", "story": {"url": "u"}}}},
            {"message": {"mid": "m", "reply_to": {"mid": "n"}}},
        ),
        ({"read": {"mid": "m"}}, {"read": {"mid": "m"}}),
    ],
)
def test_an_item_without_its_words_keeps_its_ids_and_shape(world: World, item: Any, redacted: Any) -> None:
    assert world.row("select ingestion.redacted(%s) as item", Jsonb(item))["item"] == redacted
