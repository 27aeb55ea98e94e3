"""The query filters that messages, dead letters and logs share.

Several values of one filter are alternatives. Several filters must all match (Upstash, API reference, the notes on
multi-value filters).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from dev.qstash.errors import bad_request
from dev.qstash.message import Message


@dataclass(frozen=True)
class Filter:
    """`values` maps a filter's name to its alternatives; times are inclusive Unix milliseconds."""

    values: dict[str, frozenset[str]]
    from_ms: int | None = None
    to_ms: int | None = None

    def matches(self, message: Message, at_ms: int, response_status: int | None = None) -> bool:
        """Whether a message of the time `at_ms` matches."""
        if self.from_ms is not None and at_ms < self.from_ms:
            return False
        if self.to_ms is not None and at_ms > self.to_ms:
            return False
        return all(not allowed.isdisjoint(_of(message, name, response_status)) for name, allowed in self.values.items())


_NAMES = frozenset(
    {
        "messageId",
        "messageIds",
        "url",
        "topicName",
        "queueName",
        "scheduleId",
        "responseStatus",
        "callerIp",
        "label",
    }
)


def read_filter(query: Iterable[tuple[str, str]]) -> Filter:
    """Reads query parameters and ignores unknown names. Raises `ApiError` 400 for a malformed date."""
    values: dict[str, frozenset[str]] = {}
    dates: dict[str, int] = {}
    for name, text in query:
        if name in ("fromDate", "toDate"):
            dates[name] = read_int(name, text)
        elif name in _NAMES:
            # A URL can hold a comma. The values of the other filters are split at commas, as documented.
            parts = [text] if name == "url" else [part.strip() for part in text.split(",")]
            values[name] = values.get(name, frozenset()) | frozenset(filter(None, parts))
    return Filter(
        {name: allowed for name, allowed in values.items() if allowed},
        dates.get("fromDate"),
        dates.get("toDate"),
    )


def read_int(name: str, text: str) -> int:
    """Returns a non-negative whole number, or raises `ApiError` 400."""
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise bad_request(f"invalid {name}: {text[:40]!r} is not a non-negative integer")
    return int(text)


def _of(message: Message, name: str, response_status: int | None) -> Iterable[str]:  # noqa: PLR0911
    match name:
        case "messageId" | "messageIds":
            return (message.message_id,)
        case "url":
            return (message.url,)
        case "topicName":
            return (message.topic_name or "",)
        case "queueName":
            return (message.queue_name or "",)
        case "scheduleId":
            return (message.schedule_id or "",)
        case "responseStatus":
            return (str(response_status),)
        case "callerIp":
            return (message.caller_ip,)
        case _:
            return message.options.labels
