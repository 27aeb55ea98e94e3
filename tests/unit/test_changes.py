"""Items of `changes`, and what lies flat on an entry."""

import pytest

from lib.webhooks.parser import parse_webhook
from tests.support.items import ACCOUNT, PERSON, RECEIVED_AT, SENT_AT, body, change, item, parse_one

SECONDS = SENT_AT // 1000
COMMENT = {
    "id": "18069913420774655",
    "from": {"id": PERSON, "username": "mara"},
    "text": "PRICE",
    "parent_id": "1801",
    "media": {"id": "1802", "media_product_type": "REELS", "ad_id": 77},
}


def test_a_comment_in_changes_has_its_author_and_its_place() -> None:
    event = parse_one(change("comments", COMMENT), under="changes", time=SECONDS)
    assert (event.kind, event.comment_id) == ("comment", "18069913420774655")
    assert (event.account_id, event.contact_id, event.username) == (ACCOUNT, PERSON, "mara")
    assert (event.text, event.parent_id, event.media_id) == ("PRICE", "1801", "1802")
    assert (event.media_product_type, event.ad_id, event.is_live) == ("REELS", "77", False)
    assert (event.direction, event.is_self) == ("inbound", False)
    assert event.raw == change("comments", COMMENT)


def test_a_comment_flat_on_the_entry_is_the_same_comment() -> None:
    nested = parse_one(change("comments", COMMENT), under="changes")
    flat_entry = {"id": ACCOUNT, "time": SENT_AT, **change("comments", COMMENT)}
    assert parse_webhook(body(flat_entry), received_at=RECEIVED_AT) == [nested]


@pytest.mark.parametrize("name", ["id", "comment_id"])
def test_the_id_of_a_comment_has_two_names(name: str) -> None:
    event = parse_one(change("comments", {name: "c1"}), under="changes")
    assert (event.kind, event.event_id, event.contact_id) == ("comment", "ig_cmt_c1", None)


def test_a_comment_whose_author_has_no_id_has_no_contact() -> None:
    event = parse_one(change("comments", {"id": "c1", "from": {"username": "x"}}), under="changes")
    assert (event.contact_id, event.username, event.direction) == (None, "x", "inbound")


@pytest.mark.parametrize("author", [{"id": ACCOUNT}, {"id": PERSON, "self_ig_scoped_id": PERSON}])
def test_the_accounts_own_comment_is_outbound_and_flagged(author: dict[str, str]) -> None:
    event = parse_one(change("comments", {"id": "c1", "from": author}), under="changes")
    assert (event.is_self, event.direction) == (True, "outbound")


def test_a_comment_on_a_broadcast_is_a_live_comment() -> None:
    event = parse_one(change("live_comments", COMMENT), under="changes")
    assert (event.kind, event.is_live) == ("comment", True)


def test_a_mention_has_media_and_maybe_a_comment_and_nobody() -> None:
    with_comment = parse_one(change("mentions", {"media_id": 1, "comment_id": "2"}), under="changes")
    in_caption = parse_one(change("mentions", {"media_id": "1"}), under="changes")
    assert (with_comment.kind, with_comment.event_id) == ("mention", f"ig_men_{ACCOUNT}_1_2")
    assert (in_caption.event_id, in_caption.contact_id) == (f"ig_men_{ACCOUNT}_1_-", None)


def test_changes_without_a_time_of_their_own_take_the_entrys_in_either_unit() -> None:
    mention = change("mentions", {"media_id": "1"})
    assert parse_one(mention, under="changes", time=SECONDS).occurred_at == SECONDS * 1000
    assert parse_one(mention, under="changes", time=SENT_AT).occurred_at == SENT_AT
    assert parse_one(mention, under="changes", time="<TIME>").occurred_at == RECEIVED_AT


def test_a_time_inside_a_change_wins_over_the_entrys() -> None:
    value = {"id": "c1", "created_time": "2021-09-08T06:34:04+0000"}
    assert parse_one(change("comments", value), under="changes").occurred_at == 1_631_082_844_000


@pytest.mark.parametrize("field", ["messages", "message_edit", "story_insights", None])
def test_a_messaging_item_in_a_changes_clothes_is_read_as_what_it_is(field: str) -> None:
    wrapped = change(field, item(message={"mid": "m1", "text": "hi"}))
    event = parse_one(wrapped, under="changes")
    assert (event.kind, event.event_id, event.contact_id) == ("message", "ig_msg_m1", PERSON)
    assert event.occurred_at == SENT_AT
    assert event.raw == wrapped


def test_a_wrapped_item_has_the_id_it_would_have_outside() -> None:
    postback = item(postback={"title": "Hours"})
    wrapped = parse_one(change("messaging_postbacks", postback), under="changes", time=SECONDS)
    assert wrapped.event_id == parse_one(postback).event_id


def test_wrapped_standby_is_standby() -> None:
    assert parse_one(change("standby", item(message={"mid": "m1"})), under="changes").standby


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("comments", {"text": "no id"}),
        ("comments", "x"),
        ("mentions", {}),
        ("story_insights", None),
        ("messages", {"text": "no item"}),
        ("messages", {"message": "a string"}),
        ("feed", {"item": "status"}),
    ],
)
def test_a_change_we_cannot_read_is_kept_under_its_field(field: str, value: object) -> None:
    event = parse_one(change(field, value), under="changes")
    assert (event.kind, event.topic, event.raw) == ("unknown", field, change(field, value))


def test_story_insights_are_kept_with_the_sending_time_in_their_id() -> None:
    event = parse_one(change("story_insights", {"media_id": "9", "exits": -1}), under="changes", time=SECONDS)
    assert (event.kind, event.topic, event.event_id) == ("unknown", "story_insights", f"ig_si_9_{SECONDS}")


def test_the_dashboards_tests_are_flagged_in_all_their_forms() -> None:
    counts = {"impressions": 444, "reach": 44, "taps_forward": 4, "taps_back": 3, "exits": 3, "replies": 0}
    insights = change("story_insights", {"media_id": "17887498072083520", **counts})
    legacy = change("messages", {"event_type": "TEXT", "event_timestamp": "1527459824", "event_data": {}})
    assert parse_one(insights, under="changes").is_test
    assert parse_one(legacy, under="changes").is_test
    assert parse_one(change("comments", COMMENT), under="changes", account="0").is_test
    assert not parse_one(change("comments", COMMENT), under="changes").is_test
