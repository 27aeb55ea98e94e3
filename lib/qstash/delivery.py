"""QStash, incoming: one delivery, authenticated before it is read, and the status that stops or repeats it."""

import time
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from lib.core import log
from lib.core.deadline import Deadline
from lib.core.settings import Settings
from lib.errors.classify import classify
from lib.errors.exceptions import InvalidPayload
from lib.errors.verdict import Verdict, outage
from lib.qstash.signature import verify_qstash
from lib.web.responses import Refused, json_response, read_body, retry_after, verdict_body

_summary_log = log.summary(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt of QStash at one message. `retried` is 0 at the first (Upstash, "Receiving Messages")."""

    body: bytes
    message_id: str | None
    retried: int | str | None
    started_s: float

    def done(
        self, message: str, *, outcome: str, code: str = "ok", level: Literal["info", "error"] = "info", **more: object
    ) -> None:
        """Writes the one log line of a successful attempt; `more` names its event."""
        say = _summary_log.info if level == "info" else _summary_log.error
        say(message, **self._fields(outcome, code), **more)

    def failed(self, error: Exception, *, event_id: str | None = None, may_stop: bool = True) -> Response:
        """Returns the answer to an attempt that raised `error`, and writes its one log line.

        489 stops QStash. Any other status makes QStash deliver the message again. Without `may_stop` the message is
        always delivered again: it was read, and nothing that happens after that is its own fault.
        """
        verdict = classify(error)
        if not may_stop and not verdict.retryable:
            verdict = outage(verdict.code, verdict.message)
        path = error.path if isinstance(error, InvalidPayload) else None
        fields = self._fields(verdict.kind, verdict.code)
        if verdict.code == "unknown_error":
            _summary_log.exception("Delivery failed for an unknown reason", **fields, event_id=event_id)
        else:
            _summary_log.warning(
                "Delivery failed", **fields, event_id=event_id, path=path, error_type=type(error).__name__
            )
        return for_consumer(verdict, message_id=self.message_id, path=path)

    def _fields(self, outcome: str, code: str) -> dict[str, Any]:
        """The fields of every log line of a delivery."""
        return {
            "message_id": self.message_id,
            "retried": self.retried,
            "outcome": outcome,
            "code": code,
            "ms": log.ms_since(self.started_s),
        }


async def authenticated(request: Request, settings: Settings, *, path: str, deadline: Deadline) -> Delivery:
    """Returns the delivery in `request`, if QStash signed it for our URL of `path`.

    Raises `Refused` (401). The status is 401 and not 489, because a real message fails here only while keys are
    rotated, and then the retry saves it.
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
    """Returns an int where possible, so that logs can be filtered by `retried > n`; otherwise the raw header."""
    return int(header) if header and header.isascii() and header.isdigit() and len(header) < 10 else header


def for_consumer(verdict: Verdict, **extra: object) -> Response:
    """Returns the answer that makes QStash do what `verdict` says.

    QStash retries every status outside 2xx but one: 489 with `Upstash-NonRetryable-Error` (Upstash, "Retry").
    QStash waits as long as `Retry-After` says, instead of its own back-off.
    """
    body = verdict_body(verdict, **extra)
    if not verdict.retryable:
        return json_response(489, body, {"Upstash-NonRetryable-Error": "true"})
    if verdict.retry_after is not None:
        return json_response(503, body, {"Retry-After": retry_after(verdict.retry_after)})
    return json_response(500, body)
