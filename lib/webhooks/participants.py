"""Who is who in an item of `messaging`, what the item is about, and when it happened."""

from typing import Any, NamedTuple, NotRequired, TypedDict

from lib.events import ids
from lib.events.model import Direction, JsonObject, Kind
from lib.webhooks.payload import (
    EVENT_KEYS,
    ITEM_KEYS,
    TEST_ENTRY_ID,
    TEST_MID,
    TEST_PARTIES,
    flag,
    is_readable,
    party_id,
    time_ms,
)


class ItemContext(NamedTuple):
    """Where an item was found. `fallback_ms` is its time if it names none itself; `raw` is what to keep."""

    account_id: str | None
    received_at: int
    fallback_ms: int
    raw: JsonObject
    standby: bool = False

    def under(self, *, standby: bool) -> "ItemContext":
        """Returns the context of an item under `standby`, or not."""
        return self._replace(standby=standby)


class Base(TypedDict):
    """The fields of every event but its kind and id; see `events.model.EventBase`. A flag is there if it is set."""

    account_id: str
    contact_id: str | None
    direction: Direction
    occurred_at: int
    received_at: int
    raw: dict[str, Any]
    standby: NotRequired[bool]
    is_test: NotRequired[bool]
    is_self: NotRequired[bool]


class ParsedItem(NamedTuple):
    """An item, resolved. `body` is the value under `key`; `at_ms` is the item's own timestamp."""

    key: str
    body: JsonObject
    item: JsonObject
    sender_id: str | None
    at_ms: int | None
    base: Base

    @property
    def account_id(self) -> str:
        """Our account."""
        return self.base["account_id"]


def told(*, kind: Kind, event_id: str, **fields: object) -> JsonObject:
    """Returns an event as it travels: the JSON of one of the models of `lib.events.model`.

    The internal endpoint validates it. To make a model of it here, and JSON of the model again, would take a third of
    the processor time of a webhook of a hundred events.
    """
    return {"kind": kind, "event_id": event_id, **fields}


def resolve(item: JsonObject, context: ItemContext) -> ParsedItem:
    """Returns who is who in `item`, and what it is about."""
    key, body = _topic_of(item)
    sender, recipient = party_id(item.get("sender")), party_id(item.get("recipient"))
    is_self = flag(item.get("is_self")) or flag(body.get("is_self"))
    # The flags matter where `entry.id` is the account's app-scoped id, which matches no party.
    by_account = is_self or flag(body.get("is_echo")) or (sender is not None and sender == context.account_id)
    direction: Direction = "outbound" if by_account else "inbound"
    account_id = context.account_id or (recipient if direction == "inbound" else sender) or ids.ABSENT
    at_ms = time_ms(item.get("timestamp"))
    is_test = context.account_id == TEST_ENTRY_ID or (sender, recipient) == TEST_PARTIES or body.get("mid") == TEST_MID
    base: Base = {
        "account_id": account_id,
        "contact_id": _contact(account_id, sender, recipient, direction),
        "direction": direction,
        "occurred_at": context.fallback_ms if at_ms is None else at_ms,
        "received_at": context.received_at,
        "raw": context.raw,
    }
    if context.standby:
        base["standby"] = True
    if is_test:
        base["is_test"] = True
    if is_self:
        base["is_self"] = True
    return ParsedItem(key, body, item, sender, at_ms, base)


def _topic_of(item: JsonObject) -> tuple[str, JsonObject]:
    """Returns the first known key that holds something to read, with its value; else a name for the item."""
    for key in EVENT_KEYS:
        value = item.get(key)
        if is_readable(key, value):
            return key, value if isinstance(value, dict) else {}
    named = [key for key in EVENT_KEYS if item.get(key) is not None]
    others = sorted(key for key in item if key not in ITEM_KEYS and key not in EVENT_KEYS)
    return _unreadable((named or others or [""])[0]), {}


def _unreadable(key: str) -> str:
    """Returns a topic that no builder answers to, for a key that holds nothing to read."""
    return f"?{key}"


def _contact(account_id: str, sender: str | None, recipient: str | None, direction: Direction) -> str | None:
    if sender == account_id:
        return recipient
    if recipient == account_id:
        return sender
    return sender if direction == "inbound" else recipient
