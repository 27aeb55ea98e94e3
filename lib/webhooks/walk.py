"""A webhook body → its items, one for each event, before any of them is parsed."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from lib.core.safe_json import clean
from lib.errors.exceptions import TooManyEvents
from lib.events.model import JsonObject
from lib.webhooks.payload import (
    EVENT_KEYS,
    ITEM_KEYS,
    OBJECT,
    OWN_CHANGE_FIELDS,
    is_readable,
    scalar_id,
    wraps_messaging,
)

Container: TypeAlias = Literal["messaging", "standby", "changes", "entry"]

_CONTAINERS: tuple[Container, ...] = ("messaging", "standby", "changes")
ENTRY_KEYS = frozenset({"id", "time", *_CONTAINERS})
_NOTHING: tuple[object, ...] = (None, {}, "")
_EVENT_KEYS = frozenset(EVENT_KEYS)


class Item(NamedTuple):
    """One thing a webhook says. `entry_time` is when Meta *sent* it: each redelivery has another one.

    `container` is the array that held the item, or `entry` for all the keys of an entry that we do not know. `value` is
    as clean as the body was (`core.safe_json`).
    """

    container: Container
    account_id: str | None
    entry_time: object
    value: object


def walk(payload: object, *, most: int | None = None) -> tuple[list[Item], int]:
    """Returns the items of a webhook body in order, and the count of things in it that are not ours.

    An entry gives its `messaging`, then `standby`, then `changes`, then the change that lies flat on the entry, then
    all keys of the entry that we do not know, as one item. A body is an object or, as some of Meta's pages print it,
    an array of objects. Not ours are the items of another `object`, bodies with neither our `object` nor an entry,
    keys beside `entry`, and entries that are no object.

    Raises `TooManyEvents` at the first item over `most`: a body of 4.5 MB can hold a million.
    """
    items: list[Item] = []
    ignored = 0
    for body in payload if isinstance(payload, list) else [payload]:
        if not isinstance(body, dict):
            ignored += 1
            continue
        ours, entries = body.get("object") == OBJECT, body.get("entry")
        for entry in entries if isinstance(entries, list) else []:
            if not ours or not isinstance(entry, dict):
                ignored += sum(1 for _ in _items_of(entry)) if isinstance(entry, dict) else 1
                continue
            for item in _items_of(entry):
                if len(items) == most:
                    raise TooManyEvents("$.entry", most)
                items.append(item)
        if body.keys() - {"object", "entry"} or (body and not ours and not isinstance(entries, list)):
            ignored += 1
    return items, ignored


def _items_of(entry: JsonObject) -> Iterator[Item]:
    account_id, entry_time = scalar_id(clean(entry.get("id"))), clean(entry.get("time"))
    for container in _CONTAINERS:
        found = entry.get(container)
        for value in found if isinstance(found, list) else [] if found in _NOTHING else [found]:
            for part in _parts_of_change(value) if container == "changes" else _parts_of(value):
                yield Item(container, account_id, entry_time, part)
    rest = {key: value for key, value in entry.items() if key not in ENTRY_KEYS}
    if "field" in rest:
        # Instagram Login prints comments flat on the entry (Meta, "Instagram Platform: Webhooks, examples").
        flat = {key: rest.pop(key) for key in ("field", "value") if key in rest}
        for part in _parts_of_change(flat):
            yield Item("changes", account_id, entry_time, part)
    if wraps_messaging(rest):
        for part in _parts_of(rest):
            yield Item("messaging", account_id, entry_time, part)
    elif rest:
        yield Item("entry", account_id, entry_time, rest)


def _parts_of(item: object) -> list[object]:
    """Returns one item for each thing that a messaging item is about. Nearly every item is about one thing.

    The first thing keeps the keys that we do not know. A referral beside a message or postback belongs to that one.
    """
    if not isinstance(item, dict) or len(_EVENT_KEYS & item.keys()) < 2:
        return [item]
    keys = [key for key in EVENT_KEYS if is_readable(key, item.get(key))]
    owner = next((key for key in ("message", "postback") if key in keys), None)
    referral = {"referral": item["referral"]} if owner and "referral" in keys else {}
    keys = [key for key in keys if key not in referral]
    if len(keys) < 2:
        return [item]
    shared = {key: item[key] for key in ITEM_KEYS if key in item}
    unknown = {key: value for key, value in item.items() if key not in keys and key not in referral}
    return [
        {**(shared if number else unknown), **(referral if key == owner else {}), key: item[key]}
        for number, key in enumerate(keys)
    ]


def _parts_of_change(change: object) -> list[object]:
    """Returns one change for each thing that the messaging item inside `change` is about."""
    if not isinstance(change, dict) or change.get("field") in OWN_CHANGE_FIELDS:
        return [change]
    first, *others = _parts_of(change.get("value"))
    if not others:
        return [change]
    return [{**change, "value": first}, *({"field": change.get("field"), "value": other} for other in others)]
