"""A webhook body to events: the way in.

Knows the envelope and hands each item to who can read it. Must not know HTTP, the database or the clock:
the caller passes the time. Nothing here raises, whatever the JSON.
"""

import msgspec

from lib.core.safe_json import clean
from lib.events import ids
from lib.events.model import Event, Unknown
from lib.webhooks.changes import parse_change
from lib.webhooks.messaging import parse_messaging
from lib.webhooks.participants import ItemContext
from lib.webhooks.payload import MAX_TOPIC_CHARS, TEST_ENTRY_ID, Item, time_ms, walk


class Parsed(msgspec.Struct, frozen=True):
    """What a body holds: its events in order, and how many things in it are not ours to read."""

    events: list[Event]
    ignored: int


def parse_webhook(payload: object, *, received_at: int) -> list[Event]:
    """The events of `payload`, any JSON value, in order; `received_at` in ms since the epoch.

    One event an item of `messaging`, `standby` and `changes`. Never raises. The same body gives the same
    events, and a redelivery of it (sent at another time, batched otherwise) the same ids.
    """
    return parse_body(payload, received_at=received_at).events


def parse_body(payload: object, *, received_at: int) -> Parsed:
    """As `parse_webhook`, with the count of what was not ours: items of another `object`, and the like."""
    items, ignored = walk(payload)
    return Parsed([_event(item, received_at) for item in items], ignored)


def check_envelope(payload: object) -> str | None:
    """What is wrong with the envelope, as one line with the path; None when `parse_body` can read it.

    Only the top level and `entry` count: whatever lies deeper is kept as it is.
    """
    if isinstance(payload, list):
        return next((said for at, body in enumerate(payload) if (said := _check_body(f"$[{at}]", body))), None)
    return _check_body("$", payload, expected="an object or an array of objects")


def _check_body(path: str, body: object, *, expected: str = "an object") -> str | None:
    if not isinstance(body, dict):
        return f"{path}: expected {expected}, got {_json_type(body)}"
    if "entry" in body and not isinstance(body["entry"], list):
        return f"{path}.entry: expected an array, got {_json_type(body['entry'])}"
    return None


def _json_type(value: object) -> str:
    names: dict[type, str] = {dict: "object", list: "array", str: "string", bool: "boolean"}
    return "null" if value is None else names.get(type(value), "number")


def _event(item: Item, received_at: int) -> Event:
    readable = isinstance(item.value, dict)
    raw = clean(item.value if readable else {"value": item.value})
    standby = item.container == "standby"
    if item.container in ("messaging", "standby"):
        place = ItemContext(item.account_id, received_at, received_at, raw, standby)
        if readable:
            return parse_messaging(raw, place)
    else:
        place = ItemContext(item.account_id, received_at, time_ms(item.entry_time) or received_at, raw)
        if readable and item.container == "changes":
            return parse_change(raw, place, entry_time=item.entry_time)
    return _unknown(place, topic=min(raw) if item.container == "entry" else None)


def _unknown(place: ItemContext, *, topic: str | None) -> Event:
    """Something that is no item at all; kept, so that nothing Meta says is lost."""
    account_id = place.account_id or ids.ABSENT
    return Unknown(
        event_id=ids.of_unknown(account_id, place.raw),
        account_id=account_id,
        occurred_at=place.fallback_ms,
        received_at=place.received_at,
        raw=place.raw,
        standby=place.standby,
        is_test=account_id == TEST_ENTRY_ID,
        topic=topic[:MAX_TOPIC_CHARS] if topic else None,
    )
