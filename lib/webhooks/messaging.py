"""One item of `messaging` or `standby` → one event: what each kind holds."""

from collections.abc import Callable
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from lib.events import ids
from lib.events.model import JsonObject
from lib.webhooks.participants import ItemContext, ParsedItem, resolve, told
from lib.webhooks.payload import (
    MAX_TOPIC_CHARS,
    count,
    flag,
    json_object,
    json_objects,
    scalar_id,
    text,
    time_ms,
)


def parse_messaging(item: JsonObject, context: ItemContext) -> JsonObject:
    """Returns the event in a clean `item`, or `Unknown` if the item lacks a field that its kind needs. Never raises."""
    parsed = resolve(item, context)
    build = _BUILDERS.get(parsed.key)
    return (build(parsed) if build else None) or _unknown(parsed)


class _Content(TypedDict):
    """The fields of a message. Those without a value have their default."""

    mid: str
    text: str | None
    attachments: NotRequired[list[dict[str, Any]]]
    reply_to: NotRequired[JsonObject | None]
    quick_reply: NotRequired[JsonObject | None]
    referral: NotRequired[dict[str, Any] | None]
    is_unsupported: NotRequired[bool]
    is_ephemeral: NotRequired[bool]


_TEXT_ALONE = frozenset({"mid", "text"})


def _message(parsed: ParsedItem) -> JsonObject | None:
    """Of several flags the first of these counts: deleted, echo, unsupported."""
    body, base = parsed.body, parsed.base
    mid = scalar_id(body.get("mid"))
    if mid is None:
        return None
    is_echo = flag(body.get("is_echo"))
    if flag(body.get("is_deleted")):
        return told(kind="unsend", **base, event_id=ids.of_unsend(mid), mid=mid, is_echo=is_echo)
    content = _content(mid, parsed)
    if is_echo:
        return told(kind="echo", **base, **content, event_id=ids.of_message(mid))
    return told(kind="message", **base, **content, event_id=ids.of_message(mid))


def _content(mid: str, parsed: ParsedItem) -> _Content:
    body = parsed.body
    words = text(body.get("text"))
    if body.keys() <= _TEXT_ALONE and "referral" not in parsed.item:
        return {"mid": mid, "text": words}  # as most messages are
    attachments = json_objects(body.get("attachments"))
    quick_reply = json_object(body.get("quick_reply"))
    return {
        "mid": mid,
        "text": words,
        "attachments": attachments,
        "reply_to": _reply_to(body.get("reply_to")),
        "quick_reply": None if quick_reply is None else {"payload": text(quick_reply.get("payload"))},
        "referral": _inner_referral(parsed),
        "is_unsupported": flag(body.get("is_unsupported")),
        "is_ephemeral": bool(attachments) and any(each.get("type") == "ephemeral" for each in attachments),
    }


def _reply_to(value: object) -> JsonObject | None:
    reply = json_object(value)
    if reply is None:
        return None
    mid, story = scalar_id(reply.get("mid")), json_object(reply.get("story"))
    if mid is None and story is None:
        return None
    if story is None:
        return {"mid": mid}
    return {"mid": mid, "story": {"id": scalar_id(story.get("id")), "url": text(story.get("url"))}}


def _inner_referral(parsed: ParsedItem) -> JsonObject | None:
    """Returns the referral of a message or postback, from inside its body or from the item around it."""
    inside = json_object(parsed.body.get("referral"))
    return inside if inside is not None else json_object(parsed.item.get("referral"))


def _edit(parsed: ParsedItem) -> JsonObject | None:
    body = parsed.body
    mid, num_edit = scalar_id(body.get("mid")), count(body.get("num_edit"))
    if mid is None:
        return None
    as_written = scalar_id(body.get("num_edit")) if num_edit is None else str(num_edit)
    event_id = ids.of_edit(mid, as_written, item=parsed.item)
    return told(kind="edit", **parsed.base, event_id=event_id, mid=mid, text=text(body.get("text")), num_edit=num_edit)


_ACTIONS: dict[str, Literal["react", "unreact"]] = {"react": "react", "unreact": "unreact"}


def _reaction(parsed: ParsedItem) -> JsonObject | None:
    body = parsed.body
    mid, action = scalar_id(body.get("mid")), _action(body)
    if mid is None or action is None:
        return None
    return told(
        kind="reaction",
        **parsed.base,
        event_id=ids.of_reaction(mid, action, sender_id=parsed.sender_id, at_ms=parsed.at_ms),
        mid=mid,
        action=action,
        actor_id=parsed.sender_id or ids.ABSENT,
        reaction=text(body.get("reaction")),
        emoji=text(body.get("emoji")),
    )


def _action(body: JsonObject) -> Literal["react", "unreact"] | None:
    """Without an action, a name or an emoji makes the item a reaction. Without either, it may be the end of one."""
    if body.get("action") is None:
        return "react" if text(body.get("reaction")) or text(body.get("emoji")) else None
    return _ACTIONS.get(text(body.get("action")) or "")


def _postback(parsed: ParsedItem) -> JsonObject:
    body = parsed.body
    mid = scalar_id(body.get("mid"))
    return told(
        kind="postback",
        **parsed.base,
        event_id=ids.of_postback(mid) if mid is not None else _item_id("pb", parsed),
        mid=mid,
        title=text(body.get("title")),
        payload=text(body.get("payload")),
        referral=_inner_referral(parsed),
    )


def _read(parsed: ParsedItem) -> JsonObject:
    mid = scalar_id(parsed.body.get("mid"))
    return told(
        kind="read",
        **parsed.base,
        event_id=ids.of_read(
            mid, account_id=parsed.account_id, sender_id=parsed.sender_id, at_ms=parsed.at_ms, item=parsed.item
        ),
        mid=mid,
        watermark=time_ms(parsed.body.get("watermark")),
    )


def _referral(parsed: ParsedItem) -> JsonObject:
    body = parsed.body
    return told(
        kind="referral",
        **parsed.base,
        event_id=_item_id("referral", parsed),
        referral=body,
        ref=text(body.get("ref")),
        source=text(body.get("source")),
        type=text(body.get("type")),
    )


def _optin(parsed: ParsedItem) -> JsonObject:
    body = parsed.body
    return told(
        kind="optin",
        **parsed.base,
        event_id=_item_id("optin", parsed),
        type=text(body.get("type")),
        ref=text(body.get("ref")),
        payload=text(body.get("payload")),
    )


_HANDOVERS: dict[str, Literal["pass", "take", "request", "app_roles"]] = {
    "pass_thread_control": "pass",
    "take_thread_control": "take",
    "request_thread_control": "request",
    "app_roles": "app_roles",
}


def _handover(parsed: ParsedItem) -> JsonObject:
    """App ids come as strings or numbers. The roles themselves stay in `raw`, as Meta gives them two shapes."""
    body, action = parsed.body, _HANDOVERS[parsed.key]
    return told(
        kind="handover",
        **parsed.base,
        event_id=_item_id("app_roles" if action == "app_roles" else "handover", parsed),
        action=action,
        new_owner_app_id=scalar_id(body.get("new_owner_app_id")),
        previous_owner_app_id=scalar_id(body.get("previous_owner_app_id")),
        requested_owner_app_id=scalar_id(body.get("requested_owner_app_id")),
        metadata=text(body.get("metadata")),
    )


_UNKNOWN_KINDS: dict[str, Literal["policy", "feedback"]] = {
    "policy_enforcement": "policy",
    "response_feedback": "feedback",
}


def _unknown(parsed: ParsedItem) -> JsonObject:
    kind = _UNKNOWN_KINDS.get(parsed.key)
    event_id = _item_id(kind, parsed) if kind else ids.of_unknown(parsed.account_id, parsed.item)
    topic = parsed.key.removeprefix("?")[:MAX_TOPIC_CHARS]
    return told(kind="unknown", **parsed.base, event_id=event_id, topic=topic or None)


_ItemNamespace: TypeAlias = Literal["pb", "referral", "optin", "handover", "app_roles", "policy", "feedback"]


def _item_id(namespace: _ItemNamespace, parsed: ParsedItem) -> str:
    """Returns the id of an item to which Meta gives none."""
    return ids.of_item(
        namespace, account_id=parsed.account_id, sender_id=parsed.sender_id, at_ms=parsed.at_ms, item=parsed.item
    )


_BUILDERS: dict[str, Callable[[ParsedItem], JsonObject | None]] = {
    "message": _message,
    "message_edit": _edit,
    "reaction": _reaction,
    "postback": _postback,
    "read": _read,
    "referral": _referral,
    "optin": _optin,
    **dict.fromkeys(_HANDOVERS, _handover),
}
