"""Hypothesis strategies: any JSON, and webhooks with a few things in them replaced by any JSON."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.support.items import ACCOUNT, PERSON, SENT_AT, change, from_account, item

_TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
_ODD = [2**63, -(2**70), "1", "m1", "react", "0", "2021-09-08T06:34:04+0000", 1_569_262_485, "true"]
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS | st.sampled_from(_ODD)
IDS = st.sampled_from(
    [
        *(ACCOUNT, PERSON, "1", "2", "1_2", "_", "1_", "_1", "%5F", "%2D", "-"),
        *("<1_2>", "<1", "2>", "1>", "<1_", "a b", "é", "x" * 250, "\x00"),
    ]
)

_MESSAGE = {
    "mid": "m1",
    "text": "hi",
    "attachments": [{"type": "image", "payload": {"url": "u"}}],
    "reply_to": {"mid": "m0", "story": {"id": "s1", "url": "u"}},
    "quick_reply": {"payload": "P"},
    "referral": {"ref": "r"},
    "is_unsupported": True,
}
_MESSAGING = [
    item(message=_MESSAGE),
    from_account(message={"mid": "m1", "text": "hi", "is_echo": True, "is_self": True}),
    item(message={"mid": "m1", "is_deleted": True, "is_echo": False}),
    item(message_edit={"mid": "m1", "text": "new", "num_edit": 1}),
    item(reaction={"mid": "m1", "action": "react", "reaction": "love", "emoji": "❤"}),
    item(reaction={"mid": "m1", "action": "unreact"}),
    item(postback={"mid": "m1", "title": "T", "payload": "P", "referral": {}}),
    item(postback={"title": "T"}, is_self=False),
    item(read={"mid": "m1", "watermark": SENT_AT}),
    item(referral={"ref": "r", "source": "ADS", "type": "OPEN_THREAD"}),
    item(optin={"type": "t", "ref": "r", "payload": "P"}),
    item(pass_thread_control={"new_owner_app_id": 1, "previous_owner_app_id": None, "metadata": "m"}),
    item(app_roles={"1": ["primary_receiver"]}),
    item(policy_enforcement={"action": "warning"}),
    item(future={"whatever": 1}),
    item(message={"mid": "m1"}, referral={"ref": "r"}, read={"mid": "m0"}),
]
_CHANGES = [
    change("comments", {"id": "c1", "from": {"id": PERSON, "username": "u"}, "media": {"id": "1", "ad_id": 2}}),
    change("live_comments", {"comment_id": "c1", "from": {"self_ig_scoped_id": "1"}, "timestamp": SENT_AT}),
    change("mentions", {"media_id": "1", "comment_id": "2"}),
    change("messages", item(message={"mid": "m1"})),
    change("standby", item(postback={"title": "T"})),
    change("feed", {"item": "status"}),
]
_WEBHOOKS: list[Any] = [
    {
        "object": "instagram",
        "entry": [
            {
                "id": ACCOUNT,
                "time": SENT_AT,
                "messaging": _MESSAGING[at : at + 2],
                "standby": [_MESSAGING[at]],
            },
            {"id": ACCOUNT, "time": SENT_AT // 1000, "changes": _CHANGES[at % 6 :]},
            {"id": ACCOUNT, "time": SENT_AT // 1000, **_CHANGES[at % 6]},
        ],
    }
    for at in range(len(_MESSAGING))
]
_WEBHOOKS += [_WEBHOOKS[:2], {**_WEBHOOKS[0], "object": "page"}, _CHANGES[3]]


def json_values() -> st.SearchStrategy[Any]:
    return st.recursive(
        _SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
        max_leaves=8,
    )


@st.composite
def _altered(draw: st.DrawFn, templates: list[Any]) -> Any:
    """One of `templates` with up to three of its values replaced, its names taken away, or others added."""
    made = copy.deepcopy(draw(st.sampled_from(templates)))
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(made))
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["replace", "rename", "remove"]))
        if how == "replace":
            container[key] = draw(json_values() | IDS)
        elif isinstance(container, dict):
            value = container.pop(key)
            if how == "rename":
                container[draw(_TEXTS)] = value
    return made


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def messaging_items() -> st.SearchStrategy[Any]:
    return _altered(_MESSAGING)


def changes() -> st.SearchStrategy[Any]:
    """Changes, but for story insights: those alone have the sending time in their id."""
    return _altered(_CHANGES)


def payloads() -> st.SearchStrategy[Any]:
    """Webhook bodies, some of them badly damaged."""
    return _altered(_WEBHOOKS)
