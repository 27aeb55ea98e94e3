"""What recording a message costs the tables: the row of a profile stays in its page, whatever the message changes."""

from collections.abc import Iterator
from typing import Any

from psycopg.types.json import Jsonb

from lib.events.model import as_json
from lib.webhooks.parser import parse_webhook
from tests.support.builders import echo, message, webhook
from tests.support.world import World

MESSAGES, PEOPLE = 1_000, 50
FIRST_PERSON = 6_000_000_000_000_000


def conversation_events(count: int) -> Iterator[Any]:
    """The JSON of messages of the people in turns, each tenth of them answered by the account."""
    for number in range(count):
        contact = str(FIRST_PERSON + number * 7 % PEOPLE)
        at_ms = 1_795_000_000_000 + number
        item = echo(contact=contact) if number % 10 == 9 else message(contact=contact, at_ms=at_ms)
        [event] = parse_webhook(webhook(item), received_at=at_ms)
        yield Jsonb(as_json(event))


def updates(world: World) -> dict[str, int]:
    """How many rows of `profiles` were updated so far, and how many of them within their page (HOT)."""
    world.db.execute("select pg_stat_force_next_flush()")
    world.db.execute("select 1")
    return world.row(
        "select n_tup_upd as updated, n_tup_hot_upd as hot from pg_stat_user_tables"
        " where schemaname = 'public' and relname = 'profiles'"
    )


def test_nine_of_ten_updates_of_a_profile_stay_in_its_page_and_touch_no_index(world: World) -> None:
    before = updates(world)
    for event in conversation_events(MESSAGES):
        world.db.execute("select record_event(%s, 'queue')", (event,))
    after = updates(world)
    updated, hot = after["updated"] - before["updated"], after["hot"] - before["hot"]
    assert world.count("profiles") == PEOPLE
    assert updated >= MESSAGES - PEOPLE
    assert hot >= 0.9 * updated, f"{hot} of {updated}"


ORDER = """
    select account_id, contact_id, last_message_at, may_be_unread from ingestion.conversation_order order by 1, 2
"""
ORDER_BY_PROFILES = """
    select account_id, igsid as contact_id, last_message_at,
        coalesce(last_inbound_at > coalesce(greatest(last_outbound_at, seen_at), '-infinity'), false) as may_be_unread
    from profiles where last_message_at is not null order by 1, 2
"""


def test_the_order_of_conversations_follows_every_change_of_a_profile(world: World) -> None:
    for event in conversation_events(120):
        world.db.execute("select record_event(%s, 'queue')", (event,))
    assert len(world.rows(ORDER)) == PEOPLE
    changes = (
        "select mark_conversation_seen(account_id, igsid) from profiles where igsid < '6000000000000010'",
        "update profiles set last_message_at = last_message_at - interval '1 day' where igsid like '%%3'",
        "update profiles set last_message_at = null where igsid like '%%4'",
        "update profiles set last_message_at = now() where last_message_at is null and igsid like '%%14'",
        "update profiles set last_outbound_at = null, seen_at = null",
        "update profiles set igsid = 'x' || igsid where igsid like '%%5'",
        "delete from profiles where igsid like '%%6'",
    )
    for change in changes:
        before = world.rows(ORDER)
        world.db.execute(change)
        assert world.rows(ORDER) == world.rows(ORDER_BY_PROFILES), change
        assert world.rows(ORDER) != before, change
