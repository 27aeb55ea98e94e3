"""The Send API: its checks of a body, and the message that a good body becomes.

Source: Meta, "Send messages" and "Private replies".
"""

import json
from dataclasses import dataclass

from dev.graph import refusals
from dev.graph.mids import new_mid
from dev.graph.refusals import RefusedError, invalid_parameter
from dev.graph.world import Account, SentMessage, World

MAX_TEXT_BYTES = 1000
_SENDER_ACTIONS = ("typing_on", "typing_off", "mark_seen", "react", "unreact")


@dataclass(frozen=True, slots=True)
class Recipient:
    igsid: str
    comment_id: str | None


def accept(world: World, account: Account, body: object, *, now_ns: int) -> SentMessage | Recipient:
    """Returns the message and keeps it in `world`, or returns the recipient if the body is a sender action.

    Raises `RefusedError` with Meta's answer to a body that breaks the rules.
    """
    if not isinstance(body, dict):
        raise RefusedError(invalid_parameter("The parameter recipient is required"))
    recipient = _recipient(world, body.get("recipient"))
    if refusal := refusals.of_person(recipient.igsid):
        raise RefusedError(refusals.NOT_FOUND if refusal is refusals.USER_GONE else refusal)
    if body.get("tag") not in (None, "HUMAN_AGENT"):
        raise RefusedError(invalid_parameter("Param tag is not supported"))
    if "sender_action" in body:
        if body["sender_action"] not in _SENDER_ACTIONS:
            raise RefusedError(invalid_parameter("Param sender_action must be one of the supported values"))
        return recipient
    message = _message(body.get("message"))
    if recipient.comment_id and any(sent.comment_id == recipient.comment_id for sent in world.sent):
        raise RefusedError(refusals.ALREADY_REPLIED)
    sent = SentMessage(
        message_id=new_mid(account.user_id, recipient.igsid, now_us=now_ns // 1000),
        account_id=account.user_id,
        recipient_id=recipient.igsid,
        comment_id=recipient.comment_id,
        message=message,
        sent_at_ms=now_ns // 1_000_000,
    )
    world.sent.append(sent)
    return sent


def addressee(world: World, body: bytes) -> str:
    """Returns the id of the recipient, whatever else is wrong with the body, or ""."""
    try:
        return _recipient(world, json.loads(body)["recipient"]).igsid
    except (ValueError, LookupError, TypeError, RefusedError):
        return ""


def _recipient(world: World, recipient: object) -> Recipient:
    if isinstance(recipient, dict) and len(recipient) == 1:
        match recipient:
            case {"id": str(igsid)} if igsid.isdigit():
                return Recipient(igsid, None)
            case {"id": str()}:
                raise RefusedError(refusals.NOT_FOUND)
            case {"comment_id": str(comment_id)} if comment_id:
                return Recipient(world.commenter(comment_id), comment_id)
    raise RefusedError(invalid_parameter("Param recipient must be an object with either id or comment_id"))


def _message(message: object) -> dict[str, object]:
    if not isinstance(message, dict):
        raise RefusedError(invalid_parameter("The parameter message is required"))
    text = message.get("text")
    attached = "attachment" in message or "attachments" in message
    if attached and text is not None:
        raise RefusedError(invalid_parameter("Text and media can not be sent in one message"))
    if not attached:
        if not isinstance(text, str) or not text.strip():
            raise RefusedError(invalid_parameter("Param message[text] must be a non-empty UTF-8 encoded string"))
        # A lone surrogate counts as three bytes, as the sign that is shown in its place.
        if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
            raise RefusedError(
                invalid_parameter(f"Length of param message[text] must be less than or equal to {MAX_TEXT_BYTES}")
            )
    return message
