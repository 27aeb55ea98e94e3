"""One reply as the Send API takes it: a text, with quick replies under it, or one attachment; never both.

Pure. Source: Meta, "Send messages" and "Quick Replies". What a rule may ask for is checked where it is written
(`reply_rules`). Must not know why somebody is answered.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from lib.replies.text_limit import bound_text

AttachmentType: TypeAlias = Literal["image", "video", "audio", "file", "MEDIA_SHARE"]

_PLACEHOLDER = re.compile(r"\{(name|first_name|username)\}")


class Choice(msgspec.Struct, frozen=True):
    """A quick reply: what the person reads, and what comes back when it is tapped."""

    title: str
    payload: str


class Attachment(msgspec.Struct, frozen=True):
    """A file by its public `url`; or by its `id`: an image uploaded to Meta, an own post (`MEDIA_SHARE`)."""

    type: AttachmentType
    url: str | None = None
    id: str | None = None


def text_message(text: str, choices: list[Choice]) -> dict[str, Any]:
    """The message of a text, placeholders and all."""
    if not choices:
        return {"text": text}
    quick_replies = [{"content_type": "text", **msgspec.to_builtins(choice)} for choice in choices]
    return {"text": text, "quick_replies": quick_replies}


def attachment_message(attachment: Attachment) -> dict[str, Any]:
    """The message of an attachment. Meta wants images in an array, everything else alone."""
    id_name = "id" if attachment.type == "MEDIA_SHARE" else "attachment_id"
    payload = {"url": attachment.url} if attachment.url is not None else {id_name: attachment.id}
    item = {"type": attachment.type, "payload": payload}
    return {"attachments": [item]} if attachment.type == "image" else {"attachment": item}


def filled_in(message: Mapping[str, Any], *, name: str | None, username: str | None) -> dict[str, Any]:
    """`message` for one person: its placeholders filled in, its text inside Instagram's limit."""
    if "text" not in message:
        return dict(message)
    return {**message, "text": bound_text(render(str(message["text"]), name=name, username=username))}


def render(template: str, *, name: str | None, username: str | None) -> str:
    """`template` with `{name}`, `{first_name}` and `{username}` filled in; a missing name is the username.

    Other braces stay as they are: a reply is the user's text, not a program.
    """
    full = (name or username or "").strip()
    values = {"name": full, "first_name": full.split(" ")[0], "username": (username or full).strip()}
    return _PLACEHOLDER.sub(lambda found: values[found.group(1)], template)
