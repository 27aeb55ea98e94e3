"""Webhook bodies as Meta sends them, in a line each. Ids are made up; the shapes are Meta's.

Must not know the parser: what a body means is for the tests to say.
"""

import itertools
import time
from typing import Any

ACCOUNT = "17841400000000000"
CONTACT = "6001234567890123"
OTHER_CONTACT = "6009876543210987"

_counter = itertools.count(1)


def new_mid() -> str:
    """A message id nobody has used in this process."""
    return f"aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlEOjE3ODQx{time.time_ns():x}{next(_counter):06d}"


def now_ms() -> int:
    """Now, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def item(
    *, contact: str = CONTACT, account: str = ACCOUNT, outbound: bool = False, at_ms: int | None = None, **what: Any
) -> dict[str, Any]:
    """One `messaging[]` item: who, to whom, when, and `what` happened."""
    sender, recipient = (account, contact) if outbound else (contact, account)
    return {
        "sender": {"id": sender},
        "recipient": {"id": recipient},
        "timestamp": now_ms() if at_ms is None else at_ms,
        **what,
    }


def message(
    text: str | None = "hello", *, mid: str | None = None, contact: str = CONTACT, at_ms: int | None = None, **more: Any
) -> dict[str, Any]:
    """A person writes to the account."""
    words = {} if text is None else {"text": text}
    return item(contact=contact, at_ms=at_ms, message={"mid": mid or new_mid(), **words, **more})


def echo(text: str = "hi back", *, mid: str | None = None, contact: str = CONTACT, **more: Any) -> dict[str, Any]:
    """The account writes to a person."""
    return item(
        contact=contact, outbound=True, message={"mid": mid or new_mid(), "text": text, "is_echo": True, **more}
    )


def unsend(mid: str, *, contact: str = CONTACT) -> dict[str, Any]:
    """The message `mid` is taken back."""
    return item(contact=contact, message={"mid": mid, "is_deleted": True})


def edit(mid: str, text: str, num_edit: int = 1, *, contact: str = CONTACT) -> dict[str, Any]:
    """The text of `mid` is changed."""
    return item(contact=contact, message_edit={"mid": mid, "text": text, "num_edit": num_edit})


def reaction(mid: str, action: str = "react", *, at_ms: int | None = None, contact: str = CONTACT) -> dict[str, Any]:
    """The person reacts to `mid`, or takes it back."""
    what = {"mid": mid, "action": action}
    if action == "react":
        what |= {"reaction": "love", "emoji": "\u2764"}
    return item(contact=contact, at_ms=at_ms, reaction=what)


def read(mid: str, *, at_ms: int | None = None, contact: str = CONTACT) -> dict[str, Any]:
    """The person has read up to `mid`."""
    return item(contact=contact, at_ms=at_ms, read={"mid": mid})


def postback(payload: str, *, mid: str | None = None, contact: str = CONTACT) -> dict[str, Any]:
    """The person taps a button."""
    return item(contact=contact, postback={"mid": mid or new_mid(), "title": "A button", "payload": payload})


def comment(text: str, *, comment_id: str | None = None, contact: str = CONTACT) -> dict[str, Any]:
    """One `changes[]` item: somebody comments on a post of the account."""
    return {
        "field": "comments",
        "value": {
            "id": comment_id or f"1785{next(_counter):013d}",
            "text": text,
            "from": {"id": contact, "username": "somebody"},
            "media": {"id": "17900000000000001", "media_product_type": "FEED"},
        },
    }


def webhook(*items: dict[str, Any], account: str = ACCOUNT, under: str = "messaging") -> dict[str, Any]:
    """A whole webhook body with one entry."""
    time_unit = 1 if under != "changes" else 1000
    return {"object": "instagram", "entry": [{"id": account, "time": now_ms() // time_unit, under: list(items)}]}
