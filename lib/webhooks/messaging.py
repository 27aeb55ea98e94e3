"""One item of `messaging` or `standby` to one event.

Knows what each kind holds. Must not know who is who (`parse_subject`), the envelope, or the clock.
"""

from collections.abc import Callable
from typing import Any, Literal, TypedDict

from lib.events import ids
from lib.events.model import (
    Echo,
    Edit,
    Event,
    Handover,
    Message,
    Optin,
    Postback,
    QuickReply,
    Reaction,
    Read,
    Referral,
    ReplyTo,
    Story,
    Unknown,
    Unsend,
)
from lib.webhooks.participants import ItemContext, ParsedItem, resolve
from lib.webhooks.payload import (
    MAX_TOPIC_CHARS,
    JsonObject,
    count,
    flag,
    json_object,
    json_objects,
    scalar_id,
    text,
    time_ms,
)


def parse_messaging(item: JsonObject, place: ItemContext) -> Event:
    """The one event a clean `item` is; `Unknown` where it lacks what its kind needs. Never raises."""
    subject = resolve(item, place)
    build = _BUILDERS.get(subject.key)
    return (build(subject) if build else None) or _unknown(subject)


class _Content(TypedDict):
    mid: str
    text: str | None
    attachments: list[dict[str, Any]]
    reply_to: ReplyTo | None
    quick_reply: QuickReply | None
    referral: dict[str, Any] | None
    is_unsupported: bool
    is_ephemeral: bool


def _message(subject: ParsedItem) -> Event | None:
    """Where several flags are set: deleted, then echo, then unsupported."""
    body, base = subject.body, subject.base
    mid = scalar_id(body.get("mid"))
    if mid is None:
        return None
    is_echo = flag(body.get("is_echo"))
    if flag(body.get("is_deleted")):
        return Unsend(**base, event_id=ids.of_unsend(mid), mid=mid, is_echo=is_echo)
    content = _content(mid, subject)
    if is_echo:
        return Echo(**base, **content, event_id=ids.of_message(mid))
    return Message(**base, **content, event_id=ids.of_message(mid))


def _content(mid: str, subject: ParsedItem) -> _Content:
    body = subject.body
    attachments = json_objects(body.get("attachments"))
    quick_reply = json_object(body.get("quick_reply"))
    return _Content(
        mid=mid,
        text=text(body.get("text")),
        attachments=attachments,
        reply_to=_reply_to(body.get("reply_to")),
        quick_reply=None if quick_reply is None else QuickReply(payload=text(quick_reply.get("payload"))),
        referral=_inner_referral(subject),
        is_unsupported=flag(body.get("is_unsupported")),
        is_ephemeral=any(each.get("type") == "ephemeral" for each in attachments),
    )


def _reply_to(value: object) -> ReplyTo | None:
    reply = json_object(value)
    if reply is None:
        return None
    mid, story = scalar_id(reply.get("mid")), json_object(reply.get("story"))
    if mid is None and story is None:
        return None
    if story is None:
        return ReplyTo(mid=mid)
    return ReplyTo(mid=mid, story=Story(id=scalar_id(story.get("id")), url=text(story.get("url"))))


def _inner_referral(subject: ParsedItem) -> JsonObject | None:
    """The referral of a message or postback: inside it, or beside it on the item."""
    inside = json_object(subject.body.get("referral"))
    return inside if inside is not None else json_object(subject.item.get("referral"))


def _edit(subject: ParsedItem) -> Event | None:
    body = subject.body
    mid, num_edit = scalar_id(body.get("mid")), count(body.get("num_edit"))
    if mid is None:
        return None
    as_written = scalar_id(body.get("num_edit")) if num_edit is None else str(num_edit)
    event_id = ids.of_edit(mid, as_written, subject.origin)
    return Edit(**subject.base, event_id=event_id, mid=mid, text=text(body.get("text")), num_edit=num_edit)


_ACTIONS: dict[str, Literal["react", "unreact"]] = {"react": "react", "unreact": "unreact"}


def _reaction(subject: ParsedItem) -> Event | None:
    body = subject.body
    mid, action = scalar_id(body.get("mid")), _action(body)
    if mid is None or action is None:
        return None
    return Reaction(
        **subject.base,
        event_id=ids.of_reaction(mid, action, subject.origin),
        mid=mid,
        action=action,
        actor_id=subject.origin.sender_id or ids.ABSENT,
        reaction=text(body.get("reaction")),
        emoji=text(body.get("emoji")),
    )


def _action(body: JsonObject) -> Literal["react", "unreact"] | None:
    """Without an action, a name or an emoji makes it a reaction; nothing at all may as well be the end of one."""
    if body.get("action") is None:
        return "react" if text(body.get("reaction")) or text(body.get("emoji")) else None
    return _ACTIONS.get(text(body.get("action")) or "")


def _postback(subject: ParsedItem) -> Event:
    body = subject.body
    mid = scalar_id(body.get("mid"))
    return Postback(
        **subject.base,
        event_id=ids.of_postback(mid, subject.origin),
        mid=mid,
        title=text(body.get("title")),
        payload=text(body.get("payload")),
        referral=_inner_referral(subject),
    )


def _read(subject: ParsedItem) -> Event:
    mid = scalar_id(subject.body.get("mid"))
    return Read(
        **subject.base,
        event_id=ids.of_read(mid, subject.origin),
        mid=mid,
        watermark=time_ms(subject.body.get("watermark")),
    )


def _referral(subject: ParsedItem) -> Event:
    body = subject.body
    return Referral(
        **subject.base,
        event_id=ids.of_other("referral", subject.origin),
        referral=body,
        ref=text(body.get("ref")),
        source=text(body.get("source")),
        type=text(body.get("type")),
    )


def _optin(subject: ParsedItem) -> Event:
    body = subject.body
    return Optin(
        **subject.base,
        event_id=ids.of_other("optin", subject.origin),
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


def _handover(subject: ParsedItem) -> Event:
    """App ids are strings or numbers. The roles themselves stay in `raw`: they have two shapes."""
    body, action = subject.body, _HANDOVERS[subject.key]
    return Handover(
        **subject.base,
        event_id=ids.of_other("app_roles" if action == "app_roles" else "handover", subject.origin),
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


def _unknown(subject: ParsedItem) -> Event:
    kind = _UNKNOWN_KINDS.get(subject.key)
    account_id, item = subject.base["account_id"], subject.item
    event_id = ids.of_other(kind, subject.origin) if kind else ids.of_unknown(account_id, item)
    topic = subject.key.removeprefix("?")[:MAX_TOPIC_CHARS]
    return Unknown(**subject.base, event_id=event_id, topic=topic or None)


_BUILDERS: dict[str, Callable[[ParsedItem], Event | None]] = {
    "message": _message,
    "message_edit": _edit,
    "reaction": _reaction,
    "postback": _postback,
    "read": _read,
    "referral": _referral,
    "optin": _optin,
    **dict.fromkeys(_HANDOVERS, _handover),
}
