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
# Ids of accounts, people and comments have no underscore; the placeholders in the samples Meta prints
# (`<INSTAGRAM_SCOPED_ID>`) have, and can be told apart by their brackets.
_PLAIN = re.compile(r"(?!-\Z)[^_%<>]+|<[^%<>]*>")
_AMBIGUOUS = re.compile(r"[_%<>]|^-\Z")


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


def of_edit(mid: str, num_edit: str | None, origin: Origin) -> str:
    """`num_edit` as written, for it is not always a number; without one, the content tells edits apart."""
    if num_edit is None:
        return _join("edit", mid, ABSENT, _digest(origin.item))
    return _join("edit", mid, _part(num_edit))


def of_reaction(mid: str, action: Literal["react", "unreact"], origin: Origin) -> str:
    """React, unreact, react again are three facts: the time tells them apart."""
    return _join("rx", mid, _part(origin.sender_id), action, _time(origin))


def of_read(mid: str | None, origin: Origin) -> str:
    """Without a mid there is only a watermark, which is not always new: time and content tell reads apart."""
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
    return _join("men", _part(account_id), media_id or ABSENT, _part(comment_id))


def of_story_insights(media_id: str, entry_time: str | None) -> str:
    """The one id with the sending time in it: nothing else tells two counts of one story apart."""
    return _join("si", media_id, _part(entry_time))


def of_unknown(account_id: str, item: dict[str, Any]) -> str:
    return _join("unk", account_id, _digest(item))


def _of_item(namespace: str, origin: Origin) -> str:
    return _join(namespace, origin.account_id, origin.sender_id or ABSENT, _time(origin), _digest(origin.item))


def _join(namespace: str, *parts: str) -> str:
    """`ig_{namespace}_{parts}`, or its hash where that would not do as an HTTP header value.

    Two facts must not join to one id. So one part may be anything, and every other is a time, a word of ours,
    a digest, or went through `_part`; but where the digest is of the whole item, the sender is in it.
    """
    full = "_".join(("ig", namespace, *parts))
    if len(full) <= MAX_CHARS and _SAFE.fullmatch(full):
        return full
    return f"ig_{namespace}_sha256_{hashlib.sha256(full.encode()).hexdigest()}"


def _part(value: str | None) -> str:
    """A part as it is, or escaped where ("a_b", "c") and ("a", "b_c") would join to one id."""
    if value is None:
        return ABSENT
    if value.isalnum() or _PLAIN.fullmatch(value):
        return value
    return _AMBIGUOUS.sub(lambda found: f"%{ord(found.group()):02X}", value)


def _time(origin: Origin) -> str:
    return ABSENT if origin.at_ms is None else str(origin.at_ms)


def _digest(item: dict[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(item, order="sorted")).hexdigest()[:16]
