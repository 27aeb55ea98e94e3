"""The message of a reply, as the Send API takes it: a text with or without quick replies, or one attachment.

Source: Meta, "Send messages" and "Quick Replies". The database checks what a rule may contain (`reply_rules`).
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from lib.core.model import Model
from lib.replies.text_limit import bound_text

AttachmentType: TypeAlias = Literal["image", "video", "audio", "file", "MEDIA_SHARE"]

_PLACEHOLDER = re.compile(r"\{(name|first_name|username)\}")


class Choice(Model):
    """A quick reply: `title` is what the person reads, `payload` is what comes back when it is tapped."""

    title: str
    payload: str


class Attachment(Model):
    """A file by its public `url`, or by its `id`: an image uploaded to Meta, or an own post (`MEDIA_SHARE`)."""

    type: AttachmentType
    url: str | None = None
    id: str | None = None


def text_message(text: str, choices: list[Choice]) -> dict[str, Any]:
    """Returns the message of a text, with its placeholders not filled in."""
    if not choices:
        return {"text": text}
    quick_replies = [{"content_type": "text", **choice.model_dump()} for choice in choices]
    return {"text": text, "quick_replies": quick_replies}


def attachment_message(attachment: Attachment) -> dict[str, Any]:
    """Returns the message of an attachment. Meta wants an image in an array, and every other type alone."""
    id_name = "id" if attachment.type == "MEDIA_SHARE" else "attachment_id"
    payload = {"url": attachment.url} if attachment.url is not None else {id_name: attachment.id}
    item = {"type": attachment.type, "payload": payload}
    return {"attachments": [item]} if attachment.type == "image" else {"attachment": item}


def fill_in(message: Mapping[str, Any], *, name: str | None, username: str | None) -> dict[str, Any]:
    """Returns `message` for one person: with its placeholders filled in, and its text within Instagram's limit."""
    if "text" not in message:
        return dict(message)
    return {**message, "text": bound_text(render(str(message["text"]), name=name, username=username))}


def render(template: str, *, name: str | None, username: str | None) -> str:
    """Returns `template` with `{name}`, `{first_name}` and `{username}` filled in. A missing name is the username.

    Other braces stay as they are: a reply is the user's text, not a program.
    """
    full = (name or username or "").strip()
    values = {"name": full, "first_name": full.split(" ")[0], "username": (username or full).strip()}
    return _PLACEHOLDER.sub(lambda found: values[found.group(1)], template)
