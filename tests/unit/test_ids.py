"""Event ids: equal for a redelivery, different for a different fact."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lib.events import ids
from tests.support.items import ACCOUNT, PERSON, SENT_AT, change, from_account, item, parse_one
from tests.support.strategies import IDS

_MID = "m_AbC-9"


@pytest.mark.parametrize(
    ("about", "event_id"),
    [
        ({"message": {"mid": _MID}}, f"ig_msg_{_MID}"),
        ({"message": {"mid": _MID, "is_unsupported": True}}, f"ig_msg_{_MID}"),
        ({"message": {"mid": _MID, "is_deleted": True}}, f"ig_del_{_MID}"),
        ({"message_edit": {"mid": _MID, "num_edit": "2"}}, f"ig_edit_{_MID}_2"),
        ({"message_edit": {"mid": _MID, "num_edit": 0}}, f"ig_edit_{_MID}_0"),
        ({"message_edit": {"mid": _MID, "num_edit": "many"}}, f"ig_edit_{_MID}_many"),
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


@pytest.mark.parametrize("account", ["17841400008460056", "page_id_1", "<YOUR_APP_USERS_ACCOUNT_ID>", "0"])
@pytest.mark.parametrize("sender", ["567", "ig_user_1", "<INSTAGRAM_SCOPED_ID>"])
def test_where_the_content_is_digested_no_part_is_written_otherwise_than_meta_writes_it(
    account: str, sender: str
) -> None:
    referral = parse_one(item(sender={"id": sender}, referral={"ref": "r"}), account=account)
    unknown = parse_one(item(sender={"id": sender}, whatever=1), account=account)
    assert referral.event_id.startswith(f"ig_referral_{account}_{sender}_{SENT_AT}_")
    assert unknown.event_id.startswith(f"ig_unk_{account}_")


def test_placeholders_of_printed_samples_stand_in_ids_as_they_are() -> None:
    account, sender, mid = "<YOUR_APP_USERS_ID>", "<INSTAGRAM_SCOPED_ID>", "<MESSAGE_ID>"
    about = {"sender": {"id": sender}, "timestamp": "<TIME>"}
    read = parse_one(item(**about, read={"mid": mid}), account=account)
    reaction = parse_one(item(**about, reaction={"mid": mid, "action": "react"}), account=account)
    assert read.event_id == f"ig_read_{account}_{sender}_{mid}"
    assert reaction.event_id == f"ig_rx_{mid}_{sender}_react_-"


@pytest.mark.parametrize(
    ("value", "rest"),
    [
        ({"media_id": "media_1"}, "media_1_-"),
        ({"media_id": "media_1", "comment_id": "2"}, "media_1_2"),
        ({"comment_id": "2"}, "-_2"),
        ({"media_id": "1", "comment_id": "c_2"}, "1_c%5F2"),
    ],
)
def test_a_mention_is_named_after_its_media_and_its_comment(value: dict[str, str], rest: str) -> None:
    assert parse_one(change("mentions", value), under="changes").event_id == f"ig_men_{ACCOUNT}_{rest}"


def test_story_insights_are_named_after_the_story_and_the_sending_time_as_sent() -> None:
    insights = change("story_insights", {"media_id": "story_9"})
    for time in (SENT_AT, SENT_AT // 1000, str(SENT_AT)):
        assert parse_one(insights, under="changes", time=time).event_id == f"ig_si_story_9_{time}"


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


def _read_id(account: str, sender: str, mid: str) -> str:
    return ids.of_read(mid, account_id=account, sender_id=sender, at_ms=SENT_AT, item={})


def _mention_id(account: str, media: str, comment: str) -> str:
    return ids.of_mention(account, media, comment)


def _reaction_id(mid: str, more: str, sender: str) -> str:
    return ids.of_reaction(f"{mid}|{more}", "react", sender_id=sender, at_ms=SENT_AT)


def _edit_id(mid: str, more: str, num_edit: str) -> str:
    return ids.of_edit(f"{mid}|{more}", num_edit, item={})


def test_an_id_that_is_too_long_is_hashed() -> None:
    long = parse_one(item(sender={"id": "9" * 250}, read={"mid": "m" * 250}), account="8" * 250)
    assert long.event_id.startswith("ig_read_sha256_")


_SHORT = ["".join(marks) for length in (1, 2) for marks in itertools.product("_<>%-1", repeat=length)] + ["<_>", "1_1"]


@pytest.mark.parametrize("made", [_read_id, _mention_id, _reaction_id, _edit_id])
def test_of_all_short_ids_no_two_triples_join_to_one(made: Callable[[str, str, str], str]) -> None:
    triples = list(itertools.product(_SHORT, repeat=3))
    assert len({made(*triple) for triple in triples}) == len(triples)


_FACTS = st.one_of(
    st.tuples(st.just("msg"), IDS),
    st.tuples(st.just("del"), IDS),
    st.tuples(st.just("edit"), IDS, st.integers(0, 12) | st.sampled_from(["many", "a_b", "-", "<N_N>"])),
    st.tuples(st.just("rx"), IDS, IDS, st.sampled_from(["react", "unreact"]), st.integers(1, 3)),
    st.tuples(st.just("read"), IDS, IDS, IDS),
    st.tuples(st.just("pb"), IDS),
    st.tuples(st.just("cmt"), IDS),
    st.tuples(st.just("men"), IDS, IDS, IDS),
    st.tuples(st.just("unk"), IDS, IDS),
    st.tuples(st.just("si"), IDS, IDS),
    st.tuples(st.just("tap"), IDS, IDS, st.integers(1, 3), st.sampled_from(["T", "U"])),
    st.tuples(st.just("referral"), IDS, IDS, st.integers(1, 3), st.sampled_from(["T", "U"])),
)


@given(_FACTS, _FACTS)
@example(("men", "1_2", "1", "2"), ("men", "1", "2_1", "2"))
@example(("read", "1_2", "1", "m"), ("read", "1", "2_1", "m"))
@example(("rx", "m_1", "2", "react", 1), ("rx", "m", "1_2", "react", 1))
@example(("unk", "_", "1"), ("unk", "%5F", "1"))
@example(("read", "<1", "2>", "m_m"), ("read", "<1_2>", "m", "m"))
@example(("rx", "m_<1", "2>", "react", 1), ("rx", "m", "<1_2>", "react", 1))
@example(("men", "1", "2_1", "2"), ("men", "1", "2", "1_2"))
@example(("tap", "1_2", "1", 1, "T"), ("tap", "1", "2_1", 1, "T"))
@settings(max_examples=1000)
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
        case "tap", account, sender, at, title:
            tap = item(sender={"id": sender}, timestamp=SENT_AT + at, postback={"title": title})
            event = parse_one(tap, account=account)
        case "referral", account, sender, at, ref:
            referral = item(sender={"id": sender}, timestamp=SENT_AT + at, referral={"ref": ref})
            event = parse_one(referral, account=account)
        case "si", media, time:
            event = parse_one(change("story_insights", {"media_id": media}), under="changes", time=time)
        case "cmt", comment:
            event = parse_one(change("comments", {"id": comment}), under="changes")
        case "men", account, media, comment:
            mention = change("mentions", {"media_id": media, "comment_id": comment})
            event = parse_one(mention, under="changes", account=account)
        case _, account, content:
            event = parse_one({"whatever": content}, account=account)
    return str(event.event_id)
