"""The messages of a conversation, as Meta shows them (Meta, "Conversations API")."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from lib.core.model import Model

MAX_MID_CHARS = 512
"""As long as an id of an event may be."""


class ConversationMessage(Model):
    """A message that we sent. `text` is empty for an attachment, whose kind the conversation does not show."""

    mid: str
    text: str
    at: datetime


def sent_by_us(messages: Iterable[Mapping[str, object]], contact_id: str) -> list[ConversationMessage]:
    """Returns those of `messages` that the account sent, without those whose sender or time is not known.

    A conversation has two sides: a message that `contact_id` did not send is ours, under whichever of our ids.
    """
    return [ours for message in messages if (ours := _ours(message, contact_id)) is not None]


def _ours(message: Mapping[str, object], contact_id: str) -> ConversationMessage | None:
    mid, sender, text = message.get("id"), message.get("from"), message.get("message", "")
    sender_id = sender.get("id") if isinstance(sender, Mapping) else None
    at = _moment(message.get("created_time"))
    if at is None or not (isinstance(mid, str) and isinstance(text, str) and isinstance(sender_id, str)):
        return None
    if not (0 < len(mid) <= MAX_MID_CHARS and sender_id) or sender_id == contact_id:
        return None
    return ConversationMessage(mid=mid, text=text, at=at)


def _moment(created_time: object) -> datetime | None:
    """Returns the time in `2026-11-24T15:47:17+0000`, as Meta writes it, or None if it is no such time."""
    try:
        moment = datetime.fromisoformat(created_time) if isinstance(created_time, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
