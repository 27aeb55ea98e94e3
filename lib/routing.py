"""The rim every route shares: methods in, one error answer out. One route is one Starlette app.

Knows Starlette and how an exception that escaped a route is answered. Must not know any route's contract.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from lib import log
from lib.errors import BadConfiguration, InvalidPayload, classify
from lib.responses import BodyTooLarge, Refused, error_body, error_response, json_response

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

_log = log.get(__name__)


def function(**handlers: Handler) -> Starlette:
    """The ASGI app of one function: `function(get=…, post=…)`.

    It answers on every path, as the platform has already chosen the file; other methods get 405.
    """
    routes = [
        Route("/{path:path}", _guarded(handler), methods=[method.upper()]) for method, handler in handlers.items()
    ]
    allowed = ", ".join(sorted(method.upper() for method in handlers))

    async def refuse(_request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return json_response(status, {"error": {"status": status, "allowed": allowed}}, {"Allow": allowed})

    return Starlette(routes=routes, exception_handlers={HTTPException: refuse})


def _guarded(handler: Handler) -> Handler:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:
            return _answer(request, error)

    return endpoint


def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, Refused):
        _log.warning("Request refused", path=request.url.path, status=error.status, code=error.code)
        return json_response(error.status, error.body())
    verdict = classify(error)
    fields = {"path": request.url.path, "code": verdict.code, "error_type": type(error).__name__}
    if isinstance(error, BodyTooLarge):
        return error_response(verdict, status=413)
    if isinstance(error, InvalidPayload):
        _log.warning("Request refused", **fields)
        return json_response(400, error_body(verdict, path=error.path))
    if isinstance(error, ClientDisconnect):
        return error_response(verdict, status=400)
    if isinstance(error, BadConfiguration):
        _log.error("Not configured", **fields, variables=list(error.names))
        return error_response(verdict, status=503, headers={"Retry-After": "60"})
    _log.exception("Request failed", **fields)
    return error_response(verdict, status=503 if verdict.retryable else 500, headers={"Retry-After": "5"})
