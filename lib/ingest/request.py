"""The bodies our own functions send each other: one event, or `{"events": [...]}`.

Pure. Knows the request's shape and its limits. Must not know what happens to the events.
"""

from typing import Annotated, TypeVar, cast

import msgspec

from lib.core.safe_json import clean, decode_json
from lib.errors.exceptions import BadJson, InvalidPayload
from lib.events.model import MAX_EVENTS_PER_REQUEST, Event

T = TypeVar("T")
_EVENT = cast("type[Event]", Event)  # a union is no `type` to the type checker, but is one to msgspec

DEFAULT_BUDGET_S = 8.0
LONGEST_BUDGET_S = 25.0


class _Batch(msgspec.Struct, frozen=True):
    events: Annotated[list[Event], msgspec.Meta(max_length=MAX_EVENTS_PER_REQUEST)]


def read_events(body: bytes) -> list[Event]:
    """The events in `body`. Raises `InvalidPayload` with the path of the first field that is wrong."""
    value = _read(body)
    if isinstance(value, dict) and "events" in value:
        return _convert(value, _Batch).events
    return [_convert(value, _EVENT)]


def read_event(body: bytes) -> Event:
    """The one event in `body`, as QStash carries it. Raises `InvalidPayload` like `read_events`."""
    return _convert(_read(body), _EVENT)


def read_budget_s(header: str | None) -> float:
    """Seconds the caller will wait, from its `X-Ingest-Budget-Ms`; the default where it says nothing usable."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 9:
        return DEFAULT_BUDGET_S
    return min(int(header) / 1000, LONGEST_BUDGET_S)


def _read(body: bytes) -> object:
    try:
        return clean(decode_json(body))
    except BadJson as error:
        raise InvalidPayload(error.path, error.message) from None


def _convert(value: object, shape: type[T]) -> T:
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        # msgspec ends its message in " - at `$.path`".
        message, _, path = str(error).partition(" - at `")
        raise InvalidPayload(path.rstrip("`") or "$", message) from None
