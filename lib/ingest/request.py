"""What the internal endpoint takes: one event, or `{"events": [...]}`."""

from functools import cache
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from lib.core.model import Model, invalid_payload
from lib.core.safe_json import storable
from lib.errors.exceptions import BadJson, InvalidPayload, TooManyEvents
from lib.events.model import KINDS, MAX_EVENTS_PER_REQUEST, AnyEvent, Event, decode

DEFAULT_BUDGET_S = 8.0
LONGEST_BUDGET_S = 25.0


class IngestRequest(Model):
    """A batch of events."""

    events: Annotated[list[AnyEvent], Field(max_length=MAX_EVENTS_PER_REQUEST)]


@cache
def _adapter() -> TypeAdapter[IngestRequest]:
    return TypeAdapter(IngestRequest)


def read_events(body: bytes) -> list[Event]:
    """Returns the events in `body`.

    Raises `InvalidPayload` with the path of the first field that is wrong, and `TooManyEvents` over the limit.
    """
    body = _storable(body)
    if not _is_batch(body):
        return [decode(body)]
    try:
        return list(_adapter().validate_json(body).events)
    except ValidationError as error:
        # pydantic stops at the first event over the limit. One error of the list then hides those of its events.
        if any(each["type"] == "too_long" and each["loc"] == ("events",) for each in error.errors()):
            raise TooManyEvents("$.events", MAX_EVENTS_PER_REQUEST) from None
        raise invalid_payload(error, tags=KINDS) from None


def read_event(body: bytes) -> Event:
    """Returns the one event in `body`, as QStash carries it. Raises `InvalidPayload` like `read_events`."""
    return decode(_storable(body))


def read_budget_s(header: str | None) -> float:
    """Returns the seconds that the caller waits, from its `X-Ingest-Budget-Ms`, or the default if unusable."""
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 9:
        return DEFAULT_BUDGET_S
    return min(int(header) / 1000, LONGEST_BUDGET_S)


def _is_batch(body: bytes) -> bool:
    if body.startswith(b'{"events":'):
        return True
    if b'"events"' not in body:
        return False
    try:
        value = from_json(body)
    except ValueError:
        return False  # the decoder of the event says what is wrong
    return isinstance(value, dict) and "events" in value


def _storable(body: bytes) -> bytes:
    try:
        return storable(body)
    except BadJson as error:
        raise InvalidPayload(error.path, error.message) from None
