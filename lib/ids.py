"""Event ids: the idempotency key of every event, and its QStash deduplication id.

Knows which parts of a fact make it that fact. Must not know the wire format, the sending time of a
notification (another one at each redelivery; story insights excepted), or who uses the id.
"""

import hashlib
import re
from typing import Any, Literal, NamedTuple

import msgspec

MAX_CHARS = 512
ABSENT = "-"

_SAFE = re.compile(r"[!-~]+")


class Origin(NamedTuple):
    """Where an item comes from, as far as ids care. `item` is the clean item; `at_ms` its own timestamp."""

    account_id: str
    sender_id: str | None
    at_ms: int | None
    item: dict[str, Any]


def of_message(mid: str) -> str:
    """A message, and the echo of one: whoever tells us of it, it is the same message."""
    return _join("msg", mid)


def of_unsend(mid: str) -> str:
    return _join("del", mid)


def of_edit(mid: str, num_edit: int | None, origin: Origin) -> str:
    if num_edit is None:
        return _join("edit", mid, ABSENT, _digest(origin.item))
    return _join("edit", mid, str(num_edit))


def of_reaction(mid: str, action: Literal["react", "unreact"], origin: Origin) -> str:
    """React, unreact, react again are three facts: the time tells them apart."""
    return _join("rx", mid, _part(origin.sender_id), action, _time(origin))


def of_read(mid: str | None, origin: Origin) -> str:
    account, sender = _part(origin.account_id), _part(origin.sender_id)
    if mid is None:
        return _join("read", account, sender, ABSENT, _time(origin), _digest(origin.item))
    return _join("read", account, sender, mid)


def of_postback(mid: str | None, origin: Origin) -> str:
    return _join("pb", mid) if mid is not None else _of_item("pb", origin)


def of_other(kind: Literal["referral", "optin", "handover", "app_roles", "policy", "feedback"], origin: Origin) -> str:
    """What has no id of its own at Meta."""
    return _of_item(kind, origin)


def of_comment(comment_id: str) -> str:
    """A comment under an ad is notified twice, with one id."""
    return _join("cmt", comment_id)


def of_mention(account_id: str, media_id: str | None, comment_id: str | None) -> str:
    return _join("men", _part(account_id), _part(media_id), _part(comment_id))


def of_story_insights(media_id: str, entry_time: str | None) -> str:
    """The one id with the sending time in it: nothing else tells two counts of one story apart."""
    return _join("si", _part(media_id), _part(entry_time))


def of_unknown(account_id: str, item: dict[str, Any]) -> str:
    return _join("unk", _part(account_id), _digest(item))


def _of_item(namespace: str, origin: Origin) -> str:
    return _join(namespace, _part(origin.account_id), _part(origin.sender_id), _time(origin), _digest(origin.item))


def _join(namespace: str, *parts: str) -> str:
    """`ig_{namespace}_{parts}`, or its hash where that would not do as an HTTP header value."""
    full = "_".join(("ig", namespace, *parts))
    if len(full) <= MAX_CHARS and _SAFE.fullmatch(full):
        return full
    return f"ig_{namespace}_sha256_{hashlib.sha256(full.encode()).hexdigest()}"


def _part(value: str | None) -> str:
    """A part that others follow. Escaped, so that ("a_b", "c") and ("a", "b_c") do not join to one id."""
    if value is None:
        return ABSENT
    return value.replace("%", "%25").replace("_", "%5F") if "_" in value or "%" in value else value


def _time(origin: Origin) -> str:
    return ABSENT if origin.at_ms is None else str(origin.at_ms)


def _digest(item: dict[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(item, order="sorted")).hexdigest()[:16]
