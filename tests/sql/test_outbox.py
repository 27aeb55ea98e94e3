"""The state machine of a send: its numbers, what an echo looks like, and how long a send waits. Tables of cases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.support.world import World

PERSON, ACCOUNT = "6001234567890123", "17841400000000000"
SENT_AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
IMAGE = {"type": "image", "payload": {"url": "https://x.example/a.png"}}
POST = {"type": "MEDIA_SHARE", "payload": {"id": "1790"}}


@pytest.mark.parametrize(
    ("message", "text", "attachments", "looks"),
    [
        ({"text": "20."}, "20.", [], True),
        ({"text": "20."}, "20", [], False),
        ({"text": "20."}, None, [], False),
        ({"text": "20.", "quick_replies": [{"title": "Yes"}]}, "20.", [], True),
        ({"attachments": [IMAGE]}, None, [{"type": "image", "payload": {"url": "https://meta.example/1"}}], True),
        ({"attachments": [IMAGE]}, None, [{"type": "video"}], False),
        ({"attachments": [IMAGE]}, None, [], False),
        ({"attachments": [IMAGE]}, "look", [{"type": "image"}], False),
        ({"attachment": POST}, None, [{"type": "ig_post"}], True),
        ({"attachment": POST}, None, [{"type": "share"}], True),
        ({"attachment": POST}, None, [{"type": "image"}], False),
        ({"attachment": {"type": "audio"}}, None, [{"type": "audio"}], True),
    ],
)
def test_what_the_echo_of_a_message_looks_like(
    world: World, message: dict[str, Any], text: str | None, attachments: list[Any], looks: bool
) -> None:
    query = "select ingestion.looks_like_echo(%s, %s, %s) as looks"
    assert world.row(query, Jsonb(message), text, Jsonb(attachments))["looks"] is looks


@pytest.mark.parametrize(
    ("after_s", "inside"), [(-61, False), (-60, True), (0, True), (599, True), (600, True), (601, False)]
)
def test_when_the_echo_of_a_send_may_come(world: World, after_s: int, inside: bool) -> None:
    query = "select %s <@ ingestion.echo_window(%s) as inside"
    assert world.row(query, SENT_AT + timedelta(seconds=after_s), SENT_AT)["inside"] is inside


def test_the_windows_are_those_of_meta(world: World) -> None:
    row = world.row(
        "select ingestion.reply_window() as reply, ingestion.private_reply_window() as private_reply,"
        " ingestion.thread_ownership() as thread"
    )
    assert row == {"reply": timedelta(days=1), "private_reply": timedelta(days=7), "thread": timedelta(days=7)}


@pytest.mark.parametrize(("kind", "is_send"), [("dm", True), ("private_reply", True), ("next_phase", False)])
def test_which_effects_are_messages_to_a_person(world: World, kind: str, is_send: bool) -> None:
    assert world.row("select ingestion.is_send(%s) as is_send", kind)["is_send"] is is_send


def effect(**columns: Any) -> Jsonb:
    """A row of the outbox as JSON, for functions that take one."""
    return Jsonb({"effect_id": "dm:2", "kind": "dm", "account_id": ACCOUNT, "contact_id": PERSON, **columns})


def left(
    world: World,
    effect_id: str,
    *,
    seconds_ago: float,
    kind: str = "dm",
    contact: str = PERSON,
    waits_for: str | None = None,
) -> None:
    """A send that left so long ago, or that waits for a limit and had its slot then."""
    world.db.execute(
        "insert into events (event_id, kind, account_id, direction, via, occurred_at, received_at)"
        " values (%s, 'message', %s, 'inbound', 'queue', now(), now())",
        (effect_id, ACCOUNT),
    )
    world.db.execute(
        "insert into outbox (effect_id, event_id, kind, account_id, contact_id, payload, state, waits_for, slot_at)"
        " values (%s, %s, %s, %s, %s, '{}', %s, %s, clock_timestamp() - %s * interval '1 s')",
        (effect_id, effect_id, kind, ACCOUNT, contact, "claimed" if waits_for else "sent", waits_for, seconds_ago),
    )


LIMITS = {
    "account": {"count": 2, "window_s": 10},
    "thread": {"count": 1, "window_s": 5},
    "private_reply": {"count": 1, "window_s": 60},
}


@pytest.mark.parametrize(
    ("sends", "columns", "waits_for", "wait_s"),
    [
        ([], {}, None, 0),
        ([("a", 3, "dm", PERSON)], {}, "thread", 2),
        ([("a", 6, "dm", PERSON)], {}, None, 0),
        ([("a", 3, "dm", "another")], {}, None, 0),
        ([("a", 3, "dm", "another"), ("b", 4, "dm", "a third")], {}, "account", 6),
        ([("a", 30, "private_reply", "another")], {"kind": "private_reply"}, "private_reply", 30),
        ([("a", 30, "private_reply", "another")], {}, None, 0),
        # Of a limit that the send has waited for, what has left counts again, and what still waits does not.
        ([("a", 3, "dm", PERSON)], {"waits_for": "thread"}, "thread", 2),
        ([("a", 3, "dm", PERSON, "thread")], {"waits_for": "thread"}, None, 0),
        ([("a", 3, "dm", PERSON, "thread")], {}, "thread", 2),
        ([("a", 3, "dm", "another"), ("b", 4, "dm", "a third")], {"waits_for": "thread"}, "account", 6),
        ([("a", 30, "private_reply", "x")], {"kind": "private_reply", "waits_for": "account"}, "private_reply", 30),
    ],
)
def test_how_long_a_send_waits_and_for_which_limit(
    world: World, sends: list[Any], columns: dict[str, Any], waits_for: str | None, wait_s: float
) -> None:
    for effect_id, seconds_ago, kind, contact, *waiting in sends:
        left(world, effect_id, seconds_ago=seconds_ago, kind=kind, contact=contact, waits_for=next(iter(waiting), None))
    rows = world.rows(
        "select d.waits_for, extract(epoch from d.slot_at - clock_timestamp())::float as wait_s"
        " from ingestion.send_delay(jsonb_populate_record(null::outbox, %s), %s) d",
        effect(**columns),
        Jsonb(LIMITS),
    )
    assert [row["waits_for"] for row in rows] == ([] if waits_for is None else [waits_for])
    assert all(row["wait_s"] == pytest.approx(wait_s, abs=0.5) for row in rows)


@pytest.mark.parametrize(
    ("state", "refusals", "age_s", "due"),
    [
        ("pending", 0, None, True),
        ("complete", 0, 10, False),
        ("complete", 0, 90_000, True),
        ("unavailable", 1, 10, True),
        ("unavailable", 2, 10, False),
        ("unavailable", 2, 90_000, True),
    ],
)
def test_when_a_profile_is_fetched_again(world: World, state: str, refusals: int, age_s: int | None, due: bool) -> None:
    fetched_at = None if age_s is None else datetime.now(UTC) - timedelta(seconds=age_s)
    profile = Jsonb({"state": state, "refusals": refusals, "fetched_at": fetched_at and fetched_at.isoformat()})
    query = "select ingestion.profile_due(jsonb_populate_record(null::profiles, %s), 86400) as due"
    assert world.row(query, profile)["due"] is due
