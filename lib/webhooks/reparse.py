"""The raw archive: what a row of it is, and what the parser of today makes of it.

Pure. Knows what the archive does not keep of a webhook (the entry around an item, and when it was sent) and how
to do without it. Must not know the database, nor what becomes of what was read.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from lib.core.model import Model
from lib.events.ids import ABSENT
from lib.events.model import Event, JsonObject, Unknown
from lib.webhooks.parser import parse_webhook
from lib.webhooks.payload import EVENT_KEYS, ITEM_KEYS, OBJECT, Container

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF_MESSAGING = ITEM_KEYS.union(EVENT_KEYS)
_OF_ENTRY = frozenset({"id", "time", "messaging", "standby", "changes"})


class LedgerRow(Model):
    """What a row of `events` says beside its raw item, as far as it takes to read the item again."""

    event_id: str
    kind: str
    account_id: str
    topic: str | None
    via_standby: bool
    occurred_at: datetime
    received_at: datetime
    recorded_at: datetime


class ArchivedEvent(LedgerRow):
    """A row with its raw item. `recorded_at` and `event_id` are its place in the archive's order."""

    raw: dict[str, Any]


def reparse(row: ArchivedEvent) -> Event | None:
    """The one event that `row` is to the parser now; None where it is no better understood than before.

    Nothing moves for what the archive has lost. An item without a time of its own stays where it was: it got the
    sending time, or the time it came in. And an event that is of the same kind as before keeps its id: an id may
    have been made with the sending time (story insights), with the account's other id, or with words that an
    unsend has taken out since.
    """
    events = parse_webhook(_webhook(row), received_at=_ms(row.occurred_at))
    if len(events) != 1:
        return None  # an array that nobody knew, and that holds several items: a row is one event
    [event] = events
    if isinstance(event, Unknown) and row.kind != "unknown":
        # What was understood once is not forgotten. Only an event that was handed to the ingest endpoint with a
        # raw item of its own making comes here.
        return None
    as_it_was = {"received_at": _ms(row.received_at)} | ({"event_id": row.event_id} if event.kind == row.kind else {})
    return event.model_copy(update=as_it_was)


def _webhook(row: ArchivedEvent) -> JsonObject:
    """A webhook body with the item of `row`, in the array it came in, and nothing else."""
    entry: JsonObject = {} if row.account_id == ABSENT else {"id": row.account_id}
    container = _container(row)
    if container == "entry":
        entry |= row.raw
    else:
        entry[container] = [_item(row)]
    return {"object": OBJECT, "entry": [entry]}


def _container(row: ArchivedEvent) -> Container:
    """Where the item of `row` came from, or where it would have been read the same way."""
    if "field" in row.raw:
        return "changes"
    if row.via_standby:
        return "standby"
    if not _OF_MESSAGING.isdisjoint(row.raw):
        return "messaging"
    if row.topic not in row.raw:
        return "changes"  # elsewhere the topic is one of the item's own names
    return "entry" if _OF_ENTRY.isdisjoint(row.raw) else "messaging"


def _item(row: ArchivedEvent) -> object:
    """The item as received: what was no object is kept as the `value` of one, and has no topic."""
    raw = row.raw
    unwrapped = row.topic is None and raw.keys() == {"value"} and not isinstance(raw["value"], dict)
    return raw["value"] if unwrapped else raw


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
