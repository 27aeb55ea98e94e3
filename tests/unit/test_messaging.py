"""The other things a messaging item can be about."""

from typing import Any

import pytest

from tests.support.items import ACCOUNT, PERSON, RECEIVED_AT, SENT_AT, change, from_account, item, parse, parse_one


@pytest.mark.parametrize(("sent", "read"), [(2, 2), ("2", 2), (2.0, 2), ("x", None), (-1, None), (True, None)])
def test_num_edit_is_read_as_a_number_or_a_string(sent: object, read: int | None) -> None:
    event = parse_one(item(message_edit={"mid": "m1", "text": "new", "num_edit": sent}))
    assert (event.kind, event.mid, event.text, event.num_edit) == ("edit", "m1", "new", read)


def test_num_edit_zero_without_text_and_without_sender_is_an_edit_of_nobody() -> None:
    event = parse_one({"timestamp": SENT_AT, "message_edit": {"mid": "m1", "num_edit": 0}})
    assert (event.kind, event.event_id, event.num_edit) == ("edit", "ig_edit_m1_0", 0)
    assert (event.account_id, event.contact_id, event.text) == (ACCOUNT, None, None)


def test_an_edit_by_the_account_is_outbound() -> None:
    event = parse_one(from_account(message_edit={"mid": "m1", "text": "new", "num_edit": 1}))
    assert (event.direction, event.contact_id) == ("outbound", PERSON)


def test_a_reaction_has_its_actor_and_unreact_is_a_value() -> None:
    react = parse_one(item(reaction={"mid": "m1", "action": "react", "reaction": "love", "emoji": "❤"}))
    unreact = parse_one(item(reaction={"mid": "m1", "action": "unreact"}))
    assert (react.kind, react.actor_id, react.action, react.reaction, react.emoji) == (
        "reaction",
        PERSON,
        "react",
        "love",
        "❤",
    )
    assert (unreact.kind, unreact.action, unreact.reaction, unreact.emoji) == (
        "reaction",
        "unreact",
        None,
        None,
    )


def test_a_reaction_of_the_account_is_outbound_with_the_account_as_actor() -> None:
    event = parse_one(from_account(reaction={"mid": "m1", "action": "react"}))
    assert (event.direction, event.contact_id, event.actor_id) == ("outbound", PERSON, ACCOUNT)


def test_a_postback_may_lack_its_mid_and_in_standby_its_payload() -> None:
    event = parse_one(item(postback={"title": "Hours"}), under="standby")
    assert (event.kind, event.mid, event.title, event.payload) == ("postback", None, "Hours", None)
    assert event.standby


def test_the_referral_of_a_postback_stays_inside_it() -> None:
    event = parse_one(item(postback={"mid": "m1", "payload": "P", "referral": {"ref": "r"}}))
    assert (event.event_id, event.payload, event.referral) == ("ig_pb_m1", "P", {"ref": "r"})


def test_a_postback_to_oneself_carries_its_flag_on_the_item() -> None:
    event = parse_one(from_account(is_self=True, postback={"mid": "m1"}))
    assert (event.kind, event.is_self, event.direction, event.contact_id) == (
        "postback",
        True,
        "outbound",
        PERSON,
    )


@pytest.mark.parametrize("key", ["message", "postback", "reaction", "read", "referral", "some_future_event"])
@pytest.mark.parametrize("recipient", [{"id": PERSON}, None])
def test_what_the_account_itself_sent_is_outbound_and_its_contact_the_recipient(key: str, recipient: Any) -> None:
    event = parse_one(from_account(recipient=recipient, **{key: {"mid": "m1", "action": "react"}}))
    assert (event.direction, event.contact_id) == ("outbound", recipient and PERSON)


def test_a_read_names_our_message_and_maybe_a_watermark() -> None:
    event = parse_one(item(read={"mid": "m1", "watermark": SENT_AT // 1000, "seq": 3}))
    assert (event.kind, event.mid, event.watermark) == ("read", "m1", SENT_AT // 1000 * 1000)
    assert (event.direction, event.contact_id) == ("inbound", PERSON)


def test_a_referral_into_an_existing_thread_is_an_event_of_its_own() -> None:
    referral = {"ref": "promo", "source": "SHORTLINK", "type": "OPEN_THREAD", "more": 1}
    event = parse_one(item(referral=referral))
    assert (event.kind, event.ref, event.source, event.type) == (
        "referral",
        "promo",
        "SHORTLINK",
        "OPEN_THREAD",
    )
    assert event.referral == referral


def test_an_optin_keeps_its_token_in_raw_only() -> None:
    event = parse_one(item(optin={"type": "notification_messages", "payload": "P", "ref": "r", "token": "s"}))
    assert (event.kind, event.type, event.payload, event.ref) == ("optin", "notification_messages", "P", "r")


@pytest.mark.parametrize(
    ("key", "action", "held"),
    [
        ("pass_thread_control", "pass", {"new_owner_app_id": 12, "previous_owner_app_id": None}),
        ("take_thread_control", "take", {"previous_owner_app_id": "12", "new_owner_app_id": "34"}),
        ("request_thread_control", "request", {"requested_owner_app_id": 12, "metadata": "please"}),
    ],
)
def test_thread_control_names_the_apps_as_strings(key: str, action: str, held: dict[str, Any]) -> None:
    event = parse_one(item(**{key: held}))
    assert (event.kind, event.action, event.metadata) == ("handover", action, held.get("metadata"))
    for name in ("new_owner_app_id", "previous_owner_app_id", "requested_owner_app_id"):
        sent = held.get(name)
        assert getattr(event, name) == (None if sent is None else str(sent))


@pytest.mark.parametrize("roles", [{"123": ["primary_receiver"]}, [{"app_id": 123, "roles": ["primary_receiver"]}]])
def test_app_roles_have_no_sender_and_two_shapes(roles: object) -> None:
    event = parse_one(item(sender=..., app_roles=roles))
    assert (event.kind, event.action, event.contact_id) == ("handover", "app_roles", None)
    assert event.raw["app_roles"] == roles


@pytest.mark.parametrize("key", ["policy_enforcement", "response_feedback", "delivery", "some_future_event"])
def test_what_we_do_not_act_on_is_kept_under_its_name(key: str) -> None:
    received = {"timestamp": SENT_AT, key: {"whatever": 1}}
    event = parse_one(received)
    assert (event.kind, event.topic, event.account_id, event.contact_id) == ("unknown", key, ACCOUNT, None)
    assert event.raw == received


def test_an_item_about_several_things_is_several_events_the_message_first() -> None:
    held = {"mid": "m1", "action": "react", "payload": "P"}
    several = item(delivery=held, read=held, reaction=held, message=held, future=1, is_self=False)
    events = parse(several)
    assert [event.kind for event in events] == ["message", "reaction", "read", "unknown"]
    assert [event.contact_id for event in events] == [PERSON] * 4
    assert events[0].raw == item(message=held, future=1, is_self=False)
    assert events[1].raw == item(reaction=held, is_self=False)
    assert [parse_one(event.raw) for event in events] == events
    assert parse_one(item(message=None, read=held)).kind == "read"


def test_a_change_about_several_things_is_several_events() -> None:
    held = {"mid": "m1", "action": "react"}
    events = parse({**change("messages", item(reaction=held, message=held)), "more": 1}, under="changes")
    assert [event.kind for event in events] == ["message", "reaction"]
    assert events[0].raw == {**change("messages", item(message=held)), "more": 1}
    assert events[1].raw == change("messages", item(reaction=held))


@pytest.mark.parametrize("owner", ["message", "postback"])
def test_a_referral_beside_a_message_or_postback_belongs_to_it(owner: str) -> None:
    held, referral = {"mid": "m1", "num_edit": 1}, {"ref": "r"}
    events = parse(item(read=held, message_edit=held, referral=referral, **{owner: held}))
    assert sorted(event.kind for event in events) == sorted([owner, "edit", "read"])
    assert [event.referral for event in events if event.kind == owner] == [referral]


@pytest.mark.parametrize(
    "about",
    [
        {"message": {"text": "no mid"}},
        {"message": "text"},
        {"message": {"is_deleted": True}},
        {"message_edit": {"num_edit": 1}},
        {"reaction": {"action": "react"}},
        {"reaction": {"mid": "m1", "action": "shout", "emoji": "❤"}},
        {"reaction": {"mid": "m1", "action": ["react"], "emoji": "❤"}},
        {"reaction": {"mid": "m1", "emoji": ["❤"]}},
        {"postback": []},
        {"referral": "r"},
    ],
)
def test_what_lacks_what_its_kind_needs_is_kept_as_unknown(about: dict[str, Any]) -> None:
    event = parse_one(item(**about))
    assert (event.kind, event.topic) == ("unknown", next(iter(about)))
    assert event.raw == item(**about)


@pytest.mark.parametrize("thing", [None, 1, "x", [], [{"message": {"mid": "m1"}}]])
def test_an_item_that_is_no_object_is_kept_as_unknown(thing: object) -> None:
    event = parse_one(thing)
    assert (event.kind, event.topic, event.raw) == ("unknown", None, {"value": thing})


@pytest.mark.parametrize(
    ("sent", "read_ms"),
    [
        (1_569_262_485_349, 1_569_262_485_349),
        (1_569_262_485, 1_569_262_485_000),
        ("1527459824", 1_527_459_824_000),
        ("1628654377650", 1_628_654_377_650),
        (1_569_262_485.5, 1_569_262_485_500),
        ("1569262485.5", 1_569_262_485_500),
        ("2021-09-08T06:34:04+0000", 1_631_082_844_000),
        ("2021-09-08T08:34:04.250+02:00", 1_631_082_844_250),
        ("2021-09-08T06:34:04Z", 1_631_082_844_000),
        (4_102_444_800, 4_102_444_800_000),
        (4_102_444_801, 4_102_444_801),
    ],
)
def test_times_are_read_in_every_form_meta_writes(sent: object, read_ms: int) -> None:
    assert parse_one(item(timestamp=sent, message={"mid": "m1"})).occurred_at == read_ms


@pytest.mark.parametrize(
    "sent",
    [
        ...,
        None,
        0,
        -5,
        "",
        "0",
        "-5",
        "<TIME>",
        "soon",
        True,
        [],
        {},
        4_102_444_800_001,
        10**30,
        "9" * 4400,
        0.0001,
        "1969-12-31T23:59:59Z",
        "2100-01-02T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "٣٤",
        float("nan"),
        1e300,
    ],
)
def test_an_unusable_time_means_the_time_of_receipt(sent: object) -> None:
    assert parse_one(item(timestamp=sent, message={"mid": "m1"})).occurred_at == RECEIVED_AT
