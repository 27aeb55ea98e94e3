"""Answers: JSON bodies, error bodies, and the statuses that make QStash and Meta do right.

Knows Starlette's requests and responses. Must not know which route answers.
"""

import math
from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from lib.errors import Verdict

BODY_LIMIT_BYTES = 4_500_000


class BodyTooLarge(Exception):  # noqa: N818
    """The request body is over the limit of the platform."""


class Refused(Exception):  # noqa: N818
    """A request that gets a 4xx, and nothing else happens."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message

    def body(self) -> dict[str, object]:
        """The error body."""
        return {"error": {"kind": "permanent", "code": self.code, "status": self.status, "message": self.message}}


def json_response(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, dict(headers or {}), "application/json")


def error_body(verdict: Verdict, **extra: object) -> dict[str, object]:
    return {
        "error": {
            "kind": "retryable" if verdict.retryable else "permanent",
            "code": verdict.code,
            "status": verdict.status,
            "message": verdict.message,
            **extra,
        }
    }


def error_response(
    verdict: Verdict, *, status: int, headers: Mapping[str, str] | None = None, **extra: object
) -> Response:
    return json_response(status, error_body(verdict, **extra), headers)


async def read_body(request: Request, *, limit_bytes: int = BODY_LIMIT_BYTES) -> bytes:
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


def for_consumer(verdict: Verdict, **extra: object) -> Response:
    if not verdict.retryable:
        return error_response(verdict, status=489, headers={"Upstash-NonRetryable-Error": "true"}, **extra)
    if verdict.retry_after is not None:
        return error_response(verdict, status=503, headers={"Retry-After": retry_after(verdict.retry_after)}, **extra)
    return error_response(verdict, status=500, **extra)


def for_meta_retry(body: object, retry_after_s: float = 5) -> Response:
    return json_response(503, body, {"Retry-After": retry_after(retry_after_s)})


def retry_after(seconds: float) -> str:
    return str(max(1, math.ceil(seconds)))
