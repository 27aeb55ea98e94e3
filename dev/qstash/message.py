"""A message as it was accepted, the answer to one delivery, and how the API shows both.

Source: Upstash, API reference, schemas `Message` and `DLQMessage`.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dev.qstash.options import HeaderPairs, Options
from dev.qstash.redaction import hidden

Json = dict[str, Any]


@dataclass(frozen=True)
class Message:
    """One message to one URL.

    `is_callback`: the service made the message to report on another one. It has no callbacks of its own.
    """

    message_id: str
    url: str
    body: bytes = field(repr=False)
    options: Options = field(repr=False)
    created_at_ms: int
    not_before_ms: int
    caller_ip: str = ""
    topic_name: str | None = None
    endpoint_name: str | None = None
    queue_name: str | None = None
    schedule_id: str | None = None
    is_callback: bool = False


@dataclass(frozen=True)
class Answer:
    """The answer to one delivery. With `status` 0 no answer came, and `error` says why.

    `headers` have lower-case names.
    """

    status: int = 0
    headers: HeaderPairs = ()
    body: bytes = b""
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Only 2xx is a success (Upstash, features/retry)."""
        return 200 <= self.status < 300 and self.error is None

    @property
    def stops_retries(self) -> bool:
        """Whether QStash must not retry: status 489 together with the header (Upstash, features/retry)."""
        named = dict(self.headers)
        return self.status == 489 and named.get("upstash-nonretryable-error", "").strip().lower() == "true"


def multi(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Returns header pairs as the API shows them: each name once, with all its values."""
    shown: dict[str, list[str]] = {}
    for name, value in pairs:
        shown.setdefault(name, []).append(value)
    return shown


def shown_body(body: bytes, *, text_key: str = "body", base64_key: str = "bodyBase64") -> Json:
    """Returns the body under `text_key` if it is UTF-8, else in base64 under `base64_key`."""
    try:
        return {text_key: body.decode("utf-8")}
    except UnicodeDecodeError:
        return {base64_key: base64.b64encode(body).decode()}


def show_options(options: Options) -> Json:
    """Returns the fields that messages, dead letters, log entries and schedules have in common."""
    limits = options.limits
    return present(
        {
            "method": options.method,
            "header": options.redaction.shown_headers(multi(options.forwarded)),
            "callback": options.callback,
            "callbackHeader": options.redaction.shown_headers(_forwarded_by(options.callback_source)),
            "failureCallback": options.failure_callback,
            "failureCallbackHeader": options.redaction.shown_headers(_forwarded_by(options.failure_callback_source)),
            "retryDelayExpression": options.retry_delay.text if options.retry_delay else None,
            "label": ",".join(options.labels) or None,
            "labels": list(options.labels) or None,
            "flowControlKey": options.flow_key,
            "parallelism": limits.parallelism if limits else None,
            "rate": limits.rate if limits else None,
            "period": limits.period_s if limits else None,
        }
    )


def show_origin(message: Message) -> Json:
    """Returns where the message came from and where it goes."""
    return present(
        {
            "messageId": message.message_id,
            "url": message.url,
            "topicName": message.topic_name,
            "endpointName": message.endpoint_name,
            "queueName": message.queue_name,
            "scheduleId": message.schedule_id,
        }
    )


def show_message(message: Message) -> Json:
    """Returns the schema `Message`, redacted if the publisher asked for it."""
    hide_body = message.options.redaction.body and message.body
    return {
        **show_origin(message),
        **show_options(message.options),
        **({"body": hidden(message.body)} if hide_body else shown_body(message.body)),
        "maxRetries": message.options.retries,
        "notBefore": message.not_before_ms,
        "createdAt": message.created_at_ms,
        "callerIP": message.caller_ip,
    }


def present(values: Json) -> Json:
    """Returns the values without the empty ones: the API leaves those fields out."""
    return {key: value for key, value in values.items() if value is not None and value != {}}


def _forwarded_by(source: HeaderPairs) -> dict[str, list[str]]:
    prefix = "Upstash-Forward-"
    return multi((name.removeprefix(prefix), value) for name, value in source if name.startswith(prefix))
