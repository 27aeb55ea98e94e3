"""Event ids: equal for a redelivery, different for a different fact."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.parse.builders import ACCOUNT, PERSON, SENT_AT, change, from_account, item, parse_one
from tests.parse.strategies import IDS

_MID = "m_AbC-9"


@pytest.mark.parametrize(
    ("about", "event_id"),
    [
        ({"message": {"mid": _MID}}, f"ig_msg_{_MID}"),
        ({"message": {"mid": _MID, "is_unsupported": True}}, f"ig_msg_{_MID}"),
        ({"message": {"mid": _MID, "is_deleted": True}}, f"ig_del_{_MID}"),
        ({"message_edit": {"mid": _MID, "num_edit": "2"}}, f"ig_edit_{_MID}_2"),
        ({"reaction": {"mid": _MID, "action": "react"}}, f"ig_rx_{_MID}_{PERSON}_react_{SENT_AT}"),
        ({"reaction": {"mid": _MID, "action": "unreact"}}, f"ig_rx_{_MID}_{PERSON}_unreact_{SENT_AT}"),
        ({"read": {"mid": _MID}}, f"ig_read_{ACCOUNT}_{PERSON}_{_MID}"),
        ({"postback": {"mid": _MID}}, f"ig_pb_{_MID}"),
    ],
)
def test_what_has_an_id_at_meta_is_named_after_it(about: dict[str, Any], event_id: str) -> None:
    assert parse_one(item(**about)).event_id == event_id


@pytest.mark.parametrize(
    ("about", "start"),
    [
        ({"postback": {"title": "t"}}, f"ig_pb_{ACCOUNT}_{PERSON}_{SENT_AT}_"),
        ({"referral": {"ref": "r"}}, f"ig_referral_{ACCOUNT}_{PERSON}_{SENT_AT}_"),
        ({"optin": {"ref": "r"}}, f"ig_optin_{ACCOUNT}_{PERSON}_{SENT_AT}_"),
        ({"take_thread_control": {}}, f"ig_handover_{ACCOUNT}_{PERSON}_{SENT_AT}_"),
        ({"app_roles": {}, "sender": ...}, f"ig_app_roles_{ACCOUNT}_-_{SENT_AT}_"),
        ({"policy_enforcement": {}, "sender": ...}, f"ig_policy_{ACCOUNT}_-_{SENT_AT}_"),
        ({"response_feedback": {}}, f"ig_feedback_{ACCOUNT}_{PERSON}_{SENT_AT}_"),
        ({"delivery": {}}, f"ig_unk_{ACCOUNT}_"),
        ({"whatever": 1}, f"ig_unk_{ACCOUNT}_"),
    ],
)
def test_what_has_no_id_at_meta_is_named_after_its_origin_and_content(about: dict[str, Any], start: str) -> None:
    event_id = parse_one(item(**about)).event_id
    digest = event_id.removeprefix(start)
    assert event_id.startswith(start)
    assert len(digest) == 16
    assert set(digest) <= set("0123456789abcdef")


def test_an_echo_has_the_id_of_the_message_it_echoes() -> None:
    echo = parse_one(from_account(message={"mid": _MID, "is_echo": True}))
    assert echo.event_id == parse_one(item(message={"mid": _MID})).event_id


def test_the_same_item_under_standby_has_the_same_id() -> None:
    for about in ({"message": {"mid": _MID}}, {"postback": {"title": "t"}}, {"whatever": 1}):
        assert parse_one(item(**about)).event_id == parse_one(item(**about), under="standby").event_id


def test_react_unreact_and_react_again_are_three_facts() -> None:
    steps = [("react", SENT_AT), ("unreact", SENT_AT + 1), ("react", SENT_AT + 2)]
    made = [item(timestamp=at, reaction={"mid": _MID, "action": action}) for action, at in steps]
    assert len({parse_one(each).event_id for each in made}) == 3


def test_a_time_in_seconds_and_in_milliseconds_is_one_time_in_an_id() -> None:
    seconds = SENT_AT // 1000
    about = {"reaction": {"mid": _MID, "action": "react"}}
    ids = {parse_one(item(timestamp=at, **about)).event_id for at in (seconds, seconds * 1000, str(seconds))}
    assert ids == {f"ig_rx_{_MID}_{PERSON}_react_{seconds * 1000}"}


def test_an_unusable_time_is_a_dash_in_an_id_and_not_the_time_of_receipt() -> None:
    event = parse_one(item(timestamp=None, reaction={"mid": _MID, "action": "react"}))
    assert event.event_id == f"ig_rx_{_MID}_{PERSON}_react_-"


def test_edits_without_a_number_are_told_apart_by_their_content() -> None:
    one, two = (parse_one(item(message_edit={"mid": _MID, "text": text})).event_id for text in ("a", "b"))
    assert one != two


@pytest.mark.parametrize("mid", ["has space", "é", "\x00", "tab\t"])
def test_an_id_that_would_break_a_header_is_hashed(mid: str) -> None:
    event = parse_one(item(message={"mid": mid}))
    assert event.event_id.startswith("ig_msg_sha256_")
    assert len(event.event_id) == len("ig_msg_sha256_") + 64


def test_an_id_that_is_too_long_is_hashed() -> None:
    long = parse_one(item(sender={"id": "9" * 255}, read={"mid": "m" * 255}), account="8" * 255)
    assert long.event_id.startswith("ig_read_sha256_")


_FACTS = st.one_of(
    st.tuples(st.just("msg"), IDS),
    st.tuples(st.just("del"), IDS),
    st.tuples(st.just("edit"), IDS, st.integers(0, 12)),
    st.tuples(st.just("rx"), IDS, IDS, st.sampled_from(["react", "unreact"]), st.integers(1, 3)),
    st.tuples(st.just("read"), IDS, IDS, IDS),
    st.tuples(st.just("pb"), IDS),
    st.tuples(st.just("cmt"), IDS),
    st.tuples(st.just("men"), IDS, IDS, IDS),
    st.tuples(st.just("unk"), IDS, IDS),
)


@given(_FACTS, _FACTS)
@example(("men", "1_2", "1", "2"), ("men", "1", "2_1", "2"))
@example(("read", "1_2", "1", "m"), ("read", "1", "2_1", "m"))
@example(("rx", "m_1", "2", "react", 1), ("rx", "m", "1_2", "react", 1))
@example(("unk", "_", "1"), ("unk", "%5F", "1"))
@settings(max_examples=500, deadline=None)
def test_two_events_have_one_id_exactly_when_they_are_one_fact(one: Any, two: Any) -> None:
    assert (_id_of(one) == _id_of(two)) == (one == two)


def _id_of(fact: Any) -> str:
    match fact:
        case "msg", mid:
            event = parse_one(item(message={"mid": mid}))
        case "del", mid:
            event = parse_one(item(message={"mid": mid, "is_deleted": True}))
        case "edit", mid, number:
            event = parse_one(item(message_edit={"mid": mid, "num_edit": number}))
        case "rx", mid, sender, action, at:
            about = {"reaction": {"mid": mid, "action": action}}
            event = parse_one(item(sender={"id": sender}, timestamp=SENT_AT + at, **about))
        case "read", account, sender, mid:
            event = parse_one(item(sender={"id": sender}, read={"mid": mid}), account=account)
        case "pb", mid:
            event = parse_one(item(postback={"mid": mid}))
        case "cmt", comment:
            event = parse_one(change("comments", {"id": comment}), under="changes")
        case "men", account, media, comment:
            mention = change("mentions", {"media_id": media, "comment_id": comment})
            event = parse_one(mention, under="changes", account=account)
        case _, account, content:
            event = parse_one({"whatever": content}, account=account)
    return str(event.event_id)
