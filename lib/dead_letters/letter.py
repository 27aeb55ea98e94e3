"""QStash's failure callback, an entry of its dead letter queue, or a rejected event → a dead letter.

Sources: Upstash, "Callbacks" and "DLQ". A letter has the form that the SQL function `store_dead_letter` takes.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from lib.core.model import Model, invalid_payload
from lib.core.safe_json import clean, decode_clean, storable
from lib.errors.exceptions import BadJson, InvalidPayload
from lib.errors.retry_after import whole_number
from lib.errors.verdict import Verdict
from lib.events.model import Event, as_json, decode

if TYPE_CHECKING:
    from qstash.dlq import DlqMessage

MAX_FOREIGN_BODY_CHARS = 10_000
"""A message that is not one of our events is kept for people to look at, so its beginning is enough."""

MAX_ID_CHARS = 512
MAX_URL_CHARS = 2000
MAX_COUNT = 2**31 - 1
LAST_MS = 4_102_444_800_000
"""2100-01-01: what a dependency says is bounded here, so that the database takes the letter."""

_REDACTED = re.compile(r"REDACTED:[0-9a-f]{64}")


def _text(value: object, most_chars: int) -> str | None:
    """Returns the beginning of a text, or None for anything else."""
    return clean(value[:most_chars]) if isinstance(value, str) else None


def _count(value: object) -> int | None:
    """Returns a number that fits the column, or None. It may come in quotes."""
    number = whole_number(value)
    return number if number is not None and number <= MAX_COUNT else None


def _milliseconds(value: object) -> int | None:
    """Returns a time between 1970 and 2099, or None. The documentation shows it as a number in quotes."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 13 and int(text) <= LAST_MS else None


def _base64(value: object) -> str | None:
    return value if isinstance(value, str) else None


_Count: TypeAlias = Annotated[int | None, BeforeValidator(_count)]
_Id: TypeAlias = Annotated[str | None, BeforeValidator(partial(_text, most_chars=MAX_ID_CHARS))]


class FailureCallback(Model):
    """QStash's report that it gave up on a message (Upstash, "Callbacks"). Bodies are base64.

    Every field but the message's id may be missing or strange, and is then None: the letter is all that is left of its
    event. What QStash says is bounded here, so that the database takes the letter.
    """

    model_config = ConfigDict(alias_generator=to_camel)

    source_message_id: Annotated[str, Field(min_length=1), BeforeValidator(partial(_text, most_chars=MAX_ID_CHARS))]
    status: _Count = None
    body: Annotated[str | None, BeforeValidator(_base64)] = None
    retried: _Count = None
    max_retries: _Count = None
    dlq_id: _Id = None
    url: Annotated[str | None, BeforeValidator(partial(_text, most_chars=MAX_URL_CHARS))] = None
    source_body: Annotated[str | None, BeforeValidator(_base64)] = None
    created_at: Annotated[int | None, BeforeValidator(_milliseconds)] = None


def read_failure(body: bytes) -> dict[str, Any]:
    """Returns the dead letter in the `body` of a failure callback. Raises `InvalidPayload` if it names no message."""
    try:
        callback = FailureCallback.model_validate(decode_clean(body))
    except BadJson as error:
        raise InvalidPayload(error.path, error.message) from None
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
        "url": _text(entry.url, MAX_URL_CHARS),
        "status": _count(entry.response_status),
        "error_code": error_code_in((entry.response_body or "").encode("utf-8", "replace")),
        "max_retries": _count(entry.max_retries),
        "first_tried_at": _milliseconds(entry.created_at),
        **_of_body(_decoded(entry.body_base64) if entry.body is None else entry.body.encode("utf-8", "replace")),
    }


def is_redacted(entry: "DlqMessage") -> bool:
    """Returns whether QStash shows a digest instead of the body (`QSTASH_REDACT_BODY`; Upstash, "Redact Fields")."""
    return _REDACTED.fullmatch(entry.body or "") is not None


def rejected_letter(event: Event, verdict: Verdict) -> dict[str, Any]:
    """Returns the dead letter of an event that direct processing refused for good. QStash never had it."""
    return {
        # QStash gave no id. The prefix keeps this id apart from those of QStash.
        "source_message_id": f"direct:{event.event_id}:{event.account_id}",
        "status": verdict.status,
        "error_code": verdict.code,
        "retried": 0,
        "max_retries": 0,
        "first_tried_at": event.received_at,
        **_of_event(event),
    }


def given_up_letter(event_id: str, account_id: str, kind: str, code: str, event: Event | None) -> dict[str, Any]:
    """Returns the dead letter of a recorded event that cannot be finished, because of `code`."""
    return {
        "source_message_id": f"sweeper:{event_id}:{account_id}",
        "error_code": code,
        "event_id": event_id,
        "kind": kind,
        "account_id": account_id,
        "event": None if event is None else as_json(event),
    }


def error_code_in(body: bytes) -> str | None:
    """Returns the `error.code` in an answer of our own consumer, or None for any other answer."""
    try:
        code = json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return clean(code[:200]) if isinstance(code, str) else None


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
        return decode(storable(body))
    except (InvalidPayload, BadJson):
        return None


def _decoded(encoded: str | None) -> bytes:
    """Returns the bytes in base64 text, or b"" if it is missing or no base64."""
    try:
        return base64.b64decode(encoded or "", validate=True)
    except (binascii.Error, ValueError):
        return b""
