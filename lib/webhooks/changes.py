"""One item of `changes` to one event: comments, mentions, counts, and messaging items in a change's clothes.

Knows the fields of a change. Must not know the envelope around it, ids beyond their names, or the clock.
"""

from lib.events import ids
from lib.events.model import Comment, Event, Mention, Unknown
from lib.webhooks.messaging import parse_messaging
from lib.webhooks.participants import Base, ItemContext, wraps_messaging
from lib.webhooks.payload import (
    MAX_TOPIC_CHARS,
    TEST_ENTRY_ID,
    TEST_STORY_INSIGHTS,
    JsonObject,
    json_object,
    party_id,
    scalar_id,
    text,
    time_ms,
)

_OWN_TIMES = ("timestamp", "created_time", "created_at")


def parse_change(change: JsonObject, place: ItemContext, *, entry_time: object) -> Event:
    """The one event a clean `change` is; `Unknown` where it lacks what its kind needs. Never raises.

    A change has no time of its own by contract, so `place.fallback_ms` is the sending time where usable.
    """
    field = text(change.get("field")) or ""
    value = json_object(change.get("value")) or {}
    event: Event | None = None
    if field in ("comments", "live_comments"):
        event = _comment(value, place, is_live=field == "live_comments")
    elif field == "mentions":
        event = _mention(value, place)
    elif wraps_messaging(value):
        event = parse_messaging(value, place._replace(standby=field == "standby"))
    return event or _unknown(field, change, place, entry_time)


def _base(value: JsonObject, place: ItemContext) -> Base:
    own_ms = next((ms for key in _OWN_TIMES if (ms := time_ms(value.get(key))) is not None), None)
    return Base(
        account_id=place.account_id or ids.ABSENT,
        contact_id=None,
        direction="inbound",
        occurred_at=place.fallback_ms if own_ms is None else own_ms,
        received_at=place.received_at,
        raw=place.raw,
        standby=place.standby,
        is_test=place.account_id == TEST_ENTRY_ID,
        is_self=False,
    )


def _comment(value: JsonObject, place: ItemContext, *, is_live: bool) -> Event | None:
    """Meta's pages name the id `comment_id` or `id`, one page each; captures have `id`."""
    comment_id = scalar_id(value.get("comment_id")) or scalar_id(value.get("id"))
    if comment_id is None:
        return None
    base = _base(value, place)
    author, media = json_object(value.get("from")) or {}, json_object(value.get("media")) or {}
    author_id = party_id(author)
    base["contact_id"] = author_id
    if scalar_id(author.get("self_ig_scoped_id")) or (author_id is not None and author_id == place.account_id):
        base["direction"], base["is_self"] = "outbound", True
    return Comment(
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


def _mention(value: JsonObject, place: ItemContext) -> Event | None:
    media_id, comment_id = scalar_id(value.get("media_id")), scalar_id(value.get("comment_id"))
    if media_id is None and comment_id is None:
        return None
    base = _base(value, place)
    event_id = ids.of_mention(base["account_id"], media_id, comment_id)
    return Mention(**base, event_id=event_id, media_id=media_id, comment_id=comment_id)


def _unknown(field: str, change: JsonObject, place: ItemContext, entry_time: object) -> Event:
    value = json_object(change.get("value")) or {}
    base = _base(value, place)
    # The dashboard's tests: its fixed counts, and its message of 2021 that has neither mid nor sender.
    base["is_test"] |= value == TEST_STORY_INSIGHTS or (
        field == "messages" and "event_type" in value and "event_data" in value
    )
    media_id = scalar_id(value.get("media_id")) if field == "story_insights" else None
    if media_id is not None:
        event_id = ids.of_story_insights(media_id, scalar_id(entry_time))
    else:
        event_id = ids.of_unknown(base["account_id"], change)
    return Unknown(**base, event_id=event_id, topic=field[:MAX_TOPIC_CHARS] or None)
