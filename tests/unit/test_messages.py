"""A message item: its kinds, its fields, who is who."""

import pytest

from lib.events.model import QuickReply, ReplyTo, Story
from tests.support.items import ACCOUNT, PERSON, RECEIVED_AT, SENT_AT, from_account, item, parse, parse_one


def test_a_message_has_its_parties_its_time_and_its_text_with_the_spaces_around_it() -> None:
    event = parse_one(item(message={"mid": "m1", "text": " Yes, please "}))
    assert event.kind == "message"
    assert event.event_id == "ig_msg_m1"
    assert (event.account_id, event.contact_id, event.direction) == (ACCOUNT, PERSON, "inbound")
    assert (event.occurred_at, event.received_at) == (SENT_AT, RECEIVED_AT)
    assert event.text == " Yes, please "


def test_the_raw_item_is_kept_with_everything_we_do_not_know() -> None:
    received = item(message={"mid": "m1", "custom": {"nested": [1, 2]}}, future=True)
    assert parse_one(received).raw == received


def test_several_attachments_are_one_event_and_stay_verbatim() -> None:
    attachments = [
        {"type": "image", "payload": {"url": "https://cdn.example/1", "future": 1}},
        {"type": "some_future_type", "payload": {"id": 456}},
        {"type": "ephemeral"},
    ]
    event = parse_one(item(message={"mid": "m1", "attachments": attachments}))
    assert event.attachments == attachments
    assert event.is_ephemeral


def test_one_attachment_that_is_no_array_becomes_an_array_of_one() -> None:
    event = parse_one(item(message={"mid": "m1", "attachments": {"type": "image"}}))
    assert event.attachments == [{"type": "image"}]


def test_what_is_no_attachment_stays_in_raw_only() -> None:
    event = parse_one(item(message={"mid": "m1", "attachments": [None, "x", {"type": "image"}]}))
    assert event.attachments == [{"type": "image"}]
    assert event.raw["message"]["attachments"] == [None, "x", {"type": "image"}]


def test_a_reply_names_a_message_a_story_or_both() -> None:
    story = {"url": "https://cdn.example/story", "id": 180}
    to_mid = parse_one(item(message={"mid": "m2", "reply_to": {"mid": "m1"}}))
    to_story = parse_one(item(message={"mid": "m2", "reply_to": {"story": story}}))
    to_both = parse_one(item(message={"mid": "m2", "reply_to": {"mid": "m1", "story": story}}))
    assert to_mid.reply_to == ReplyTo(mid="m1")
    assert to_story.reply_to == ReplyTo(story=Story(id="180", url="https://cdn.example/story"))
    assert to_both.reply_to == ReplyTo(mid="m1", story=Story(id="180", url="https://cdn.example/story"))


def test_a_reply_to_nothing_is_no_reply() -> None:
    assert parse_one(item(message={"mid": "m2", "reply_to": {}})).reply_to is None


def test_a_quick_reply_may_come_without_text() -> None:
    event = parse_one(item(message={"mid": "m1", "quick_reply": {"payload": "YES"}}))
    assert (event.quick_reply, event.text) == (QuickReply(payload="YES"), None)


@pytest.mark.parametrize(
    "referral",
    [{"product": {"id": "p1"}}, {"ad_id": "a1", "source": "ADS", "ads_context_data": {"post_id": "1"}}],
)
def test_the_referral_of_an_ad_or_a_shop_is_kept_verbatim(referral: dict[str, object]) -> None:
    assert parse_one(item(message={"mid": "m1", "referral": referral})).referral == referral


def test_a_referral_beside_a_message_belongs_to_it_and_is_no_event_of_its_own() -> None:
    [event] = parse(item(message={"mid": "m1"}, referral={"ref": "r1"}))
    assert event.kind == "message"
    assert event.referral == {"ref": "r1"}


def test_an_echo_is_outbound_and_its_contact_is_the_recipient() -> None:
    event = parse_one(from_account(message={"mid": "m1", "text": "Hi", "is_echo": True}))
    assert (event.kind, event.event_id, event.direction) == ("echo", "ig_msg_m1", "outbound")
    assert (event.account_id, event.contact_id) == (ACCOUNT, PERSON)


def test_a_message_of_the_account_without_the_echo_flag_is_outbound_all_the_same() -> None:
    event = parse_one(from_account(message={"mid": "m1"}))
    assert (event.kind, event.direction, event.contact_id) == ("message", "outbound", PERSON)


@pytest.mark.parametrize("where", ["item", "message"])
def test_a_note_to_oneself_is_flagged_wherever_the_flag_sits(where: str) -> None:
    message = {"mid": "m1", "is_echo": True, **({"is_self": True} if where == "message" else {})}
    event = parse_one(from_account(message=message, **({"is_self": True} if where == "item" else {})))
    assert (event.kind, event.is_self, event.direction) == ("echo", True, "outbound")


def test_a_flag_that_is_present_and_false_is_false() -> None:
    flags = {"is_echo": False, "is_self": False, "is_deleted": False, "is_unsupported": False}
    event = parse_one(item(message={"mid": "m1", **flags}))
    assert (event.kind, event.is_self, event.is_unsupported) == ("message", False, False)


def test_an_unsupported_message_is_a_message_with_a_flag() -> None:
    event = parse_one(item(message={"mid": "m1", "is_unsupported": True}))
    assert (event.kind, event.is_unsupported, event.attachments) == ("message", True, [])


def test_where_several_flags_are_set_deleted_wins_then_echo_then_unsupported() -> None:
    flags = {"is_deleted": True, "is_echo": True, "is_unsupported": True}
    unsend = parse_one(from_account(message={"mid": "m1", **flags}))
    echo = parse_one(from_account(message={"mid": "m1", **flags, "is_deleted": False}))
    assert (unsend.kind, unsend.event_id, unsend.is_echo, unsend.mid) == ("unsend", "ig_del_m1", True, "m1")
    assert (echo.kind, echo.is_unsupported) == ("echo", True)


def test_an_unsend_by_the_person_is_inbound() -> None:
    event = parse_one(item(message={"mid": "m1", "is_deleted": True}))
    assert (event.kind, event.direction, event.is_echo, event.contact_id) == (
        "unsend",
        "inbound",
        False,
        PERSON,
    )


@pytest.mark.parametrize("mid", [None, "", [], {}, True, "x" * 513, "é" * 257])
def test_a_message_without_a_usable_mid_is_kept_as_unknown(mid: object) -> None:
    event = parse_one(item(message={"mid": mid, "text": "hi"}))
    assert (event.kind, event.topic, event.contact_id) == ("unknown", "message", PERSON)


def test_ids_that_are_numbers_are_the_same_ids() -> None:
    event = parse_one(item(sender={"id": int(PERSON)}, recipient={"id": int(ACCOUNT)}, message={"mid": 890}))
    assert (event.account_id, event.contact_id, event.mid) == (ACCOUNT, PERSON, "890")


def test_the_account_is_the_entrys_even_when_the_recipient_is_another() -> None:
    event = parse_one(item(recipient={"id": "17841467249121482"}, message={"mid": "m1"}))
    assert (event.account_id, event.contact_id) == (ACCOUNT, PERSON)


def test_without_an_entry_id_the_account_is_the_recipient_of_what_people_send() -> None:
    inbound = parse_one(item(message={"mid": "m1"}), account=None)
    outbound = parse_one(from_account(message={"mid": "m1", "is_echo": True}), account=None)
    assert (inbound.account_id, inbound.contact_id) == (ACCOUNT, PERSON)
    assert (outbound.account_id, outbound.contact_id) == (ACCOUNT, PERSON)


def test_standby_items_have_their_own_kind_and_the_standby_flag() -> None:
    event = parse_one(item(message={"mid": "m1"}), under="standby")
    assert (event.kind, event.standby, event.event_id) == ("message", True, "ig_msg_m1")


def test_the_dashboards_test_message_is_flagged() -> None:
    test = {"sender": {"id": "12334"}, "recipient": {"id": "23245"}}
    assert parse_one(item(message={"mid": "m1"}), account="0").is_test
    assert parse_one(item(**test, message={"mid": "m1"})).is_test
    assert parse_one(item(message={"mid": "random_mid"})).is_test
    assert not parse_one(item(message={"mid": "m1"})).is_test
