"""Callbacks: the messages that report a delivery, or the failure of the last one, to the publisher.

Source: Upstash, features/callbacks.
"""

import base64
import json
from dataclasses import replace

from dev.qstash import ids
from dev.qstash.message import Answer, Json, Message, multi
from dev.qstash.options import HeaderPairs, Options, parse_options


def callback_options(options: Options, source: HeaderPairs) -> Options:
    """Returns the options of a callback: its own headers, and the message's retries if they name none.

    A callback has no callbacks, whatever its headers say. Raises `ApiError` 400 for malformed headers, so publishing
    reads them at once.
    """
    inherited = (("Content-Type", "application/json"), ("Upstash-Retries", str(options.retries)))
    named = {name for name, _ in source}
    read = parse_options(tuple(pair for pair in inherited if pair[0] not in named) + source)
    return replace(read, callback=None, failure_callback=None, deduplication_id=None, content_based=False)


def callback(message: Message, answer: Answer, *, retried: int, now_ms: int) -> Message | None:
    """Returns the message that reports one delivery, or None if the publisher asked for no callback."""
    if message.options.callback is None or message.is_callback:
        return None
    return _report(
        message,
        message.options.callback,
        callback_options(message.options, message.options.callback_source),
        _body(message, answer, retried),
        now_ms,
    )


def failure_callback(message: Message, answer: Answer, *, retried: int, dlq_id: str, now_ms: int) -> Message | None:
    """Returns the message that reports the final failure, or None if the publisher asked for no callback."""
    if message.options.failure_callback is None or message.is_callback:
        return None
    return _report(
        message,
        message.options.failure_callback,
        callback_options(message.options, message.options.failure_callback_source),
        {**_body(message, answer, retried), "dlqId": dlq_id},
        now_ms,
    )


def _report(message: Message, url: str, options: Options, body: Json, now_ms: int) -> Message:
    return Message(
        message_id=ids.message_id(),
        url=url,
        body=json.dumps(body).encode(),
        options=options,
        created_at_ms=now_ms,
        not_before_ms=now_ms,
        caller_ip=message.caller_ip,
        is_callback=True,
    )


def _body(message: Message, answer: Answer, retried: int) -> Json:
    answered = answer.body if answer.status else (answer.error or "").encode()
    return {
        "status": answer.status,
        "header": multi(answer.headers),
        "body": base64.b64encode(answered).decode(),
        "retried": retried,
        "maxRetries": message.options.retries,
        "sourceMessageId": message.message_id,
        "topicName": message.topic_name or "",
        "endpointName": message.endpoint_name or "",
        "url": message.url,
        "method": message.options.method,
        "sourceHeader": multi(message.options.forwarded),
        "sourceBody": base64.b64encode(message.body).decode(),
        "notBefore": str(message.not_before_ms),
        "createdAt": str(message.created_at_ms),
        "scheduleId": message.schedule_id or "",
        "callerIP": message.caller_ip,
    }
