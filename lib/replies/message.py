"""The message of a reply, as the Send API takes it: a text with or without quick replies, or one attachment.

Source: Meta, "Send messages" and "Quick Replies". The database checks what a rule may contain (`reply_rules`).
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from lib.core.model import Model
from lib.replies.text_limit import bound_text

AttachmentType: TypeAlias = Literal["image", "video", "audio", "file", "MEDIA_SHARE"]

_PLACEHOLDER = re.compile(r"\{(name|first_name|username)(?:\|([^{}|]*))?\}")

_NOTHING = "\x00"
"""Stands for a placeholder without a value, until the text around it is tidied. No stored text can contain it."""

_TIDY = (
    # An @ or brackets around nothing go with it.
    (re.compile(r"@\x00"), _NOTHING),
    (re.compile(r"\(\s*\x00\s*\)|\[\s*\x00\s*\]|\"\s*\x00\s*\"|“\s*\x00\s*”"), _NOTHING),
    (re.compile(r",[ \t]*\x00(?=[ \t]*,)"), ""),
    # At the start of a line its comma goes too; before a sign, or at the end, the blank before it.
    (re.compile(r"^[ \t]*(?:\x00[ \t]*[,;:]*[ \t]*)+", re.MULTILINE), ""),
    (re.compile(r"[ \t]*\x00(?=[ \t]*(?:[\x00,.!?;:)\]…]|$))", re.MULTILINE), ""),
    (re.compile(r"\x00[ \t]*"), ""),
)


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
    """Returns `message` for one person: with its placeholders filled in, and its text within Instagram's limit.

    The text may be blank then: `is_empty`.
    """
    if "text" not in message:
        return dict(message)
    return {**message, "text": bound_text(render(str(message["text"]), name=name, username=username))}


def render(template: str, *, name: str | None, username: str | None) -> str:
    """Returns `template` with `{name}`, `{first_name}` and `{username}` filled in. A missing name is the username.

    A placeholder without a value takes its default: `{first_name|there}`. Without a default it goes, with the blank and
    the brackets around it: "Hello {first_name}, …" becomes "Hello, …". Other braces stay as they are: a reply is the
    user's text, not a program.
    """
    handle = (username or "").strip()
    full = " ".join((name or "").split()) or handle
    values = {"name": full, "first_name": full.partition(" ")[0], "username": handle or full}
    text = _PLACEHOLDER.sub(lambda found: values[found[1]] or (found[2] or "").strip() or _NOTHING, template)
    if _NOTHING in text:
        for pattern, replacement in _TIDY:
            text = pattern.sub(replacement, text)
    return text


def is_empty(message: Mapping[str, Any]) -> bool:
    """Returns whether a message with a text has nothing to read in it."""
    return "text" in message and not str(message["text"]).strip()
