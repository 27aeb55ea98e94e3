"""What an inbox reads: the views by SQL and, as the same rows, through PostgREST with the official client."""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from supabase.lib.client_options import SyncClientOptions

from bench.fill import LARGE_TABLES, Size, fill
from bench.plans import Explainer
from bench.query_plans import queries
from dev.stack import keys
from dev.stack.config import ROOT
from supabase import Client, create_client
from tests.support.builders import (
    ACCOUNT,
    CONTACT,
    OTHER_CONTACT,
    comment,
    echo,
    edit,
    item,
    message,
    now_ms,
    postback,
    reaction,
    read,
    unsend,
    webhook,
)
from tests.support.world import HEALTH, World

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


class Inbox:
    """An application with the service role key; whatever it reads, SQL says the same."""

    def __init__(self, world: World, client: Client) -> None:
        self.world = world
        self.client = client

    def conversations(self, **equal: object) -> list[dict[str, Any]]:
        """The newest page of the list."""
        query = self.client.table("conversations").select("*").eq("account_id", ACCOUNT)
        for name, value in equal.items():
            query = query.eq(name, value)
        rows = rows_of(query.order("last_message_at", desc=True).order("contact_id", desc=True).limit(50))
        by_sql = self.world.rows(
            "select to_jsonb(c) as row from conversations c where account_id = %s "
            "order by last_message_at desc, contact_id desc limit 50",
            ACCOUNT,
        )
        wanted = [row["row"] for row in by_sql]
        assert all(row["is_unread"] == (row["unread_count"] > 0) for row in wanted)
        assert rows == [row for row in wanted if all(row[name] == value for name, value in equal.items())]
        return rows

    def conversation(self, contact: str = CONTACT) -> dict[str, Any]:
        """One conversation of the list."""
        (row,) = self.conversations(contact_id=contact)
        return row

    def messages(self, contact: str = CONTACT) -> list[dict[str, Any]]:
        """The newest page of a conversation."""
        query = self.client.table("conversation_messages").select("*").eq("account_id", ACCOUNT)
        query = query.eq("contact_id", contact).order("sent_at", desc=True).order("mid", desc=True).limit(50)
        rows = rows_of(query)
        by_sql = self.world.rows(
            "select to_jsonb(m) as row from conversation_messages m where account_id = %s and contact_id = %s "
            "order by sent_at desc, mid desc limit 50",
            ACCOUNT,
            contact,
        )
        assert rows == [row["row"] for row in by_sql]
        return rows

    def message(self, mid: str) -> dict[str, Any]:
        """One message of a conversation."""
        (row,) = [row for row in self.messages() if row["mid"] == mid]
        return row

    def see(self, contact: str = CONTACT, up_to_ms: int | None = None) -> None:
        """Somebody has looked at the conversation."""
        arguments = {"p_account_id": ACCOUNT, "p_contact_id": contact}
        until = {} if up_to_ms is None else {"p_at": at(up_to_ms).isoformat()}
        self.client.rpc("mark_conversation_seen", arguments | until).execute()


@pytest.fixture
def inbox(world: World) -> Iterator[Inbox]:
    with httpx.Client(trust_env=False) as http:
        options = SyncClientOptions(httpx_client=http)
        yield Inbox(world, create_client(world.stack.supabase_url, world.stack.service_role_key, options))


def rows_of(query: Any) -> list[dict[str, Any]]:
    """What a query of the client answers."""
    return list(query.execute().data)


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, tz=UTC)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


# The list of conversations.


def test_a_conversation_shows_its_last_message_whose_it_was_and_who_it_is_with(inbox: Inbox) -> None:
    start = now_ms() - HOUR_MS
    inbox.world.deliver(webhook(message("first", at_ms=start), message("last words", mid="m_2", at_ms=start + 1)))
    shown = inbox.conversation()
    assert (shown["last_mid"], shown["last_text"]) == ("m_2", "last words")
    assert (shown["last_direction"], shown["last_kind"]) == ("inbound", "message")
    assert moment(shown["last_message_at"]) == at(start + 1)
    assert (moment(shown["first_seen_at"]), shown["profile_state"]) == (at(start), "complete")
    assert shown["username"]
    inbox.world.deliver(webhook(echo("our answer", mid="m_3")))
    shown = inbox.conversation()
    assert (shown["last_mid"], shown["last_direction"], shown["last_text"]) == ("m_3", "outbound", "our answer")


def test_a_late_old_message_does_not_change_what_is_newest(inbox: Inbox) -> None:
    inbox.world.deliver(webhook(message("new", mid="m_new", at_ms=now_ms() - MINUTE_MS)))
    before = inbox.conversation()
    inbox.world.deliver(webhook(message("old", mid="m_old", at_ms=now_ms() - HOUR_MS)))
    after = inbox.conversation()
    assert (after["last_mid"], after["last_message_at"]) == ("m_new", before["last_message_at"])
    assert after["window_open_until"] == before["window_open_until"]
    assert [row["mid"] for row in inbox.messages()] == ["m_new", "m_old"]


def test_a_picture_without_words_shows_what_it_is_in_the_list(inbox: Inbox) -> None:
    pictures = [{"type": "image", "payload": {"url": "https://cdn.example/1"}}, {"type": "audio", "payload": {}}]
    inbox.world.deliver(webhook(message(None, attachments=pictures)))
    shown = inbox.conversation()
    assert (shown["last_text"], shown["last_attachment_types"]) == (None, ["image", "audio"])


def test_an_unsent_last_message_stays_the_last_one_without_its_words(inbox: Inbox) -> None:
    inbox.world.deliver(webhook(message("oops", mid="m_1")))
    inbox.world.deliver(webhook(unsend("m_1")))
    shown = inbox.conversation()
    assert (shown["last_mid"], shown["last_text"]) == ("m_1", None)
    assert shown["last_unsent_at"] is not None


def test_who_never_wrote_nor_was_written_to_has_no_conversation(inbox: Inbox) -> None:
    inbox.world.deliver(webhook(reaction("m_1"), read("m_1")))
    inbox.world.deliver(webhook(comment("nice"), under="changes"))
    assert inbox.world.count("profiles") == 1
    assert inbox.conversations() == []


def test_the_list_is_newest_first_and_keyset_pages_repeat_and_miss_nobody(inbox: Inbox) -> None:
    start = now_ms() - HOUR_MS
    people = [str(6001234567890100 + number) for number in range(11)]
    # Three at each moment, so that a page ends in the middle of a tie.
    inbox.world.deliver(
        webhook(*[message(contact=person, at_ms=start + number // 3) for number, person in enumerate(people)])
    )
    pages: list[list[dict[str, Any]]] = []
    while not pages or pages[-1]:
        query = inbox.client.table("conversations").select("*").eq("account_id", ACCOUNT)
        if pages:
            last_at, last_contact = pages[-1][-1]["last_message_at"], pages[-1][-1]["contact_id"]
            query = query.lte("last_message_at", last_at)
            query = query.or_(f'last_message_at.lt."{last_at}",contact_id.lt."{last_contact}"')
        ordered = query.order("last_message_at", desc=True).order("contact_id", desc=True)
        pages.append(rows_of(ordered.limit(4)))
    assert [len(page) for page in pages] == [4, 4, 3, 0]
    listed = [row["contact_id"] for page in pages for row in page]
    assert listed == sorted(people, key=lambda person: (people.index(person) // 3, person), reverse=True)
    assert listed == [row["contact_id"] for row in inbox.conversations()]


# What is unread.


def test_unread_grows_with_every_message_and_tap_and_ends_with_our_echo(inbox: Inbox) -> None:
    for number, one in enumerate([message(), message(), postback("START")], 1):
        inbox.world.deliver(webhook(one))
        assert (inbox.conversation()["unread_count"], inbox.conversation()["is_unread"]) == (number, True)
    inbox.world.deliver(webhook(echo()))
    assert (inbox.conversation()["unread_count"], inbox.conversation()["is_unread"]) == (0, False)
    inbox.world.deliver(webhook(message()))
    assert inbox.conversation()["unread_count"] == 1


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
def test_unread_is_what_came_after_our_last_message_in_whatever_order_it_is_told(
    inbox: Inbox, order: tuple[int, ...]
) -> None:
    start = now_ms() - HOUR_MS
    told = [message(at_ms=start), echo() | {"timestamp": start + MINUTE_MS}, message(at_ms=start + 2 * MINUTE_MS)]
    for number in order:
        inbox.world.deliver(webhook(told[number]))
    assert inbox.conversation()["unread_count"] == 1


def test_an_automatic_reply_is_an_answer_too(inbox: Inbox) -> None:
    inbox.world.rule(trigger="keyword", pattern="price", reply_text="20.")
    inbox.world.deliver(webhook(message("price")))
    shown = inbox.conversation()
    assert (shown["unread_count"], shown["last_text"], shown["last_direction"]) == (0, "20.", "outbound")


def test_seen_is_everything_that_is_there_and_what_comes_after_is_unread(inbox: Inbox) -> None:
    inbox.world.deliver(webhook(message(), message()))
    inbox.see()
    assert (inbox.conversation()["unread_count"], inbox.conversation()["is_unread"]) == (0, False)
    inbox.world.deliver(webhook(message()))
    assert inbox.conversation()["unread_count"] == 1


def test_seen_up_to_a_message_leaves_the_newer_ones_and_never_moves_back(inbox: Inbox) -> None:
    start = now_ms() - HOUR_MS
    inbox.world.deliver(webhook(*[message(at_ms=start + number) for number in range(4)]))
    inbox.see(up_to_ms=start + 1)
    assert inbox.conversation()["unread_count"] == 2
    inbox.see(up_to_ms=start)
    assert inbox.conversation()["unread_count"] == 2


def test_an_unsent_message_is_not_unread(inbox: Inbox) -> None:
    inbox.world.deliver(webhook(message(mid="m_1"), message(mid="m_2")))
    inbox.world.deliver(webhook(unsend("m_1")))
    assert inbox.conversation()["unread_count"] == 1
    inbox.world.deliver(webhook(unsend("m_2")))
    assert (inbox.conversation()["unread_count"], inbox.conversation()["is_unread"]) == (0, False)


def test_reactions_reads_and_comments_are_not_unread(inbox: Inbox) -> None:
    inbox.world.deliver(webhook(echo(mid="m_1"), reaction("m_1"), read("m_1")))
    inbox.world.deliver(webhook(comment("nice"), under="changes"))
    assert inbox.conversation()["unread_count"] == 0


def test_the_badge_counts_the_unread_conversations_of_an_account(inbox: Inbox) -> None:
    people = [str(6001234567890100 + number) for number in range(5)]
    inbox.world.deliver(webhook(*[message(contact=person) for person in people]))
    inbox.world.deliver(webhook(echo(contact=people[0])))
    inbox.see(people[1])
    badge = inbox.client.table("conversations").select("contact_id", count="exact")  # type: ignore[arg-type]
    counted = badge.eq("account_id", ACCOUNT).eq("is_unread", True).limit(0).execute()
    assert (counted.count, counted.data) == (3, [])
    assert {row["contact_id"] for row in inbox.conversations(is_unread=True)} == set(people[2:])


def test_the_unread_count_ends_at_a_thousand(inbox: Inbox) -> None:
    inbox.world.deliver(webhook(message()))
    inbox.world.db.execute(
        "insert into messages (account_id, mid, contact_id, direction, kind, sent_at) "
        "select %s, 'm_' || i, %s, 'inbound', 'message', now() from generate_series(1, 1005) i",
        (ACCOUNT, CONTACT),
    )
    assert inbox.conversation()["unread_count"] == 1000


# Until when we may answer.


@pytest.mark.parametrize("opener", ["message", "postback"])
def test_what_a_person_writes_or_taps_opens_the_window_for_24_hours(inbox: Inbox, opener: str) -> None:
    inbox.world.deliver(webhook(message(at_ms=now_ms() - 30 * HOUR_MS)))
    closed = inbox.conversation()
    assert closed["is_window_open"] is False
    assert moment(closed["window_open_until"]) < datetime.now(UTC)
    one = message() if opener == "message" else postback("START")
    inbox.world.deliver(webhook(one))
    opened = inbox.conversation()
    assert opened["is_window_open"] is True
    assert moment(opened["window_open_until"]) == at(one["timestamp"]) + timedelta(hours=24)


@pytest.mark.parametrize("other", ["echo", "read", "reaction", "comment", "edit", "unsend"])
def test_nothing_else_opens_the_window(inbox: Inbox, other: str) -> None:
    inbox.world.deliver(webhook(message(mid="m_1", at_ms=now_ms() - 30 * HOUR_MS)))
    before = inbox.conversation()
    items = {
        "echo": echo(),
        "read": read("m_1"),
        "reaction": reaction("m_1"),
        "comment": comment("nice"),
        "edit": edit("m_1", "other words"),
        "unsend": unsend("m_1"),
    }
    inbox.world.deliver(webhook(items[other], under="changes" if other == "comment" else "messaging"))
    assert inbox.world.count("events") == 2
    after = inbox.conversation()
    assert (after["window_open_until"], after["is_window_open"]) == (before["window_open_until"], False)


def test_who_was_only_written_to_has_no_window(inbox: Inbox) -> None:
    inbox.world.deliver(webhook(echo()))
    shown = inbox.conversation()
    assert (shown["window_open_until"], shown["is_window_open"]) == (None, False)


# The messages of a conversation.


def test_our_messages_are_read_up_to_what_the_person_has_read(inbox: Inbox) -> None:
    start = now_ms() - HOUR_MS
    inbox.world.deliver(
        webhook(
            read("m_1", at_ms=start + 2),
            message(mid="m_0", at_ms=start),
            echo(mid="m_1") | {"timestamp": start + 1},
            echo(mid="m_2") | {"timestamp": start + 3},
        )
    )
    assert [(row["mid"], row["is_read"]) for row in inbox.messages()] == [("m_2", False), ("m_1", True), ("m_0", None)]


def test_a_message_shows_the_reactions_in_force(inbox: Inbox) -> None:
    start = now_ms() - HOUR_MS
    ours = {"mid": "m_1", "action": "react", "reaction": "laugh", "emoji": "\U0001f606"}
    inbox.world.deliver(webhook(reaction("m_1", at_ms=start + 1)))
    inbox.world.deliver(webhook(message(mid="m_1", at_ms=start)))
    inbox.world.deliver(webhook(item(outbound=True, at_ms=start + 2, reaction=ours)))
    first, second = inbox.message("m_1")["reactions"]
    assert (first["actor_id"], first["reaction"], first["emoji"]) == (CONTACT, "love", "\u2764")
    assert (second["actor_id"], second["reaction"], moment(second["acted_at"])) == (ACCOUNT, "laugh", at(start + 2))
    inbox.world.deliver(webhook(reaction("m_1", "unreact", at_ms=start + 3)))
    assert [each["actor_id"] for each in inbox.message("m_1")["reactions"]] == [ACCOUNT]


def test_a_message_is_as_sent_then_edited_then_unsent(inbox: Inbox) -> None:
    inbox.world.deliver(webhook(message("frist", mid="m_1")))
    shown = inbox.message("m_1")
    assert (shown["state"], shown["text"], shown["num_edit"]) == ("as_sent", "frist", None)
    inbox.world.deliver(webhook(edit("m_1", "first")))
    shown = inbox.message("m_1")
    assert (shown["state"], shown["text"], shown["num_edit"]) == ("edited", "first", 1)
    assert shown["edited_at"] is not None
    inbox.world.deliver(webhook(unsend("m_1")))
    shown = inbox.message("m_1")
    assert (shown["state"], shown["text"], shown["attachments"]) == ("unsent", None, [])
    assert shown["unsent_at"] is not None


def test_what_is_only_spoken_of_is_no_message_until_it_comes(inbox: Inbox) -> None:
    inbox.world.deliver(webhook(edit("m_1", "better"), unsend("m_2"), reaction("m_3")))
    assert inbox.messages() == []
    inbox.world.deliver(webhook(message("good", mid="m_1"), message("gone", mid="m_2")))
    assert {row["mid"]: (row["state"], row["text"]) for row in inbox.messages()} == {
        "m_1": ("edited", "better"),
        "m_2": ("unsent", None),
    }


def test_a_reply_names_the_message_or_the_story_it_answers(inbox: Inbox) -> None:
    story = {"id": "17900000000000002", "url": "https://cdn.example/story"}
    inbox.world.deliver(
        webhook(
            message("which?", mid="m_1"),
            message("that one", mid="m_2", reply_to={"mid": "m_1"}),
            message("lovely", mid="m_3", reply_to={"story": story}),
        )
    )
    assert inbox.message("m_2")["reply_to_mid"] == "m_1"
    assert inbox.message("m_3")["reply_to_story"] == story
    assert (inbox.message("m_1")["reply_to_mid"], inbox.message("m_1")["reply_to_story"]) == (None, None)


def test_a_message_shows_what_was_attached_tapped_and_advertised(inbox: Inbox) -> None:
    picture = {"type": "image", "payload": {"url": "https://cdn.example/1"}}
    referral = {"ref": "spring", "ad_id": "6045246247433", "source": "ADS", "type": "OPEN_THREAD"}
    inbox.world.deliver(
        webhook(
            message("look", mid="m_1", attachments=[picture], referral=referral),
            message("Blue", mid="m_2", quick_reply={"payload": "COLOUR_BLUE"}),
            postback("START", mid="m_3"),
        )
    )
    shown = inbox.message("m_1")
    assert (shown["attachments"], shown["referral"]) == ([picture], referral)
    assert inbox.message("m_2")["payload"] == "COLOUR_BLUE"
    assert (inbox.message("m_3")["kind"], inbox.message("m_3")["payload"]) == ("postback", "START")
    assert moment(shown["sent_at"]).tzinfo is not None


def test_two_people_have_two_conversations(inbox: Inbox) -> None:
    inbox.world.deliver(webhook(message("one"), message("two", contact=OTHER_CONTACT)))
    assert [row["text"] for row in inbox.messages()] == ["one"]
    assert [row["text"] for row in inbox.messages(OTHER_CONTACT)] == ["two"]
    assert len(inbox.conversations()) == 2


# Comments and mentions.


def test_the_comments_of_a_media_are_read_newest_first(inbox: Inbox) -> None:
    for number in range(3):
        inbox.world.deliver(webhook(comment(f"line {number}", comment_id=f"c_{number}"), under="changes"))
    live = comment("hello from here", comment_id="c_live") | {"field": "live_comments"}
    live["value"]["media"] = {"id": "17900000000000009", "media_product_type": "LIVE"}
    reply = comment("thank you", comment_id="c_reply")
    reply["value"] |= {"parent_id": "c_2", "from": {"id": ACCOUNT, "username": "us", "self_ig_scoped_id": ACCOUNT}}
    inbox.world.deliver(webhook(live, reply, under="changes"))
    query = inbox.client.table("comments").select("*").eq("account_id", ACCOUNT).eq("media_id", "17900000000000001")
    rows = rows_of(query.order("commented_at", desc=True).order("comment_id", desc=True).limit(50))
    assert {row["comment_id"] for row in rows} == {"c_0", "c_1", "c_2", "c_reply"}
    assert [row["commented_at"] for row in rows] == sorted((row["commented_at"] for row in rows), reverse=True)
    by_id = {row["comment_id"]: row for row in rows}
    assert (by_id["c_reply"]["parent_id"], by_id["c_reply"]["is_self"]) == ("c_2", True)
    assert (by_id["c_0"]["contact_id"], by_id["c_0"]["username"], by_id["c_0"]["text"]) == (
        CONTACT,
        "somebody",
        "line 0",
    )
    found = inbox.world.row("select is_live, media_product_type from comments where comment_id = 'c_live'")
    assert found == {"is_live": True, "media_product_type": "LIVE"}


def test_a_mention_names_the_media_and_the_comment_it_is_in(inbox: Inbox) -> None:
    value = {"media_id": "17900000000000003", "comment_id": "c_9"}
    inbox.world.deliver(webhook({"field": "mentions", "value": value}, under="changes"))
    (row,) = rows_of(inbox.client.table("mentions").select("*").eq("account_id", ACCOUNT))
    assert (row["media_id"], row["comment_id"]) == ("17900000000000003", "c_9")
    assert moment(row["mentioned_at"]).tzinfo is not None


# What nobody understood.

UNHANDLED = {
    "delivery": webhook(item(delivery={"mids": ["m_1"], "watermark": 1_700_000_000_000})),
    "policy_enforcement": webhook(item(policy_enforcement={"action": "block", "reason": "spam"})),
    "response_feedback": webhook(item(response_feedback={"feedback": "Good response", "mid": "m_1"})),
    "story_insights": webhook(
        {"field": "story_insights", "value": {"media_id": "17900000000000004", "impressions": 7, "replies": 1}},
        under="changes",
    ),
    "brand_new_thing": webhook(item(brand_new_thing={"a": [1, 2]})),
    "brand_new_field": webhook({"field": "brand_new_field", "value": {"b": "x"}}, under="changes"),
}


def unhandled(inbox: Inbox) -> dict[str, int]:
    rows = rows_of(inbox.client.table("unhandled_events").select("*").eq("account_id", ACCOUNT))
    return {row["topic"]: row["events"] for row in rows}


def health(world: World) -> dict[str, Any]:
    answer = world.http.get(HEALTH, headers={"Authorization": f"Bearer {keys.INTERNAL_SECRET}"})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["checks"]["postgres"]["detail"])


def test_what_we_do_not_act_on_is_answered_200_kept_raw_and_counted_by_topic(inbox: Inbox) -> None:
    for body in UNHANDLED.values():
        for _ in range(2):
            answer = inbox.world.deliver(body)
            assert answer.json()["received"] == 1
    assert unhandled(inbox) == dict.fromkeys(UNHANDLED, 1)
    assert inbox.world.count("dead_letters") == 0
    for topic, body in UNHANDLED.items():
        kept = inbox.world.row("select e.raw, processed_at from events e where kind = 'unknown' and topic = %s", topic)
        entry = body["entry"][0]
        assert [kept["raw"]] == (entry.get("messaging") or entry.get("changes"))
        assert kept["processed_at"] is not None


def test_a_second_event_of_a_topic_is_counted_and_moves_its_last_time(inbox: Inbox) -> None:
    for number in range(3):
        inbox.world.deliver(webhook(item(brand_new_thing={"number": number})))
    row = inbox.world.row("select * from unhandled_events")
    assert (row["topic"], row["events"]) == ("brand_new_thing", 3)
    assert row["first_recorded_at"] < row["last_recorded_at"]


def test_a_message_and_what_we_understand_is_not_among_the_unhandled(inbox: Inbox) -> None:
    inbox.world.deliver(webhook(message(mid="m_1"), read("m_1"), reaction("m_1"), echo()))
    assert unhandled(inbox) == {}
    assert health(inbox.world)["unhandled_events_24h"] == {}


def test_health_counts_the_unhandled_events_of_the_last_day(inbox: Inbox) -> None:
    for body in UNHANDLED.values():
        inbox.world.deliver(body)
    assert health(inbox.world)["unhandled_events_24h"] == dict.fromkeys(UNHANDLED, 1)
    inbox.world.db.execute("update events set recorded_at = now() - interval '25 hours' where topic = 'delivery'")
    assert "delivery" not in health(inbox.world)["unhandled_events_24h"]
    assert unhandled(inbox)["delivery"] == 1


# How it is read.

# By the beginning of its name: where half of the conversations are one account's, either order of them will do.
INDEX_OF = {
    "messages, newest page": "messages_newest",
    "messages, in between": "messages_newest",
    "conversations": "conversation_order_newest",
    "conversations, further": "conversation_order_newest",
    "one conversation": "conversation_order_pkey",
    "all conversations": "conversation_order_anywhere",
    "unread conversations": "conversation_order_unread",
    "message by mid": "messages_pkey",
    "comments of a media": "comments_by_media",
    "comments": "comments_newest",
}


def test_a_page_is_read_from_an_index_and_never_by_reading_or_sorting_a_table(world: World) -> None:
    fill(world.db, Size(messages=20_000, conversations=1_000))
    with closing(Explainer(world.stack)) as explainer:
        measured = {query.name: explainer.measure(query) for query in queries(explainer) if query.name in INDEX_OF}
    assert set(measured) == set(INDEX_OF)
    for name, index in INDEX_OF.items():
        plan = measured[name]
        assert any(used.startswith(index) for used in plan.indexes), f"{name}:\n{plan.text}"
        assert not plan.seq_scans & set(LARGE_TABLES), f"{name}:\n{plan.text}"
        # The reactions of each message are put in order, and nothing else.
        assert set(re.findall(r"Sort Key: (.*)", plan.text)) <= {"r.acted_at, r.actor_id"}, f"{name}:\n{plan.text}"
        assert plan.buffers <= 20 * max(1, plan.rows), f"{name}:\n{plan.text}"


DOCUMENT = (ROOT / "docs" / "database.md").read_text()
# A page after a day that has passed, or after a message of the document's own, may well be empty.
WITH_A_PLACE_IN_TIME = re.compile(r"2026-|'m_1'")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\n```", DOCUMENT, re.S)


def test_every_query_of_the_document_runs_and_finds_something(world: World) -> None:
    fill(world.db, Size(messages=10_000, conversations=500))
    asked = [line.removeprefix("GET ") for block in blocks("http") for line in block.splitlines()]
    assert len(blocks("sql")) > 8
    assert len(asked) > 4
    found = {}
    with world.db.transaction():
        world.db.execute("set local role service_role")
        for statement in blocks("sql"):
            found[statement] = len(world.db.execute(statement.encode()).fetchall())
    headers = {"apikey": world.stack.service_role_key, "Prefer": "count=exact"}
    with httpx.Client(base_url=world.stack.supabase_url, headers=headers, trust_env=False) as client:
        for path in asked:
            answer = client.get(path)
            assert answer.is_success, f"{path}\n{answer.text}"
            found[path] = int(answer.headers["content-range"].rsplit("/", 1)[-1])
    assert [query for query, rows in found.items() if rows == 0 and not WITH_A_PLACE_IN_TIME.search(query)] == []


def documented(world: World, mark: str) -> list[dict[str, Any]]:
    """What the one query of the document with `mark` in it finds."""
    (statement,) = [each for each in blocks("sql") if mark in each]
    return world.db.execute(statement.encode()).fetchall()


def test_the_document_tells_how_long_people_wait_for_an_answer(inbox: Inbox) -> None:
    start = now_ms() - HOUR_MS
    inbox.world.deliver(
        webhook(
            message("hello", at_ms=start),
            message("anybody?", at_ms=start + MINUTE_MS),
            echo("yes") | {"timestamp": start + 10 * MINUTE_MS},
            echo("how can we help?") | {"timestamp": start + 11 * MINUTE_MS},
            message("hello", contact=OTHER_CONTACT, at_ms=start),
        )
    )
    (day,) = documented(inbox.world, "nine_of_ten_within")
    assert (day["turns"], day["answered"]) == (2, 1)
    assert day["half_within"] == timedelta(minutes=10)


def test_the_document_finds_the_comments_that_wait_for_an_answer(inbox: Inbox) -> None:
    inbox.world.rule(trigger="comment", pattern="link", reply_text="Here it is")
    reply = comment("thank you", comment_id="c_reply")
    reply["value"] |= {"parent_id": "c_answered", "from": {"id": ACCOUNT, "username": "us"}}
    for one in (
        comment("waiting", comment_id="c_waiting"),
        comment("nice", comment_id="c_answered"),
        comment("link please", comment_id="c_private"),
        reply,
    ):
        inbox.world.deliver(webhook(one, under="changes"))
    assert [row["comment_id"] for row in documented(inbox.world, "private_reply")] == ["c_waiting"]


def test_the_document_follows_an_ad_to_the_people_it_brought(inbox: Inbox) -> None:
    start = now_ms() - HOUR_MS
    referral = {"ad_id": "6045246247433", "source": "ADS", "type": "OPEN_THREAD"}
    inbox.world.deliver(
        webhook(
            message("I saw your ad", at_ms=start, referral=referral),
            echo("welcome"),
            message("me too", contact=OTHER_CONTACT, at_ms=start, referral=referral),
            message("hello?", contact=OTHER_CONTACT),
        )
    )
    (funnel,) = documented(inbox.world, "wrote_again")
    assert funnel == {"ad_id": "6045246247433", "people": 2, "answered": 1, "wrote_again": 1}
