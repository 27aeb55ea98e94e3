"""One item of `changes` → one event: comments, mentions, story counts, and messaging items inside a change."""

from lib.events import ids
from lib.events.model import JsonObject
from lib.webhooks.messaging import parse_messaging
from lib.webhooks.participants import Base, ItemContext, told
from lib.webhooks.payload import (
    MAX_TOPIC_CHARS,
    TEST_ENTRY_ID,
    TEST_STORY_INSIGHTS,
    json_object,
    party_id,
    scalar_id,
    text,
    time_ms,
    wraps_messaging,
)

_OWN_TIMES = ("timestamp", "created_time", "created_at")


def parse_change(change: JsonObject, context: ItemContext, *, entry_time: object) -> JsonObject:
    """Returns the event in a clean `change`, or `Unknown` if it lacks a field that its kind needs. Never raises.

    Meta promises no time of its own for a change, so `context.fallback_ms` is the sending time where that is usable.
    """
    field = text(change.get("field")) or ""
    value = json_object(change.get("value")) or {}
    event: JsonObject | None = None
    if field in ("comments", "live_comments"):
        event = _comment(value, context, is_live=field == "live_comments")
    elif field == "mentions":
        event = _mention(value, context)
    elif wraps_messaging(value):
        event = parse_messaging(value, context.under(standby=field == "standby"))
    return event or _unknown(field, change, context, entry_time)


def _base(value: JsonObject, context: ItemContext) -> Base:
    own_ms = next((ms for key in _OWN_TIMES if (ms := time_ms(value.get(key))) is not None), None)
    return Base(
        account_id=context.account_id or ids.ABSENT,
        contact_id=None,
        direction="inbound",
        occurred_at=context.fallback_ms if own_ms is None else own_ms,
        received_at=context.received_at,
        raw=context.raw,
        standby=context.standby,
        is_test=context.account_id == TEST_ENTRY_ID,
        is_self=False,
    )


def _comment(value: JsonObject, context: ItemContext, *, is_live: bool) -> JsonObject | None:
    """One of Meta's pages calls the id `comment_id`, another `id`; captures have `id`."""
    comment_id = scalar_id(value.get("comment_id")) or scalar_id(value.get("id"))
    if comment_id is None:
        return None
    base = _base(value, context)
    author, media = json_object(value.get("from")) or {}, json_object(value.get("media")) or {}
    author_id = party_id(author)
    base["contact_id"] = author_id
    if scalar_id(author.get("self_ig_scoped_id")) or (author_id is not None and author_id == context.account_id):
        base["direction"], base["is_self"] = "outbound", True
    return told(
        kind="comment",
        **base,
        event_id=ids.of_comment(comment_id),
        comment_id=comment_id,
        text=text(value.get("text")),
        username=text(author.get("username")),
        parent_id=scalar_id(value.get("parent_id")),
        media_id=scalar_id(media.get("id")),
        media_product_type=text(media.get("media_product_type")),
        ad_id=scalar_id(media.get("ad_id")),
        is_live=is_live,
    )


def _mention(value: JsonObject, context: ItemContext) -> JsonObject | None:
    media_id, comment_id = scalar_id(value.get("media_id")), scalar_id(value.get("comment_id"))
    if media_id is None and comment_id is None:
        return None
    base = _base(value, context)
    event_id = ids.of_mention(base["account_id"], media_id, comment_id)
    return told(kind="mention", **base, event_id=event_id, media_id=media_id, comment_id=comment_id)


def _unknown(field: str, change: JsonObject, context: ItemContext, entry_time: object) -> JsonObject:
    value = json_object(change.get("value")) or {}
    base = _base(value, context)
    # The dashboard's tests: fixed story counts, and the message of 2021 without mid and sender.
    base["is_test"] |= value == TEST_STORY_INSIGHTS or (
        field == "messages" and "event_type" in value and "event_data" in value
    )
    media_id = scalar_id(value.get("media_id")) if field == "story_insights" else None
    if media_id is not None:
        event_id = ids.of_story_insights(media_id, scalar_id(entry_time))
    else:
        event_id = ids.of_unknown(base["account_id"], change)
    return told(kind="unknown", **base, event_id=event_id, topic=field[:MAX_TOPIC_CHARS] or None)
