"""Shapes of the wild, each whole: what Meta prints, what its dashboard sends, what captures show.

Sources: Meta's pages "Instagram Platform: Webhooks, examples", "Messenger Platform: webhook reference" and
"Graph API: webhooks reference, Instagram"; bodies logged in public repositories and issues. Ids are made up.
"""

from typing import Any

import pytest

from lib.webhooks.parser import parse_webhook
from lib.webhooks.walk import walk
from tests.support.items import ACCOUNT, PERSON, RECEIVED_AT, SENT_AT, body, change, from_account, item, parse

APP_SCOPED = "45202218377435"
MID = "aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlEZD"
OLD_MID = "m_D7Zg-_x1"
SECONDS = SENT_AT // 1000
INBOUND = {"account_id": ACCOUNT, "contact_id": PERSON, "direction": "inbound", "occurred_at": SENT_AT}
OUTBOUND = {**INBOUND, "direction": "outbound"}

AD = {
    "ref": "autumn",
    "ad_id": 120214466093370527,
    "source": "ADS",
    "type": "OPEN_THREAD",
    "ads_context_data": {"ad_title": "Kiln", "photo_url": "u", "post_id": "1_2", "product_id": "9", "flow_id": "F"},
}
IGME = {"ref": "card", "source": "IGME-SOURCE-LINK", "type": "OPEN_THREAD"}

_MESSAGING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a message with what Messenger adds to one": (
        item(message={"mid": OLD_MID, "seq": 73, "text": "hi", "nlp": {}, "commands": [{"name": "x"}], "tags": {}}),
        {**INBOUND, "kind": "message", "event_id": f"ig_msg_{OLD_MID}", "text": "hi", "mid": OLD_MID},
    ),
    "a message with what came before it": (
        item(message={"mid": MID, "text": "hi"}, prior_message={"source": "checkbox_plugin", "identifier": "1"}),
        {**INBOUND, "kind": "message", "text": "hi"},
    ),
    "a sender with a name": (
        item(sender={"id": PERSON, "username": "mara"}, message={"mid": MID}),
        {**INBOUND, "kind": "message"},
    ),
    "parties whose ids are numbers": (
        item(sender={"id": int(PERSON)}, recipient={"id": int(ACCOUNT)}, message={"mid": MID}),
        {**INBOUND, "kind": "message"},
    ),
    "an echo with the app that sent it": (
        from_account(message={"mid": OLD_MID, "text": "hi", "is_echo": True, "app_id": 151777, "metadata": "m"}),
        {**OUTBOUND, "kind": "echo", "event_id": f"ig_msg_{OLD_MID}", "text": "hi"},
    ),
    "an unsend by the account": (
        from_account(message={"mid": MID, "is_deleted": True, "is_echo": True}),
        {**OUTBOUND, "kind": "unsend", "event_id": f"ig_del_{MID}", "is_echo": True, "mid": MID},
    ),
    "an unsend by the account without the echo flag": (
        from_account(message={"mid": MID, "is_deleted": True}),
        {**OUTBOUND, "kind": "unsend", "event_id": f"ig_del_{MID}", "is_echo": False},
    ),
    "an item of the account that does not say for whom": (
        from_account(recipient=..., message_edit={"mid": MID, "text": "new", "num_edit": 1}),
        {**OUTBOUND, "kind": "edit", "contact_id": None},
    ),
    "an edit marked as an echo": (
        item(sender={"id": "1"}, message_edit={"mid": MID, "text": "new", "num_edit": "3", "is_echo": True}),
        {"kind": "edit", "direction": "outbound", "event_id": f"ig_edit_{MID}_3", "num_edit": 3},
    ),
    "an edit whose number is no number": (
        item(message_edit={"mid": "<MESSAGE_ID>", "text": "new", "num_edit": "<NUMBER_OF_EDITS>"}),
        {**INBOUND, "kind": "edit", "event_id": "ig_edit_<MESSAGE_ID>_<NUMBER_OF_EDITS>", "num_edit": None},
    ),
    "one attachment that is not in an array": (
        item(message={"mid": MID, "attachments": {"type": "image", "payload": {"url": "u"}}}),
        {**INBOUND, "kind": "message", "attachments": [{"type": "image", "payload": {"url": "u"}}]},
    ),
    "attachments that are null": (
        item(message={"mid": MID, "text": "hi", "attachments": None, "reply_to": None, "quick_reply": None}),
        {**INBOUND, "kind": "message", "attachments": [], "reply_to": None, "quick_reply": None},
    ),
    "an unsupported message with an empty array": (
        item(message={"mid": MID, "is_unsupported": True, "attachments": []}),
        {**INBOUND, "kind": "message", "is_unsupported": True, "attachments": []},
    ),
    "a sticker whose id lies beside its type": (
        item(message={"mid": MID, "attachments": [{"type": "sticker", "sticker_id": 369239263222822}]}),
        {**INBOUND, "kind": "message", "attachments": [{"type": "sticker", "sticker_id": 369239263222822}]},
    ),
    "a reply to a message and to a story": (
        item(message={"mid": MID, "text": "hi", "reply_to": {"mid": OLD_MID, "story": {"url": "u", "id": 18}}}),
        {**INBOUND, "kind": "message", "reply_to": {"mid": OLD_MID, "story": {"url": "u", "id": "18"}}},
    ),
    "a message through an ad": (
        item(message={"mid": MID, "referral": AD}),
        {**INBOUND, "kind": "message", "text": None, "referral": AD},
    ),
    "a message with a referral beside it": (
        item(message={"mid": MID, "text": "hi"}, referral=IGME),
        {**INBOUND, "kind": "message", "text": "hi", "referral": IGME},
    ),
    "an ad that leads into an existing thread": (
        item(referral=AD),
        {**INBOUND, "kind": "referral", "referral": AD, "ref": "autumn", "source": "ADS", "type": "OPEN_THREAD"},
    ),
    "an ig.me link into an existing thread": (
        item(referral=IGME),
        {**INBOUND, "kind": "referral", "ref": "card", "source": "IGME-SOURCE-LINK", "referral": IGME},
    ),
    "a shop's product into an existing thread": (
        item(referral={"product": {"id": "9"}}),
        {**INBOUND, "kind": "referral", "referral": {"product": {"id": "9"}}, "ref": None},
    ),
    "a reaction with an emoji of one's own": (
        item(reaction={"mid": MID, "action": "react", "reaction": "other", "emoji": "🫡"}),
        {**INBOUND, "kind": "reaction", "action": "react", "reaction": "other", "emoji": "🫡", "actor_id": PERSON},
    ),
    "a reaction that names no action": (
        item(reaction={"mid": OLD_MID, "emoji": "❤"}),
        {**INBOUND, "kind": "reaction", "action": "react", "event_id": f"ig_rx_{OLD_MID}_{PERSON}_react_{SENT_AT}"},
    ),
    "a reaction taken back that still names itself": (
        item(reaction={"mid": OLD_MID, "action": "unreact", "reaction": "love", "emoji": "❤"}),
        {**INBOUND, "kind": "reaction", "action": "unreact", "emoji": "❤"},
    ),
    "a reaction that names nothing at all": (
        item(reaction={"mid": MID}),
        {**INBOUND, "kind": "unknown", "topic": "reaction"},
    ),
    "a reaction of nobody": (
        {"timestamp": str(SECONDS), "reaction": {"mid": MID, "action": "react", "emoji": "❤"}},
        {"kind": "reaction", "contact_id": None, "event_id": f"ig_rx_{MID}_-_react_{SECONDS}000", "actor_id": "-"},
    ),
    "a postback by the entry's own id": (
        from_account(postback={"mid": MID, "title": "T", "payload": "P"}),
        {**OUTBOUND, "kind": "postback", "event_id": f"ig_pb_{MID}", "is_self": False},
    ),
    "a postback to oneself": (
        from_account(is_self=True, postback={"mid": MID, "title": "T", "payload": "P"}),
        {**OUTBOUND, "kind": "postback", "is_self": True},
    ),
    "a postback with a referral beside it": (
        item(postback={"title": "T", "payload": "P"}, referral=IGME),
        {**INBOUND, "kind": "postback", "referral": IGME, "mid": None},
    ),
    "a null beside what the item is about": (
        item(message=None, postback={"mid": OLD_MID, "title": "T"}),
        {**INBOUND, "kind": "postback", "event_id": f"ig_pb_{OLD_MID}", "payload": None},
    ),
    "a read with a mid and a watermark": (
        item(read={"mid": OLD_MID, "watermark": SECONDS, "seq": 37}),
        {**INBOUND, "kind": "read", "event_id": f"ig_read_{ACCOUNT}_{PERSON}_{OLD_MID}", "watermark": SECONDS * 1000},
    ),
    "a read with a watermark only": (
        item(read={"watermark": SENT_AT - 5, "seq": 38}),
        {**INBOUND, "kind": "read", "mid": None, "watermark": SENT_AT - 5},
    ),
    "an optin through a plugin, by nobody we know": (
        item(sender={"user_ref": "REF"}, optin={"ref": "r", "user_ref": "REF"}),
        {**INBOUND, "kind": "optin", "ref": "r", "contact_id": None},
    ),
    "an optin to one notification": (
        item(optin={"type": "one_time_notif_req", "payload": "P", "one_time_notif_token": "made up"}),
        {**INBOUND, "kind": "optin", "type": "one_time_notif_req", "payload": "P", "ref": None},
    ),
    "a thread taken, with nothing said of it": (
        item(take_thread_control={}),
        {**INBOUND, "kind": "handover", "action": "take", "new_owner_app_id": None},
    ),
    "roles of apps, with no sender": (
        item(sender=..., app_roles={"123456789": ["primary_receiver"]}),
        {**INBOUND, "kind": "handover", "action": "app_roles", "contact_id": None},
    ),
    "feedback on an answer": (
        item(response_feedback={"feedback": "Good response", "mid": MID}),
        {**INBOUND, "kind": "unknown", "topic": "response_feedback"},
    ),
    "a policy's enforcement, of nobody": (
        {"recipient": {"id": ACCOUNT}, "timestamp": SENT_AT, "policy_enforcement": {"action": "block"}},
        {**INBOUND, "kind": "unknown", "topic": "policy_enforcement", "contact_id": None},
    ),
    "a delivery without mids": (
        item(delivery={"watermark": SENT_AT}),
        {**INBOUND, "kind": "unknown", "topic": "delivery"},
    ),
    "an account linked": (
        item(account_linking={"status": "linked", "authorization_code": "made up"}),
        {**INBOUND, "kind": "unknown", "topic": "account_linking"},
    ),
    "a mid longer than any yet": (
        item(message={"mid": "a" * 400, "text": "hi"}),
        {**INBOUND, "kind": "message", "event_id": "ig_msg_" + "a" * 400},
    ),
    "a time in microseconds": (
        item(timestamp=SENT_AT * 1000, message={"mid": MID}),
        {**INBOUND, "kind": "message", "occurred_at": RECEIVED_AT},
    ),
    "a time before there were any": (
        item(timestamp=-SENT_AT, message={"mid": MID}),
        {**INBOUND, "kind": "message", "occurred_at": RECEIVED_AT},
    ),
}

_CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a reaction": (
        change("message_reactions", item(reaction={"mid": MID, "action": "react", "reaction": "love", "emoji": "❤️"})),
        {**INBOUND, "kind": "reaction", "event_id": f"ig_rx_{MID}_{PERSON}_react_{SENT_AT}"},
    ),
    "a read": (
        change("messaging_seen", item(timestamp="1527459824", read={"mid": MID})),
        {**INBOUND, "kind": "read", "occurred_at": 1_527_459_824_000},
    ),
    "a postback to oneself": (
        change("messaging_postbacks", from_account(is_self=True, postback={"mid": MID, "payload": "P"})),
        {**OUTBOUND, "kind": "postback", "is_self": True, "event_id": f"ig_pb_{MID}"},
    ),
    "a postback by a user reference": (
        change("messaging_postbacks", item(sender={"user_ref": "REF"}, postback={"mid": OLD_MID, "payload": "P"})),
        {**INBOUND, "kind": "postback", "contact_id": None, "event_id": f"ig_pb_{OLD_MID}"},
    ),
    "a referral": (change("messaging_referral", item(referral=AD)), {**INBOUND, "kind": "referral", "referral": AD}),
    "an optin": (change("messaging_optins", item(optin={"ref": "r"})), {**INBOUND, "kind": "optin", "ref": "r"}),
    "a thread passed": (
        change("messaging_handover", item(pass_thread_control={"new_owner_app_id": 12, "metadata": "m"})),
        {**INBOUND, "kind": "handover", "action": "pass", "new_owner_app_id": "12", "metadata": "m"},
    ),
    "a standby message": (
        change("standby", item(message={"mid": MID, "text": "hi"})),
        {**INBOUND, "kind": "message", "standby": True},
    ),
    "an edit": (
        change("message_edit", item(message_edit={"mid": MID, "text": "new", "num_edit": 2})),
        {**INBOUND, "kind": "edit", "event_id": f"ig_edit_{MID}_2", "num_edit": 2},
    ),
    "an echo": (
        change("message_echoes", from_account(message={"mid": MID, "text": "hi", "is_echo": True})),
        {**OUTBOUND, "kind": "echo", "event_id": f"ig_msg_{MID}"},
    ),
    "a message that names no time": (
        change("messages", item(timestamp=..., message={"mid": MID})),
        {**INBOUND, "kind": "message", "occurred_at": SECONDS * 1000},
    ),
    "a message without a mid": (
        change("messages", item(message={"text": "random_text"})),
        {**INBOUND, "kind": "unknown", "topic": "message"},
    ),
    "what nobody knows yet": (
        change("messaging_future", item(future={"whatever": 1})),
        {**INBOUND, "kind": "unknown", "topic": "future"},
    ),
    "the inside of an item without the item": (
        change("message_edit", {"mid": MID, "text": "new", "num_edit": 2}),
        {"kind": "unknown", "topic": "message_edit", "contact_id": None},
    ),
    "a message in the words of another product": (
        change("messages", {"id": "1", "message": "hi", "from": {"id": PERSON}}),
        {"kind": "unknown", "topic": "messages", "contact_id": None},
    ),
    "a comment whose ids are numbers": (
        change("comments", {"id": 17865799348089039, "from": {"id": int(PERSON)}, "media": {"id": 18, "ad_id": 7}}),
        {"kind": "comment", "event_id": "ig_cmt_17865799348089039", "contact_id": PERSON, "media_id": "18"},
    ),
    "a comment that has its id under both names": (
        change("comments", {"id": "1", "comment_id": "2", "text": "hi"}),
        {"kind": "comment", "event_id": "ig_cmt_2", "comment_id": "2"},
    ),
    "a comment whose author is only a name": (
        change("comments", {"id": "1", "from": {"username": "mara"}}),
        {"kind": "comment", "contact_id": None, "username": "mara", "direction": "inbound", "is_self": False},
    ),
    "the account's own answer to a comment": (
        change("comments", {"id": "1", "from": {"id": ACCOUNT, "self_ig_scoped_id": "746"}, "parent_id": "17"}),
        {"kind": "comment", "is_self": True, "direction": "outbound", "parent_id": "17", "account_id": ACCOUNT},
    ),
    "a live comment": (
        change("live_comments", {"id": "1", "from": {"id": PERSON}, "media": {"media_product_type": "LIVE"}}),
        {"kind": "comment", "is_live": True, "media_product_type": "LIVE", "occurred_at": SECONDS * 1000},
    ),
    "a mention in a caption, its comment null": (
        change("mentions", {"media_id": "17858893999000123", "comment_id": None}),
        {"kind": "mention", "event_id": f"ig_men_{ACCOUNT}_17858893999000123_-", "comment_id": None},
    ),
}


def _shown(event: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """Those of `fields` that `event` has, as JSON would show them."""
    dumped: dict[str, Any] = event.model_dump(include=set(fields))
    return dumped


@pytest.mark.parametrize("name", _MESSAGING)
@pytest.mark.parametrize("under", ["messaging", "standby"])
def test_an_item_of_messaging_or_standby_is_read_as_what_it_is(name: str, under: str) -> None:
    received, expected = _MESSAGING[name]
    [event] = parse(received, under=under)
    assert _shown(event, expected) == expected
    assert event.standby is (under == "standby")
    assert event.raw == received


@pytest.mark.parametrize("name", _CHANGES)
@pytest.mark.parametrize("flat", [False, True])
def test_a_change_in_its_array_or_flat_on_the_entry_is_read_as_what_it_is(name: str, flat: bool) -> None:
    received, expected = _CHANGES[name]
    entry = {"id": ACCOUNT, "time": SECONDS, **(received if flat else {"changes": [received]})}
    [event] = parse_webhook(body(entry), received_at=RECEIVED_AT)
    assert _shown(event, expected) == expected
    assert event.raw == received


_DASHBOARD = {"sender": {"id": "12334"}, "recipient": {"id": "23245"}, "timestamp": "233445667"}


@pytest.mark.parametrize(
    ("test", "kind"),
    [
        (change("messages", {**_DASHBOARD, "message": {"mid": "random_mid", "text": "random_text"}}), "message"),
        (change("message_reactions", {**_DASHBOARD, "reaction": {"mid": "random_mid", "action": "react"}}), "reaction"),
        (change("messaging_postbacks", {**_DASHBOARD, "postback": {"mid": "random_mid", "title": "T"}}), "postback"),
        (change("messaging_seen", {**_DASHBOARD, "read": {"mid": "last_message_id_read"}}), "read"),
        (change("messaging_handover", {**_DASHBOARD, "pass_thread_control": {"new_owner_app_id": "4"}}), "handover"),
        (change("comments", {"id": "1", "from": {"id": "232323232", "username": "test"}}), "comment"),
        (change("live_comments", {"id": "1", "from": {"id": "2", "self_ig_scoped_id": "2"}}), "comment"),
        (change("mentions", {"media_id": "17887498072083520", "comment_id": "17887498072083520"}), "mention"),
        (change("story_insights", {"media_id": "17887498072083520", "impressions": 444}), "unknown"),
    ],
    ids=lambda part: part["field"] if isinstance(part, dict) else None,
)
def test_whatever_the_dashboard_tests_has_its_kind_and_is_flagged(test: dict[str, Any], kind: str) -> None:
    [event] = parse_webhook(body({"id": "0", "time": SECONDS, "changes": [test]}), received_at=RECEIVED_AT)
    assert (event.kind, event.is_test, event.account_id) == (kind, True, "0")


def test_the_dashboards_message_of_2021_is_kept_and_flagged_under_any_account() -> None:
    held = {"event_type": "TEXT", "event_timestamp": "1527459824", "event_data": {"message_id": "v"}}
    received = {"id": ACCOUNT, "time": SECONDS, "changes": [change("messages", held)]}
    [event] = parse_webhook(body(received), received_at=RECEIVED_AT)
    assert (event.kind, event.is_test, event.contact_id) == ("unknown", True, None)


@pytest.mark.parametrize("is_echo", [True, False])
def test_where_the_entry_names_the_account_by_another_id_the_echo_flag_alone_tells_the_direction(is_echo: bool) -> None:
    """Self-messages are captured with an app-scoped `entry.id`, which is neither sender nor recipient."""
    made = (from_account if is_echo else item)(message={"mid": MID, "is_echo": is_echo})
    [event] = parse_webhook(body({"id": APP_SCOPED, "time": SENT_AT, "messaging": [made]}), received_at=RECEIVED_AT)
    assert (event.account_id, event.contact_id) == (APP_SCOPED, PERSON)
    assert event.direction == ("outbound" if is_echo else "inbound")


@pytest.mark.parametrize("container", ["messaging", "standby", "changes"])
@pytest.mark.parametrize("nothing", [None, [], {}, ""])
def test_a_container_that_holds_nothing_gives_no_event(container: str, nothing: object) -> None:
    assert walk(body({"id": ACCOUNT, "time": SENT_AT, container: nothing})) == ([], 0)


def test_entries_of_several_accounts_each_keep_their_own() -> None:
    other = "17841405726653026"
    entries = [
        {"id": ACCOUNT, "time": SENT_AT, "messaging": [item(message={"mid": "1"})]},
        {"id": other, "time": SENT_AT, "messaging": [item(recipient={"id": other}, message={"mid": "2"})]},
        {"id": int(ACCOUNT), "time": SECONDS, "changes": [change("comments", {"id": "3"})]},
    ]
    events = parse_webhook(body(*entries), received_at=RECEIVED_AT)
    assert [event.account_id for event in events] == [ACCOUNT, other, ACCOUNT]


def test_an_entry_may_have_changes_in_an_array_and_another_flat() -> None:
    entry = {"id": ACCOUNT, "changes": [change("comments", {"id": "1"})], **change("mentions", {"media_id": "2"})}
    assert [event.kind for event in parse_webhook(body(entry), received_at=RECEIVED_AT)] == ["comment", "mention"]


def test_names_of_changed_fields_without_their_values_are_kept() -> None:
    entry = {"id": ACCOUNT, "time": SECONDS, "changed_fields": ["comments"]}
    [event] = parse_webhook(body(entry), received_at=RECEIVED_AT)
    assert (event.kind, event.raw, event.occurred_at) == ("unknown", {"changed_fields": ["comments"]}, SECONDS * 1000)
