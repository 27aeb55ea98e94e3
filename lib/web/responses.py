"""Answers: JSON bodies, error bodies, and the statuses that make QStash and Meta do right.

Knows Starlette's requests and responses. Must not know which route answers.
"""

import math
from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from lib.errors.exceptions import BodyTooLarge
from lib.errors.verdict import Verdict

BODY_LIMIT_BYTES = 4_500_000
"""Most bytes Vercel hands to a function (Vercel, "Functions limits")."""

META_RETRY_AFTER_S = 5


class Refused(Exception):
    """A request that gets a 4xx, and nothing else happens. `message` may not quote the request."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message

    def body(self) -> dict[str, object]:
        """The error body."""
        return {"error": {"kind": "permanent", "code": self.code, "status": self.status, "message": self.message}}


def json_response(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """`body` as JSON."""
    return Response(msgspec.json.encode(body), status, dict(headers or {}), "application/json")


def error_body(verdict: Verdict, **extra: object) -> dict[str, object]:
    """`{"error": {kind, code, status, message, …}}`; what of `extra` is None is left out."""
    return {
        "error": {
            "kind": "retryable" if verdict.retryable else "permanent",
            "code": verdict.code,
            "status": verdict.status,
            "message": verdict.message,
            **{name: value for name, value in extra.items() if value is not None},
        }
    }


async def read_body(request: Request, *, limit_bytes: int = BODY_LIMIT_BYTES) -> bytes:
    """The whole body. Raises `BodyTooLarge` as soon as it is known to be, `ClientDisconnect` where it stops."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:12]) > limit_bytes:
        raise BodyTooLarge
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit_bytes:
            raise BodyTooLarge
        chunks.append(chunk)
    return b"".join(chunks)


def for_meta_retry(body: object) -> Response:
    """The answer that makes Meta deliver the webhook again."""
    return json_response(503, body, {"Retry-After": str(META_RETRY_AFTER_S)})


def retry_after(seconds: float) -> str:
    """`seconds` as a header value: whole, rounded up, at least one."""
    return str(max(1, math.ceil(seconds)))
