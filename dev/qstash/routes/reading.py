"""What several routes read from a request: bodies, headers, paging, the caller."""

import json
from collections.abc import Mapping

from starlette.requests import Request

from dev.qstash.errors import ApiError, bad_request
from dev.qstash.filters import read_int
from dev.qstash.options import HeaderPairs, read_source


async def body_within(request: Request, limit: int) -> bytes:
    """Returns the raw body. Raises `ApiError` 413 as soon as it is too large."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise ApiError(413, f"request body exceeds the limit of {limit} bytes")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise ApiError(413, f"request body exceeds the limit of {limit} bytes")
    return bytes(body)


async def json_body(request: Request, limit: int) -> object:
    """Returns the body as JSON, or None if it is empty. Raises `ApiError` 400."""
    body = await body_within(request, limit)
    if not body.strip():
        return None
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        raise bad_request("the request body is not valid JSON") from None
    return parsed


def header_source(request: Request) -> HeaderPairs:
    """Returns the headers that describe a message."""
    return read_source(request.headers.items())


def caller_ip(request: Request) -> str:
    """Returns the publisher's address."""
    return request.client.host if request.client else ""


def page_size(query: Mapping[str, str], *, default: int, most: int) -> int:
    """Returns `count`, at most `most`. Raises `ApiError` 400 unless it is a positive integer."""
    if "count" not in query:
        return default
    count = read_int("count", query["count"])
    if count < 1:
        raise bad_request("count must be at least 1")
    return min(count, most)


def strings_named(body: object, name: str) -> list[str] | None:
    """Returns the strings under `name` in a JSON body, or None if the body has no such field."""
    if not isinstance(body, dict) or name not in body:
        return None
    values = body[name]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise bad_request(f"{name} must be an array of strings")
    return values
