"""Event ids: the idempotency key of each event of one account.

An id is made of the parts that identify a fact. The sending time of a notification is never a part: each redelivery
has another one. Story insights are the exception. Events of two accounts can have one id: the key of the ledger
holds the account as well. `qstash/deduplication.py` makes the ids that QStash gets.
"""

import hashlib
import json
import re
from typing import Any, Literal

MAX_CHARS = 512
ABSENT = "-"

# Ids of accounts, people and comments have no underscore. The placeholders in Meta's printed samples
# (`<INSTAGRAM_SCOPED_ID>`) have underscores, and brackets that tell them apart.
_PLAIN = re.compile(r"(?!-\Z)[^_%<>]+|<[^%<>]*>")
_AMBIGUOUS = re.compile(r"[_%<>]|^-\Z")


def of_message(mid: str) -> str:
    """A message or its echo: both tell of the same message."""
    return _join("msg", mid)


def of_unsend(mid: str) -> str:
    """The removal of a message."""
    return _join("del", mid)


def of_edit(mid: str, num_edit: str | None, *, item: dict[str, Any]) -> str:
    """An edit, by `num_edit` as Meta wrote it: that is not always a number. Without one, the content tells edits
    apart, but not who is named in it: some edits come with and without their sender.
    """
    if num_edit is None:
        return _join("edit", mid, ABSENT, _digest(_without_parties(item)))
    return _join("edit", mid, _part(num_edit))


def of_reaction(mid: str, action: Literal["react", "unreact"], *, sender_id: str | None, at_ms: int | None) -> str:
    """A reaction. React, unreact and react again are three facts: the time tells them apart."""
    return _join("rx", mid, _part(sender_id), action, _time(at_ms))


def of_read(mid: str | None, *, account_id: str, sender_id: str | None, at_ms: int | None, item: dict[str, Any]) -> str:
    """A read. Without a mid there is only a watermark, which is not always new: time and content tell reads apart.

    The recipient of a read is our account, under one of its two ids.
    """
    account, sender = _part(account_id), _part(sender_id)
    if mid is None:
        return _join("read", account, sender, ABSENT, _time(at_ms), _digest(_without_parties(item)))
    return _join("read", account, sender, mid)


def of_postback(mid: str) -> str:
    """A postback that has a mid."""
    return _join("pb", mid)


def of_item(
    namespace: Literal["pb", "referral", "optin", "handover", "app_roles", "policy", "feedback"],
    *,
    account_id: str,
    sender_id: str | None,
    at_ms: int | None,
    item: dict[str, Any],
) -> str:
    """An item to which Meta gives no id of its own."""
    return _join(namespace, account_id, sender_id or ABSENT, _time(at_ms), _digest(item))


def of_comment(comment_id: str) -> str:
    """A comment. Meta notifies a comment under an ad twice, with one id."""
    return _join("cmt", comment_id)


def of_mention(account_id: str, media_id: str | None, comment_id: str | None) -> str:
    """A mention of the account."""
    return _join("men", _part(account_id), media_id or ABSENT, _part(comment_id))


def of_story_insights(media_id: str, entry_time: str | None) -> str:
    """A count of one story's views. Its id alone has the sending time: nothing else tells two counts apart."""
    return _join("si", media_id, _part(entry_time))


def of_unknown(account_id: str, item: dict[str, Any]) -> str:
    """An item of no kind we know, by its content."""
    return _join("unk", account_id, _digest(item))


def _join(namespace: str, *parts: str) -> str:
    """Returns `ig_{namespace}_{parts}`, or its hash if that could not be an HTTP header value.

    Two facts must not get one id. So at most one part may be anything; each other part is a time, a word of ours, a
    digest, or went through `_part`. Where the digest is of the whole item, the sender is in the digest, too.
    """
    full = "_".join(("ig", namespace, *parts))
    if len(full) <= MAX_CHARS and full.isascii() and full.isprintable() and " " not in full:
        return full
    return f"ig_{namespace}_sha256_{hashlib.sha256(full.encode()).hexdigest()}"


def _part(value: str | None) -> str:
    """Returns `value`, escaped if ("a_b", "c") and ("a", "b_c") would otherwise get one id."""
    if value is None:
        return ABSENT
    if value.isalnum() or _PLAIN.fullmatch(value):
        return value
    return _AMBIGUOUS.sub(lambda found: f"%{ord(found.group()):02X}", value)


def _time(at_ms: int | None) -> str:
    return ABSENT if at_ms is None else str(at_ms)


def _without_parties(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in ("sender", "recipient")}


def _digest(item: dict[str, Any]) -> str:
    text = json.dumps(item, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
