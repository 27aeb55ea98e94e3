"""Our own closed set of events: what travels through QStash, and what the consumer understands."""

from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import Field, TypeAdapter, ValidationError

from lib.core.model import Model, invalid_payload

Kind: TypeAlias = Literal[
    "message",
    "echo",
    "unsend",
    "edit",
    "reaction",
    "postback",
    "read",
    "referral",
    "optin",
    "handover",
    "comment",
    "mention",
    "unknown",
]
KINDS: tuple[str, ...] = get_args(Kind)

Direction: TypeAlias = Literal["inbound", "outbound"]
Via: TypeAlias = Literal["queue", "direct", "replay"]
"""The path an event took: QStash, direct processing, or the archive."""

MAX_EVENTS_PER_REQUEST = 1000
"""The most events in one webhook body (Meta, "Webhooks from Meta": at most 1000 updates a POST)."""

EventId: TypeAlias = Annotated[str, Field(pattern=r"^[!-~]{1,512}$")]
"""Printable ASCII without spaces: it is a header value (`Upstash-Deduplication-Id`) and the key of a btree."""

Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=512)]
Milliseconds: TypeAlias = Annotated[int, Field(ge=0, le=4_102_444_800_000)]
"""Milliseconds since the epoch, up to the year 2100."""

Int32: TypeAlias = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
JsonObject: TypeAlias = dict[str, Any]


class Story(Model):
    """The story that a message answers. `url` is a CDN link that ends with the story, after about 24 hours."""

    id: str | None = None
    url: str | None = None


class ReplyTo(Model):
    """What a message answers: another message (`mid`), a story, or both."""

    mid: str | None = None
    story: Story | None = None


class QuickReply(Model):
    """The quick reply that a person tapped: the developer's own `payload`."""

    payload: str | None = None


class EventBase(Model):
    """The fields of every event.

    `event_id` and `account_id` together are the idempotency key. `account_id` is our Instagram account (`entry.id`).
    `contact_id` is the IGSID of the other side, if the payload names one. `occurred_at` and `received_at` are
    milliseconds since the epoch; they are equal if Meta gives no usable time. `raw` is the messaging or changes item as
    received, or the part of it that this event is about.
    """

    event_id: EventId
    account_id: Id
    contact_id: Id | None = None
    direction: Direction = "inbound"
    occurred_at: Milliseconds
    received_at: Milliseconds
    raw: JsonObject
    standby: bool = Field(
        default=False, description="The item came under `standby`: another app owns the thread, and we must not answer."
    )
    is_test: bool = Field(default=False, description='The dashboard\'s "Test" button sent it.')
    is_self: bool = Field(default=False, description="The account wrote to, or commented on, itself.")


class MessageContent(EventBase):
    """The fields that a message and its echo share. `attachments` and `referral` are Meta's own, verbatim."""

    mid: Id
    text: str | None = None
    attachments: list[JsonObject] = Field(default_factory=list, json_schema_extra={"default": []})
    reply_to: ReplyTo | None = None
    quick_reply: QuickReply | None = None
    referral: JsonObject | None = None
    is_unsupported: bool = False
    is_ephemeral: bool = False


class Message(MessageContent):
    """A person wrote to the account."""

    kind: Literal["message"]
    is_echo: ClassVar[bool] = False


class Echo(MessageContent):
    """The account wrote to a person, from the app, the web or any API client."""

    kind: Literal["echo"]
    is_echo: ClassVar[bool] = True


class Unsend(EventBase):
    """The author removed the message `mid` (`is_deleted`)."""

    kind: Literal["unsend"]
    is_deleted: ClassVar[bool] = True
    mid: Id
    is_echo: bool = False


class Edit(EventBase):
    """The text of `mid` was changed for the `num_edit`-th time.

    Edits with `num_edit` 0 and no `text` are common, and are no edit by a person. `num_edit` is None if Meta sent no
    number.
    """

    kind: Literal["edit"]
    mid: Id
    text: str | None = None
    num_edit: Int32 | None = None


class Reaction(EventBase):
    """`actor_id` reacted to `mid`, or took the reaction back. `reaction` is Meta's name for it."""

    kind: Literal["reaction"]
    mid: Id
    action: Literal["react", "unreact"]
    actor_id: Id
    reaction: str | None = None
    emoji: str | None = None


class Postback(EventBase):
    """A person tapped a button, an ice breaker or a menu entry. Old subscriptions send no `mid`."""

    kind: Literal["postback"]
    mid: str | None = None
    title: str | None = None
    payload: str | None = None
    referral: JsonObject | None = None


class Read(EventBase):
    """The contact has read up to our message `mid`, or up to `watermark` (milliseconds since the epoch)."""

    kind: Literal["read"]
    mid: str | None = None
    watermark: Milliseconds | None = None


class Referral(EventBase):
    """A person came back to a thread through a link, an ad or a shop. `referral` is Meta's own, verbatim."""

    kind: Literal["referral"]
    referral: JsonObject
    ref: str | None = None
    source: str | None = None
    type: str | None = None


class Optin(EventBase):
    """A person opted in. The send token inside `raw` is a secret: never log it."""

    kind: Literal["optin"]
    type: str | None = None
    ref: str | None = None
    payload: str | None = None


class Handover(EventBase):
    """The thread changed hands between apps, or the roles of the app changed."""

    kind: Literal["handover"]
    action: Literal["pass", "take", "request", "app_roles"]
    new_owner_app_id: str | None = None
    previous_owner_app_id: str | None = None
    requested_owner_app_id: str | None = None
    metadata: str | None = None


class Comment(EventBase):
    """A comment on a post, a reel or a live broadcast (`is_live`). `contact_id` is its author."""

    kind: Literal["comment"]
    comment_id: Id
    text: str | None = None
    username: str | None = None
    parent_id: str | None = None
    media_id: str | None = None
    media_product_type: str | None = None
    ad_id: str | None = None
    is_live: bool = False


class Mention(EventBase):
    """The account was @mentioned in a caption or comment. The payload has no author and no text."""

    kind: Literal["mention"]
    media_id: str | None = None
    comment_id: str | None = None


class Unknown(EventBase):
    """An item that we keep and do not act on. `topic` is its key or field: `delivery`, `story_insights`, …"""

    kind: Literal["unknown"]
    topic: str | None = None


Event: TypeAlias = (
    Message
    | Echo
    | Unsend
    | Edit
    | Reaction
    | Postback
    | Read
    | Referral
    | Optin
    | Handover
    | Comment
    | Mention
    | Unknown
)
AnyEvent: TypeAlias = Annotated[Event, Field(discriminator="kind")]
"""`Event` as a type that pydantic tells apart by `kind`."""


@cache
def _adapter() -> TypeAdapter[Event]:
    return TypeAdapter(AnyEvent)


@cache
def _encoder(kind: type[Event]) -> TypeAdapter[Event]:
    return TypeAdapter(kind)


def encode(event: Event) -> bytes:
    """Returns the event as one JSON object in UTF-8, without the fields that have their default."""
    return _encoder(type(event)).dump_json(event, exclude_defaults=True)


def as_json(event: Event) -> JsonObject:
    """Returns the event as `encode` writes it, decoded."""
    return event.model_dump(exclude_defaults=True)


def decode(body: bytes) -> Event:
    """Returns the event in `body`. Raises `InvalidPayload` with the path of the first field that is wrong."""
    try:
        return _adapter().validate_json(body)
    except ValidationError as error:
        raise invalid_payload(error, tags=KINDS) from None


def event_of(value: object) -> Event:
    """Returns the event in a decoded JSON `value`. Raises `InvalidPayload` like `decode`."""
    try:
        return _adapter().validate_python(value)
    except ValidationError as error:
        raise invalid_payload(error, tags=KINDS) from None
