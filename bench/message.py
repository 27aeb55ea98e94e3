"""Messages and webhooks as Meta writes them, with ids that nobody has used before."""

import time
from collections.abc import Sequence
from typing import Any

from dev.graph.mids import new_mid
from dev.stack import keys

FIRST_PERSON = 6_000_000_000_000_000
"""Ids of people go on from here."""

WORDS = "Hello, is the blue one still there? I would take {number} \U0001f499"


def now_ms() -> int:
    """Returns the present moment in Meta's unit."""
    return time.time_ns() // 1_000_000


def message(person: str, words: str, *, at_ms: int, number: int) -> dict[str, Any]:
    """Returns the item of a message from `person` to our account. `number` makes the mid new within a millisecond."""
    mid = new_mid(keys.ACCOUNT_ID, person, now_us=at_ms * 1000 + number)
    return {
        "sender": {"id": person},
        "recipient": {"id": keys.ACCOUNT_ID},
        "timestamp": at_ms,
        "message": {"mid": mid, "text": words},
    }


def webhook(items: Sequence[dict[str, Any]], *, at_ms: int) -> dict[str, Any]:
    """Returns the body of a webhook with these items."""
    return {"object": "instagram", "entry": [{"time": at_ms, "id": keys.ACCOUNT_ID, "messaging": list(items)}]}
