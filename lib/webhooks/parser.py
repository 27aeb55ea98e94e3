"""The items of a webhook body → events. Never raises, whatever the JSON."""

from collections.abc import Sequence

from lib.core.safe_json import clean
from lib.events import ids
from lib.events.model import Event, JsonObject, event_of
from lib.webhooks.changes import parse_change
from lib.webhooks.messaging import parse_messaging
from lib.webhooks.participants import ItemContext, told
from lib.webhooks.payload import MAX_TOPIC_CHARS, TEST_ENTRY_ID, time_ms
from lib.webhooks.walk import Item, walk


def parse_webhook(payload: object, *, received_at: int) -> list[Event]:
    """Returns the events of `payload`, any JSON value, in order. `received_at` is in ms since the epoch.

    Each item of `messaging`, `standby` and `changes` is one event, and so are the keys of an entry that we do not know.
    An item about several things is several events. Never raises. The same body gives the same events. A redelivery,
    sent at another time and in another batch, gives the same ids.
    """
    items, _ignored = walk(payload)
    events = parse_items([item._replace(value=clean(item.value)) for item in items], received_at=received_at)
    return [event_of(event) for event in events]


def parse_items(items: Sequence[Item], *, received_at: int) -> list[JsonObject]:
    """Returns the event of each clean item, as the JSON that `events.model.decode` reads. Never raises."""
    return [_event(item, received_at) for item in items]


def _event(item: Item, received_at: int) -> JsonObject:
    readable = isinstance(item.value, dict)
    raw: JsonObject = item.value if isinstance(item.value, dict) else {"value": item.value}
    standby = item.container == "standby"
    if item.container in ("messaging", "standby"):
        context = ItemContext(item.account_id, received_at, received_at, raw, standby)
        if readable:
            return parse_messaging(raw, context)
    else:
        context = ItemContext(item.account_id, received_at, time_ms(item.entry_time) or received_at, raw)
        if readable and item.container == "changes":
            return parse_change(raw, context, entry_time=item.entry_time)
    return _unknown(context, topic=min(raw) if item.container == "entry" else None)


def _unknown(context: ItemContext, *, topic: str | None) -> JsonObject:
    """Returns an event for a value that is no item at all, so that nothing from Meta is lost."""
    account_id = context.account_id or ids.ABSENT
    return told(
        kind="unknown",
        event_id=ids.of_unknown(account_id, context.raw),
        account_id=account_id,
        occurred_at=context.fallback_ms,
        received_at=context.received_at,
        raw=context.raw,
        standby=context.standby,
        is_test=account_id == TEST_ENTRY_ID,
        topic=topic[:MAX_TOPIC_CHARS] if topic else None,
    )
