"""Answers: JSON bodies, the one error body, and the reading of a request's body."""

import math
from collections.abc import Mapping
from typing import Literal, TypeAlias

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from lib.core.model import Model
from lib.errors.exceptions import BodyTooLarge
from lib.errors.verdict import Verdict

BODY_LIMIT_BYTES = 4_500_000
"""The most bytes that Vercel hands to a function (Vercel, "Functions limits")."""

META_RETRY_AFTER_S = 5


ErrorKind: TypeAlias = Literal["permanent", "retryable"]


class ErrorDetail(Model):
    """Why one event of many failed."""

    kind: ErrorKind
    code: str
    status: int | None = None
    message: str

    @classmethod
    def of(cls, verdict: Verdict) -> "ErrorDetail":
        """Returns the detail for `verdict`. The status is that of the answer as a whole."""
        return cls(kind=verdict.kind, code=verdict.code, message=verdict.message)


class Refused(Exception):
    """A request that gets a 4xx, and nothing else happens. `message` must not quote the request."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.headers = status, code, message, headers

    def body(self) -> dict[str, object]:
        """The error body."""
        return error_body("permanent", self.code, self.status, self.message)


def json_response(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Returns `body` as JSON: a value of JSON, a model or a dataclass."""
    return Response(to_json(body), status, dict(headers or {}), "application/json")


def error_body(kind: ErrorKind, code: str, status: int, message: str, **extra: object) -> dict[str, object]:
    """Returns the body of every error answer, without the `extra` fields that are None."""
    named = {name: value for name, value in extra.items() if value is not None}
    return {"error": {"kind": kind, "code": code, "status": status, "message": message, **named}}


def verdict_body(verdict: Verdict, **extra: object) -> dict[str, object]:
    """Returns the error body for `verdict`."""
    return error_body(verdict.kind, verdict.code, verdict.status, verdict.message, **extra)


async def read_body(request: Request, *, limit_bytes: int = BODY_LIMIT_BYTES) -> bytes:
    """Returns the whole body. Raises `BodyTooLarge` as soon as that is known, `ClientDisconnect` if the body stops."""
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
    """Returns the answer that makes Meta deliver the webhook again."""
    return json_response(503, body, {"Retry-After": str(META_RETRY_AFTER_S)})


def retry_after(seconds: float) -> str:
    """Returns `seconds` as a header value: whole, rounded up, at least one."""
    return str(max(1, math.ceil(seconds)))
