"""The application: all routes, the check of the token, error answers, and the publish faults around them."""

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dev.qstash.config import Config
from dev.qstash.errors import ApiError
from dev.qstash.faults import Faults
from dev.qstash.misbehaviour import Misbehaviour
from dev.qstash.routes import (
    admin,
    dead_letters,
    flow_admin,
    keys,
    log_entries,
    messages,
    publishing,
    queue_admin,
    timetable,
    topics,
)
from dev.qstash.service import Service

_AREAS = (
    publishing,
    messages,
    dead_letters,
    log_entries,
    queue_admin,
    flow_admin,
    keys,
    topics,
    timetable,
    admin,
)


class _Token:
    """Answers 401 to every request under `/v2/` without the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v2/"):
            await self._app(scope, receive, send)
            return
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode("utf-8", "replace"), self._token):
            await self._app(scope, receive, send)
            return
        await JSONResponse({"error": "unauthorized: invalid or missing token"}, 401)(scope, receive, send)


def create_app(config: Config) -> Starlette:
    """Returns an empty stand-in. It runs from the start of the lifespan to its end.

    The event `app.state.stopping` ends every request that a fault keeps hanging. A server that waits for open requests
    sets it before it stops.
    """
    faults = Faults()
    stopping = asyncio.Event()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service = app.state.service = Service(config, faults)
        try:
            yield
        finally:
            await service.close()

    app = Starlette(
        routes=[route for area in _AREAS for route in area.routes],
        middleware=[
            Middleware(Misbehaviour, faults=faults, stopping=stopping),
            Middleware(_Token, token=config.token),
        ],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error},
        lifespan=lifespan,
    )
    app.state.stopping = stopping
    return app


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse({"error": error.message}, status_code=error.status)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail.lower()}, status_code=error.status_code)
