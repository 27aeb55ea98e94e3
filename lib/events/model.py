"""Our own closed set of events: what travels through QStash and what the consumer understands.

Knows the shape of an event and its JSON form. Must not know Meta's wire format (`payloads`, `parse`),
HTTP, the database or the clock.
"""

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import msgspec

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
Direction: TypeAlias = Literal["inbound", "outbound"]
Via: TypeAlias = Literal["queue", "direct", "replay"]
"""The path an event took: QStash, direct processing, or the archive."""

MAX_EVENTS_PER_REQUEST = 1000
"""Most events one webhook body carries (Meta, "Webhooks from Meta": at most 1000 updates a POST)."""


EventId: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,512}\Z")]
"""Printable ASCII without spaces: it travels as a header (`Upstash-Deduplication-Id`) and keys a btree."""

Id: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Milliseconds: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=4_102_444_800_000)]
"""Milliseconds since the epoch, up to the year 2100."""

Int32: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class Story(msgspec.Struct, frozen=True, omit_defaults=True):
    """The story a message answers. `url` is a CDN link that dies with the story (about 24 h)."""

    id: str | None = None
    url: str | None = None


class ReplyTo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a message answers: another message (`mid`), a story, or both."""

    mid: str | None = None
    story: Story | None = None


class QuickReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The quick reply a person tapped: the developer's own `payload`."""

    payload: str | None = None


class EventBase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """What every event has.

    `event_id` is the idempotency key and the QStash deduplication id. `account_id` is our Instagram
    account (`entry.id`), `contact_id` the other side's IGSID where the payload names one. `occurred_at`
    and `received_at` are milliseconds since the epoch; where Meta gives no usable time the two are equal.
    `raw` is the one messaging or changes item as received.
    """

    kind: ClassVar[Kind]

    event_id: EventId
    account_id: Id
    contact_id: Id | None = None
    direction: Direction = "inbound"
    occurred_at: Milliseconds
    received_at: Milliseconds
    raw: dict[str, Any]
    standby: bool = False
    """The item came under `standby`: another app owns the thread, and we must not answer."""
    is_test: bool = False
    """The dashboard's "Test" button sent it."""
    is_self: bool = False
    """The account wrote to, or commented on, itself."""


class MessageContent(EventBase, frozen=True, kw_only=True):
    """What a message and its echo have in common. `attachments` and `referral` are kept verbatim."""

    mid: Id
    text: str | None = None
    attachments: list[dict[str, Any]] = []
    reply_to: ReplyTo | None = None
    quick_reply: QuickReply | None = None
    referral: dict[str, Any] | None = None
    is_unsupported: bool = False
    is_ephemeral: bool = False


class Message(MessageContent, frozen=True, kw_only=True, tag="message"):
    """A person wrote to the account."""

    kind: ClassVar[Kind] = "message"
    is_echo: ClassVar[bool] = False


class Echo(MessageContent, frozen=True, kw_only=True, tag="echo"):
    """The account wrote to a person, from the app, the web or any API client."""

    kind: ClassVar[Kind] = "echo"
    is_echo: ClassVar[bool] = True


class Unsend(EventBase, frozen=True, kw_only=True, tag="unsend"):
    """The message `mid` was removed by its author (`is_deleted`)."""

    kind: ClassVar[Kind] = "unsend"
    is_deleted: ClassVar[bool] = True
    mid: Id
    is_echo: bool = False


class Edit(EventBase, frozen=True, kw_only=True, tag="edit"):
    """The text of `mid` was changed for the `num_edit`-th time.

    `num_edit` 0 without `text` is common in the wild and is not a user's edit; None where Meta sent
    something that is no number.
    """

    kind: ClassVar[Kind] = "edit"
    mid: Id
    text: str | None = None
    num_edit: Int32 | None = None


class Reaction(EventBase, frozen=True, kw_only=True, tag="reaction"):
    """`actor_id` reacted to `mid`, or took the reaction back. `reaction` is Meta's name for it."""

    kind: ClassVar[Kind] = "reaction"
    mid: Id
    action: Literal["react", "unreact"]
    actor_id: Id
    reaction: str | None = None
    emoji: str | None = None


class Postback(EventBase, frozen=True, kw_only=True, tag="postback"):
    """A button, ice breaker or menu entry was tapped. Old subscriptions send no `mid`."""

    kind: ClassVar[Kind] = "postback"
    mid: str | None = None
    title: str | None = None
    payload: str | None = None
    referral: dict[str, Any] | None = None


class Read(EventBase, frozen=True, kw_only=True, tag="read"):
    """The contact has read up to our message `mid`, or up to `watermark` (ms)."""

    kind: ClassVar[Kind] = "read"
    mid: str | None = None
    watermark: Milliseconds | None = None


class Referral(EventBase, frozen=True, kw_only=True, tag="referral"):
    """A person came back to an existing thread through a link, an ad or a shop; `referral` verbatim."""

    kind: ClassVar[Kind] = "referral"
    referral: dict[str, Any]
    ref: str | None = None
    source: str | None = None
    type: str | None = None


class Optin(EventBase, frozen=True, kw_only=True, tag="optin"):
    """A person opted in. The send token inside `raw` is a secret: never log it."""

    kind: ClassVar[Kind] = "optin"
    type: str | None = None
    ref: str | None = None
    payload: str | None = None


class Handover(EventBase, frozen=True, kw_only=True, tag="handover"):
    """The thread changed hands between apps, or the app's roles changed."""

    kind: ClassVar[Kind] = "handover"
    action: Literal["pass", "take", "request", "app_roles"]
    new_owner_app_id: str | None = None
    previous_owner_app_id: str | None = None
    requested_owner_app_id: str | None = None
    metadata: str | None = None


class Comment(EventBase, frozen=True, kw_only=True, tag="comment"):
    """A comment on a post, a reel or a live broadcast (`is_live`). `contact_id` is its author."""

    kind: ClassVar[Kind] = "comment"
    comment_id: Id
    text: str | None = None
    username: str | None = None
    parent_id: str | None = None
    media_id: str | None = None
    media_product_type: str | None = None
    ad_id: str | None = None
    is_live: bool = False


class Mention(EventBase, frozen=True, kw_only=True, tag="mention"):
    """The account was @mentioned in a caption or comment; the payload has no author and no text."""

    kind: ClassVar[Kind] = "mention"
    media_id: str | None = None
    comment_id: str | None = None


class Unknown(EventBase, frozen=True, kw_only=True, tag="unknown"):
    """Something we keep and do not act on. `topic` is its key or field: `delivery`, `story_insights`, …"""

    kind: ClassVar[Kind] = "unknown"
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


def encode(event: Event) -> bytes:
    """The event as one JSON object, UTF-8, with `kind` as its tag; what QStash carries."""
    return msgspec.json.encode(event)


def decode(body: bytes) -> Event:
    """The event in `body`.

    Raises `msgspec.DecodeError` for what is not JSON and `msgspec.ValidationError` (its subclass) for
    what is not an event; the message of the latter ends in the path of the field.
    """
    return _DECODER.decode(body)


_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
