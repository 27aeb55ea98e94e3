"""What happened to messages, newest first: the service's logs.

Keeps a bounded number of entries and shows them in both of the API's forms.
Source: Upstash, API reference, schema `LogEntry`; the `qstash` SDK, `log.py`, for `/v2/events`.
"""

import base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from dev.qstash.message import Answer, Json, Message, multi, present, show_options, show_origin
from dev.qstash.redaction import hidden


class State(StrEnum):
    """`CANCELED` has one L in the SDK, which knows no other spelling; the documentation writes two."""

    CREATED = "CREATED"
    ACTIVE = "ACTIVE"
    RETRY = "RETRY"
    ERROR = "ERROR"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    CANCELED = "CANCELED"


_IN_PROGRESS = frozenset({State.ACTIVE, State.RETRY, State.ERROR})


@dataclass(frozen=True)
class Entry:
    """One thing that happened. `sequence` orders entries and serves as the cursor."""

    sequence: int
    time_ms: int
    message: Message
    state: State
    next_delivery_ms: int | None = None
    answer: Answer | None = None


class Logs:
    """The last `kept` entries."""

    def __init__(self, kept: int) -> None:
        self._entries: deque[Entry] = deque(maxlen=kept)
        self._sequence = 0

    def add(
        self,
        time_ms: int,
        message: Message,
        state: State,
        *,
        next_delivery_ms: int | None = None,
        answer: Answer | None = None,
    ) -> None:
        """Writes one entry down."""
        self._sequence += 1
        self._entries.append(Entry(self._sequence, time_ms, message, state, next_delivery_ms, answer))

    def page(
        self, *, wanted: Callable[[Entry], bool], before: int | None, count: int
    ) -> tuple[list[Entry], str | None]:
        """Returns up to `count` entries older than the cursor `before`, and the next cursor, or None at the end."""
        entries: list[Entry] = []
        for entry in reversed(self._entries):
            if before is not None and entry.sequence >= before:
                continue
            if not wanted(entry):
                continue
            if len(entries) == count:
                return entries, str(entries[-1].sequence)
            entries.append(entry)
        return entries, None

    def reset(self) -> None:
        """Forgets everything. The sequence goes on, so that old cursors stay harmless."""
        self._entries.clear()


def states_named(text: str) -> frozenset[State]:
    """Returns the states that a `state` filter means. Raises `ValueError` for an unknown state."""
    name = text.upper()
    if name == "IN_PROGRESS":
        return _IN_PROGRESS
    return frozenset({State("CANCELED" if name == "CANCELLED" else name)})


def show_entry(entry: Entry) -> Json:
    """Returns one entry. A field for which documentation and SDK have different names appears under both."""
    message, answer = entry.message, entry.answer
    options = show_options(message.options)
    body = message.body
    hide_body = message.options.redaction.body and body
    return present(
        {
            "time": entry.time_ms,
            "state": entry.state.value,
            **show_origin(message),
            **options,
            "callbackHeaders": options.pop("callbackHeader", None),
            "failureCallbackHeaders": options.pop("failureCallbackHeader", None),
            "retryDelayExpr": options.get("retryDelayExpression"),
            "body": hidden(body) if hide_body else base64.b64encode(body).decode(),
            "maxRetries": message.options.retries,
            "timeout": None if message.options.timeout_s is None else int(message.options.timeout_s * 1000),
            "nextDeliveryTime": entry.next_delivery_ms,
            **(_show_answer(answer) if answer else {}),
        }
    )


def _show_answer(answer: Answer) -> Json:
    if answer.status == 0:
        return {"error": answer.error}
    shown = multi(answer.headers)
    return {
        "error": answer.error or f"the destination answered with status {answer.status}",
        "responseStatus": answer.status,
        "responseHeader": shown,
        "responseHeaders": shown,
        "responseBody": base64.b64encode(answer.body).decode(),
    }
