"""An item of `messaging` taken apart: what it is about, who is who in it, and when it happened.

Knows what all kinds have in common. Must not know what any one kind holds, the envelope, or the clock.
"""

from typing import Any, NamedTuple, TypedDict

from lib.events import ids
from lib.events.model import Direction
from lib.webhooks.payload import (
    EVENT_KEYS,
    ITEM_KEYS,
    TEST_ENTRY_ID,
    TEST_MID,
    TEST_PARTIES,
    JsonObject,
    flag,
    party_id,
    time_ms,
)


class ItemContext(NamedTuple):
    """Where an item was found. `fallback_ms` is its time when it names none itself; `raw` what to keep."""

    account_id: str | None
    received_at: int
    fallback_ms: int
    raw: JsonObject
    standby: bool = False


class Base(TypedDict):
    """What every event has but its id; see `events.EventBase`."""

    account_id: str
    contact_id: str | None
    direction: Direction
    occurred_at: int
    received_at: int
    raw: dict[str, Any]
    standby: bool
    is_test: bool
    is_self: bool


class ParsedItem(NamedTuple):
    """An item taken apart: `body` is what it holds under `key`."""

    key: str
    body: JsonObject
    item: JsonObject
    origin: ids.Origin
    base: Base


def wraps_messaging(value: JsonObject) -> bool:
    """Whether the value of a change is a messaging item: the dashboard, and some apps, get them so.

    By its parties or by what it is about, for a test of the dashboard lacks the one, a new event the other.
    """
    return any(isinstance(value.get(key), dict) for key in ("sender", "recipient", *EVENT_KEYS))


def resolve(item: JsonObject, place: ItemContext) -> ParsedItem:
    key, body = _topic_of(item)
    sender, recipient = party_id(item.get("sender")), party_id(item.get("recipient"))
    is_self = flag(item.get("is_self")) or flag(body.get("is_self"))
    # The flags are for where `entry.id` is the account's app-scoped id, and matches no party.
    by_account = is_self or flag(body.get("is_echo")) or (sender is not None and sender == place.account_id)
    direction: Direction = "outbound" if by_account else "inbound"
    account_id = place.account_id or (recipient if direction == "inbound" else sender) or ids.ABSENT
    at_ms = time_ms(item.get("timestamp"))
    base = Base(
        account_id=account_id,
        contact_id=_contact(account_id, sender, recipient, direction),
        direction=direction,
        occurred_at=place.fallback_ms if at_ms is None else at_ms,
        received_at=place.received_at,
        raw=place.raw,
        standby=place.standby,
        is_test=place.account_id == TEST_ENTRY_ID or (sender, recipient) == TEST_PARTIES or body.get("mid") == TEST_MID,
        is_self=is_self,
    )
    return ParsedItem(key, body, item, ids.Origin(account_id, sender, at_ms, item), base)


def _topic_of(item: JsonObject) -> tuple[str, JsonObject]:
    """What the item is about: the first known key that holds something to read, else a name for it."""
    for key in EVENT_KEYS:
        value = item.get(key)
        if isinstance(value, dict):
            return key, value
        if key == "app_roles" and isinstance(value, list):
            return key, {}
    named = [key for key in EVENT_KEYS if item.get(key) is not None]
    others = sorted(key for key in item if key not in ITEM_KEYS and key not in EVENT_KEYS)
    return _unreadable((named or others or [""])[0]), {}


def _unreadable(key: str) -> str:
    """A topic that no builder answers to, for a key that holds nothing to read."""
    return f"?{key}"


def _contact(account_id: str, sender: str | None, recipient: str | None, direction: Direction) -> str | None:
    if sender == account_id:
        return recipient
    if recipient == account_id:
        return sender
    return sender if direction == "inbound" else recipient
