"""Meta's wire format: the envelope, the names in it, and readers that forgive every shape.

Knows the JSON Meta posts (Meta, "Webhooks from Meta" and "Instagram Platform: Webhooks"). Must not know
our events, their ids, or the clock. The readers take clean values (`lib.clean`) and never raise.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeAlias

from lib.core.safe_json import clean

JsonObject: TypeAlias = dict[str, Any]
Container: TypeAlias = Literal["messaging", "standby", "changes", "entry"]

OBJECT = "instagram"

EVENT_KEYS = (
    "message",
    "message_edit",
    "reaction",
    "postback",
    "read",
    "referral",
    "optin",
    "pass_thread_control",
    "take_thread_control",
    "request_thread_control",
    "app_roles",
    "policy_enforcement",
    "response_feedback",
    "delivery",
)
"""What a messaging item may be about, first wins: a message that also names a referral is a message."""

ITEM_KEYS = frozenset({"sender", "recipient", "timestamp", "is_self"})
"""What a messaging item has besides the thing it is about."""

TEST_ENTRY_ID = "0"
TEST_PARTIES = ("12334", "23245")
TEST_MID = "random_mid"
TEST_STORY_INSIGHTS: JsonObject = {
    "media_id": "17887498072083520",
    "impressions": 444,
    "reach": 44,
    "taps_forward": 4,
    "taps_back": 3,
    "exits": 3,
    "replies": 0,
}
"""What the App Dashboard's "Test" button sends, the same for everybody."""

MAX_ID_BYTES = 512
"""Three times what Meta's longest ids have, and three of them fit one key of a Postgres index (2704 bytes)."""

MAX_TOPIC_CHARS = 255

_LAST_SECOND = 4_102_444_800  # 2100-01-01; no plausible time in seconds is greater, and any in ms is
_LAST_MS = _LAST_SECOND * 1000
_NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?", re.ASCII)
_DIGITS = re.compile(r"\d{1,10}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_COUNT = 2**31 - 1
_MAX_ISO_CHARS = 40


class Item(NamedTuple):
    """One thing a webhook says. `entry_time` is when Meta *sent* it: another one at each redelivery.

    `container` is the array it came in; `entry` for an entry that has none of the arrays we know.
    `value` is as received, not yet clean.
    """

    container: Container
    account_id: str | None
    entry_time: object
    value: object


def walk(payload: object) -> tuple[list[Item], int]:
    """Every item of a webhook body in order, and how many things in it are none of ours.

    An entry gives its `messaging`, then `standby`, then `changes`, then what lies flat on it. A body is an
    object or, as some of Meta's pages print it, an array of such. Not ours are the items of another
    `object`, bodies with neither our `object` nor an entry, and entries that are no object.
    """
    items: list[Item] = []
    ignored = 0
    for body in payload if isinstance(payload, list) else [payload]:
        if not isinstance(body, dict):
            ignored += 1
            continue
        ours = body.get("object") == OBJECT
        entries = body.get("entry")
        if not isinstance(entries, list):
            ignored += bool(body) and not ours
            continue
        for entry in entries:
            found = list(_items_of(entry)) if isinstance(entry, dict) else []
            if ours and isinstance(entry, dict):
                items += found
            else:
                ignored += len(found) if isinstance(entry, dict) else 1
    return items, ignored


def _items_of(entry: JsonObject) -> Iterator[Item]:
    account_id, entry_time = scalar_id(clean(entry.get("id"))), clean(entry.get("time"))
    containers: tuple[Container, ...] = ("messaging", "standby", "changes")
    for container in containers:
        found = entry.get(container)
        for value in found if isinstance(found, list) else [found] if found else []:
            yield Item(container, account_id, entry_time, value)
    if "field" in entry:
        # Instagram Login prints comments flat on the entry (Meta, "Instagram Platform: Webhooks, examples").
        flat = {key: entry[key] for key in ("field", "value") if key in entry}
        yield Item("changes", account_id, entry_time, flat)
    elif not any(container in entry for container in containers):
        rest = {key: value for key, value in entry.items() if key not in ("id", "time")}
        if rest:
            yield Item("entry", account_id, entry_time, rest)


def scalar_id(value: object) -> str | None:
    """An id as a string: a 2021 capture has JSON numbers. None when empty, too long, or no scalar."""
    if isinstance(value, str):
        fits = len(value) <= MAX_ID_BYTES and (value.isascii() or len(value.encode()) <= MAX_ID_BYTES)
        return value if value and fits else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    digits = str(int(value))
    return digits if len(digits) <= MAX_ID_BYTES else None


def party_id(value: object) -> str | None:
    """The id of a `sender`, `recipient` or `from`; None when it names nobody."""
    return scalar_id(value.get("id")) if isinstance(value, dict) else scalar_id(value)


def text(value: object) -> str | None:
    """A string as it is, spaces and all; None for anything else."""
    return value if isinstance(value, str) else None


def json_object(value: object) -> JsonObject | None:
    """An object as it is; None for anything else."""
    return value if isinstance(value, dict) else None


def json_objects(value: object) -> list[JsonObject]:
    """The objects of an array; one object stands for an array of one."""
    if isinstance(value, dict):
        return [value]
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def flag(value: object) -> bool:
    """True for `true`, 1 and "true": a flag may also be present and false."""
    return value is True or value == 1 or (isinstance(value, str) and value.lower() == "true")


def count(value: object) -> int | None:
    """A small whole number, also as a string (`num_edit` comes both ways)."""
    if isinstance(value, str):
        value = int(value) if _DIGITS.fullmatch(value) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_COUNT:
        return None
    return value


def time_ms(value: object) -> int | None:
    """A time in milliseconds since the epoch, or None where it is unusable: not after 1970, past 2099.

    Meta writes milliseconds in `messaging`, seconds in `changes`, seconds in a string from the dashboard,
    and ISO 8601 (`2021-09-08T06:34:04+0000`) in older bodies; the magnitude tells seconds from milliseconds.
    """
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return _within_range(_iso_ms(value))
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LAST_MS:
        return None
    return _within_range(round(value if value > _LAST_SECOND else value * 1000))


def _iso_ms(value: str) -> int:
    if len(value) > _MAX_ISO_CHARS:
        return 0
    try:
        moment = datetime.fromisoformat(value)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (aware - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return 0


def _within_range(ms: int) -> int | None:
    return ms if 0 < ms <= _LAST_MS else None
