"""An archived item → the event that today's parser makes of it.

The archive keeps the item, but not the webhook around it: neither the entry nor the time at which Meta sent it.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from lib.core.model import Model
from lib.events.ids import ABSENT
from lib.events.model import Event, JsonObject, Unknown
from lib.webhooks.parser import parse_webhook
from lib.webhooks.payload import EVENT_KEYS, ITEM_KEYS, MAX_TOPIC_CHARS, OBJECT
from lib.webhooks.walk import ENTRY_KEYS, Container

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MESSAGING_KEYS = ITEM_KEYS.union(EVENT_KEYS)


class LedgerRow(Model):
    """The columns of `events`, beside the raw item, that are needed to parse the item again."""

    event_id: str
    kind: str
    account_id: str
    topic: str | None
    via_standby: bool
    occurred_at: datetime
    received_at: datetime
    recorded_at: datetime


class ArchivedEvent(LedgerRow):
    """A row with its raw item. The archive is ordered by `recorded_at` and `event_id`."""

    raw: dict[str, Any]


def reparse(row: ArchivedEvent) -> Event | None:
    """Returns the event in `row` by today's parser, or None if the parser understands no more than before.

    Fields the archive does not keep do not change the result. An item without a time of its own keeps the time of its
    row. An event of the same kind keeps its id, because the id may have been made of the sending time (story insights),
    of the account's other id, or of text that was unsent since.
    """
    events = parse_webhook(_webhook(row), received_at=_ms(row.occurred_at))
    if len(events) != 1:
        return None  # an unknown array can hold several items, but a row is one event
    [event] = events
    if isinstance(event, Unknown) and row.kind != "unknown":
        # A known event does not become unknown. This happens only if a caller of the ingest endpoint made up the raw
        # item of the event.
        return None
    kept = {"received_at": _ms(row.received_at)} | ({"event_id": row.event_id} if event.kind == row.kind else {})
    return event.model_copy(update=kept)


def _webhook(row: ArchivedEvent) -> JsonObject:
    """Returns a webhook body that has only the item of `row`, in the array it came in."""
    entry: JsonObject = {} if row.account_id == ABSENT else {"id": row.account_id}
    container = _container(row)
    if container == "entry":
        entry |= row.raw
    else:
        entry[container] = [_item(row)]
    return {"object": OBJECT, "entry": [entry]}


def _container(row: ArchivedEvent) -> Container:
    """Returns the array that the item of `row` came from, or one from which it is parsed in the same way."""
    if "field" in row.raw:
        return "changes"
    if row.via_standby:
        return "standby"
    if row.topic not in ITEM_KEYS and not _MESSAGING_KEYS.isdisjoint(row.raw):
        return "messaging"
    if row.topic not in {key[:MAX_TOPIC_CHARS] for key in row.raw}:
        return "changes"  # in the other arrays the topic is one of the item's own keys
    return "entry" if ENTRY_KEYS.isdisjoint(row.raw) else "messaging"


def _item(row: ArchivedEvent) -> object:
    """Returns the item as Meta sent it. The archive wraps a value that is no object into `{"value": …}`."""
    raw = row.raw
    unwrapped = row.topic is None and raw.keys() == {"value"} and not isinstance(raw["value"], dict)
    return raw["value"] if unwrapped else raw


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
