"""QStash's failure callback, an entry of its dead letter queue, or a rejected event → a dead letter.

Sources: Upstash, "Callbacks" and "DLQ". A letter has the form that the SQL function `store_dead_letter` takes.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from lib.core.model import Model, invalid_payload
from lib.errors.exceptions import InvalidPayload
from lib.errors.verdict import Verdict
from lib.events.model import Event, as_json, decode

if TYPE_CHECKING:
    from qstash.dlq import DlqMessage

MAX_FOREIGN_BODY_CHARS = 10_000
"""A message that is not one of our events is kept for people to look at, so its beginning is enough."""

_REDACTED = re.compile(r"REDACTED:[0-9a-f]{64}")


class FailureCallback(Model):
    """QStash's report that it gave up on a message (Upstash, "Callbacks"). Bodies are base64."""

    # Not strict: the documentation shows `createdAt` as a number in quotes.
    model_config = ConfigDict(strict=False, alias_generator=to_camel)

    source_message_id: str
    status: int | None = None
    body: str | None = None
    retried: int | None = None
    max_retries: int | None = None
    dlq_id: str | None = None
    url: str | None = None
    source_body: str | None = None
    created_at: int | None = None


def read_failure(body: bytes) -> dict[str, Any]:
    """Returns the dead letter in the `body` of a failure callback. Raises `InvalidPayload` if it is no callback."""
    try:
        callback = FailureCallback.model_validate_json(body)
    except ValidationError as error:
        raise invalid_payload(error) from None
    return {
        "source_message_id": callback.source_message_id,
        "dlq_id": callback.dlq_id,
        "url": callback.url,
        "status": callback.status,
        "error_code": error_code_in(_decoded(callback.body)),
        "retried": callback.retried,
        "max_retries": callback.max_retries,
        "first_tried_at": callback.created_at,
        **_of_body(_decoded(callback.source_body)),
    }


def what_failed(letter: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the log fields of a letter: which event, and why it failed. Never what a person wrote."""
    return {
        "event_id": letter.get("event_id"),
        "kind": letter.get("kind"),
        "code": letter["error_code"] or f"status_{letter['status']}",
        "source_message_id": letter["source_message_id"],
    }


def letter_of_entry(entry: "DlqMessage") -> dict[str, Any]:
    """Returns the dead letter of an entry in QStash's queue, as its failure callback would have brought it."""
    return {
        "source_message_id": entry.message_id,
        "dlq_id": entry.dlq_id,
        "url": entry.url,
        "status": entry.response_status,
        "error_code": error_code_in((entry.response_body or "").encode()),
        "max_retries": entry.max_retries,
        "first_tried_at": entry.created_at,
        **_of_body(_decoded(entry.body_base64) if entry.body is None else entry.body.encode()),
    }


def is_redacted(entry: "DlqMessage") -> bool:
    """Returns whether QStash shows a digest instead of the body (`QSTASH_REDACT_BODY`; Upstash, "Redact Fields")."""
    return _REDACTED.fullmatch(entry.body or "") is not None


def rejected_letter(event: Event, verdict: Verdict) -> dict[str, Any]:
    """Returns the dead letter of an event that direct processing refused for good. QStash never had it."""
    return {
        # QStash gave no id. The prefix keeps this id apart from those of QStash.
        "source_message_id": f"direct:{event.event_id}",
        "status": verdict.status,
        "error_code": verdict.code,
        "retried": 0,
        "max_retries": 0,
        "first_tried_at": event.received_at,
        **_of_event(event),
    }


def error_code_in(body: bytes) -> str | None:
    """Returns the `error.code` in an answer of our own consumer, or None for any other answer."""
    try:
        code = json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return code[:200] if isinstance(code, str) else None


def _of_body(body: bytes) -> dict[str, Any]:
    """Returns the fields of the event in `body`, or the beginning of a foreign body as text."""
    event = _event_in(body)
    if event is not None:
        return _of_event(event)
    text = body.decode("utf-8", "replace").replace("\0", "\ufffd")  # Postgres stores no NUL in text
    return {"body": text[:MAX_FOREIGN_BODY_CHARS]}


def _of_event(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "kind": event.kind,
        "account_id": event.account_id,
        "event": as_json(event),
    }


def _event_in(body: bytes) -> Event | None:
    try:
        return decode(body)
    except InvalidPayload:
        return None


def _decoded(encoded: str | None) -> bytes:
    """Returns the bytes in base64 text, or b"" if it is missing or no base64."""
    try:
        return base64.b64decode(encoded or "", validate=True)
    except (binascii.Error, ValueError):
        return b""
