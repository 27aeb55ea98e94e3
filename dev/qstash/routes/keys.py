"""Signing keys over HTTP: look, rotate. Source: Upstash, API reference, "Signing Keys"."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.qstash.service import service_of


async def get(request: Request) -> Response:
    """`GET /v2/keys`."""
    keys = service_of(request).keys
    return JSONResponse({"current": keys.current, "next": keys.next})


async def rotate(request: Request) -> Response:
    """`POST /v2/keys/rotate`: answers the new pair, which signs from the next delivery on."""
    service_of(request).keys.rotate()
    return await get(request)


routes = [
    Route("/v2/keys", get, methods=["GET"]),
    Route("/v2/keys/rotate", rotate, methods=["POST"]),
]
