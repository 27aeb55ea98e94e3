"""Meta's wire format: the envelope, the names in it, and tolerant readers.

Source: Meta, "Webhooks from Meta" and "Instagram Platform: Webhooks". Only the envelope is modelled: below it Meta
sends several shapes of everything, and no shape may be refused. The readers take clean values (`core.safe_json`) and
never raise.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from lib.core.model import Model, invalid_payload
from lib.errors.exceptions import InvalidPayload
from lib.events.model import JsonObject

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
"""What a messaging item may be about. An item about several things is several events, in this order."""

ITEM_KEYS = frozenset({"sender", "recipient", "timestamp", "is_self"})
"""The fields of a messaging item beside the thing it is about."""

OWN_CHANGE_FIELDS = ("comments", "live_comments", "mentions")
"""The fields of a change whose value is no messaging item, whatever the value looks like."""

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
"""The values that the App Dashboard's "Test" button sends to everybody."""

MAX_ID_BYTES = 512
"""Three times the length of Meta's longest ids. Three such ids fit one key of a Postgres index (2704 bytes)."""

MAX_TOPIC_CHARS = 255

_LAST_SECOND = 4_102_444_800  # 2100-01-01; no plausible time in seconds is greater, and any in ms is
_LAST_MS = _LAST_SECOND * 1000
_NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?", re.ASCII)
_DIGITS = re.compile(r"\d{1,10}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_COUNT = 2**31 - 1
_MAX_ISO_CHARS = 40


class Envelope(Model):
    """One webhook body, as far as it has to have a shape. Without `entry` it holds nothing."""

    object: Any = None
    entry: list[Any] = Field(default_factory=list)


@cache
def _envelopes() -> TypeAdapter[list[Envelope]]:
    return TypeAdapter(list[Envelope])


def check_envelope(payload: object) -> None:
    """Raises `InvalidPayload`, with the path of the field, if `payload` has no envelope that `walk.walk` can read.

    Only the top level and `entry` count. Everything below is kept as it is.
    """
    if not isinstance(payload, dict | list):
        raise InvalidPayload("$", "Input should be an object or an array of objects")
    try:
        if isinstance(payload, list):
            _envelopes().validate_python(payload)
        else:
            Envelope.model_validate(payload)
    except ValidationError as error:
        raise invalid_payload(error) from None


def wraps_messaging(value: JsonObject) -> bool:
    """Returns whether an object that is no item of `messaging`, such as the value of a change, is a messaging item.

    The dashboard, and some apps, get such changes. Recognised by `sender`/`recipient` or by a known event key:
    dashboard tests lack the former, new event types the latter.
    """
    return any(isinstance(value.get(key), dict) for key in ("sender", "recipient", *EVENT_KEYS))


def is_readable(key: str, value: object) -> bool:
    """Returns whether `value` is something to read for the event key `key`."""
    return isinstance(value, dict) or (key == "app_roles" and isinstance(value, list))


def scalar_id(value: object) -> str | None:
    """Returns an id as a string (a capture of 2021 has JSON numbers), or None if empty, too long or no scalar."""
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
    """Returns the id of a `sender`, `recipient` or `from`, or None if it names nobody."""
    return scalar_id(value.get("id")) if isinstance(value, dict) else scalar_id(value)


def text(value: object) -> str | None:
    """Returns a string as it is, with its spaces, or None for anything else."""
    return value if isinstance(value, str) else None


def json_object(value: object) -> JsonObject | None:
    """Returns an object as it is, or None for anything else."""
    return value if isinstance(value, dict) else None


def json_objects(value: object) -> list[JsonObject]:
    """Returns the objects of an array. One object counts as an array of one."""
    if isinstance(value, dict):
        return [value]
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def flag(value: object) -> bool:
    """Returns whether a flag is set: `true`, 1 or "true". A flag may be present and false."""
    return value is True or value == 1 or (isinstance(value, str) and value.lower() == "true")


def count(value: object) -> int | None:
    """Returns a small whole number, or None. It may come as a string (`num_edit` comes both ways)."""
    if isinstance(value, str):
        value = int(value) if _DIGITS.fullmatch(value) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_COUNT:
        return None
    return value


def time_ms(value: object) -> int | None:
    """Returns a time in milliseconds since the epoch, or None if it is not between 1970 and 2099.

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
