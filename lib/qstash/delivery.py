"""QStash, incoming: one delivery, authenticated before it is read, and the answer that makes QStash do right.

Knows QStash's request headers and signature. Must not know what a delivery carries.
"""

import time
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from lib.core import log
from lib.core.deadline import Deadline
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.errors.exceptions import InvalidPayload
from lib.errors.verdict import Verdict
from lib.qstash.signature import verify_qstash
from lib.web.responses import Refused, error_body, json_response, read_body, retry_after

_log = log.get(__name__)


class Delivery(msgspec.Struct, frozen=True):
    """One attempt of QStash at one message. `retried` is 0 at the first (Upstash, "Receiving Messages")."""

    body: bytes
    message_id: str | None
    retried: int | str | None
    started_s: float

    def done(
        self, message: str, *, verdict: str, code: str = "ok", level: Literal["info", "error"] = "info", **more: object
    ) -> None:
        """The one line of an attempt that did what it was for; `more` says of what it was."""
        say = _log.info if level == "info" else _log.error
        say(message, **self._fields(verdict, code), **more)

    def failed(self, error: Exception, *, event_id: str | None = None) -> Response:
        """The answer to an attempt that raised `error`, and its one line: 489 stops QStash, anything else makes it
        come again.
        """
        verdict = classify(error)
        path = error.path if isinstance(error, InvalidPayload) else None
        fields = self._fields("retryable" if verdict.retryable else "permanent", verdict.code)
        if verdict.code == "unknown_error":
            _log.exception("Delivery failed for an unknown reason", **fields, event_id=event_id)
        else:
            _log.warning("Delivery failed", **fields, event_id=event_id, path=path, error_type=type(error).__name__)
        return for_consumer(verdict, message_id=self.message_id, path=path)

    def _fields(self, verdict: str, code: str) -> dict[str, Any]:
        """What every line of a delivery has."""
        return {
            "message_id": self.message_id,
            "retried": self.retried,
            "verdict": verdict,
            "code": code,
            "ms": log.ms_since(self.started_s),
        }


async def authenticated(request: Request, settings: Settings, *, path: str, deadline: Deadline) -> Delivery:
    """The delivery in `request`, if QStash signed it for our URL of `path`.

    Raises `Refused` (401). That stays 401 and not 489: a real message only fails here while keys are being
    rotated, and then the retry is what saves it.
    """
    started_s = time.monotonic()
    signature = request.headers.get("upstash-signature")
    if signature is None:
        raise Refused(401, "missing_signature", "Upstash-Signature is missing")
    async with deadline.enforced():
        body = await read_body(request)
    url = settings.base_url + path
    if not verify_qstash(body, signature, url=url, keys=settings.qstash_signing_keys):
        raise Refused(401, "wrong_signature", f"Upstash-Signature is not of QSTASH_CURRENT_SIGNING_KEY for {url}")
    headers = request.headers
    return Delivery(body, headers.get("upstash-message-id"), _number(headers.get("upstash-retried")), started_s)


def _number(header: str | None) -> int | str | None:
    """A number, so that logs can be asked for more than so many; what is none is logged as it came."""
    return int(header) if header and header.isascii() and header.isdigit() and len(header) < 10 else header


def for_consumer(verdict: Verdict, **extra: object) -> Response:
    """The answer that makes QStash do what `verdict` says.

    QStash retries every status outside 2xx but one: 489 with `Upstash-NonRetryable-Error` (Upstash, "Retry").
    It waits as long as `Retry-After` says instead of its own back-off.
    """
    body = error_body(verdict, **extra)
    if not verdict.retryable:
        return json_response(489, body, {"Upstash-NonRetryable-Error": "true"})
    if verdict.retry_after is not None:
        return json_response(503, body, {"Retry-After": retry_after(verdict.retry_after)})
    return json_response(500, body)
