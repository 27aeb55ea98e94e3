"""Callbacks: what is told to the publisher after a delivery, or after the last one failed.

Pure: a message and an answer in, the message to send out. Source: Upstash, features/callbacks.
"""

import base64
import json
from dataclasses import replace

from dev.qstash import ids
from dev.qstash.message import Answer, Json, Message, multi
from dev.qstash.options import HeaderPairs, Options, parse_options


def callback_options(options: Options, source: HeaderPairs) -> Options:
    """The options of a callback: its own headers, the message's retries where it names none.

    A callback has no callbacks, whatever its headers say. Raises `ApiError` 400 for malformed ones, which
    is why publishing reads them at once.
    """
    inherited = (("Content-Type", "application/json"), ("Upstash-Retries", str(options.retries)))
    named = {name for name, _ in source}
    read = parse_options(tuple(pair for pair in inherited if pair[0] not in named) + source)
    return replace(read, callback=None, failure_callback=None, deduplication_id=None, content_based=False)


def callback(message: Message, answer: Answer, *, retried: int, now_ms: int) -> Message | None:
    """The message that reports on one delivery, or None where nobody asked for it."""
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
    """The message that reports on the final failure, or None where nobody asked for it."""
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
