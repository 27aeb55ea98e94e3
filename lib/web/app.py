"""The rim every route shares: methods in, one error answer out. One route is one Starlette app.

Knows Starlette and how an exception that escaped a route is answered. Must not know any route's contract.
"""

import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from lib.core import log
from lib.errors.classify import classify
from lib.errors.exceptions import BadConfiguration, BodyTooLarge, InvalidPayload
from lib.errors.verdict import Verdict
from lib.web.responses import Refused, error_body, json_response, retry_after

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

RETRY_AFTER_S = 5

_OF_EVERY_ANSWER = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""No answer is for a cache, and none is what a browser may guess it to be."""

_log = log.get(__name__)


def function(**handlers: Handler) -> Starlette:
    """The ASGI app of one function: `function(get=…, post=…)`.

    It answers on every path, as the platform has already chosen the file; other methods get 405.
    """
    routes = [
        Route("/{path:path}", _guarded(handler), methods=[method.upper()]) for method, handler in handlers.items()
    ]
    allowed = ", ".join(sorted(method.upper() for method in handlers))

    async def refuse(_request: Request, _error: Exception) -> Response:
        refused = Refused(405, "method_not_allowed", f"this route takes {allowed}")
        return json_response(refused.status, refused.body(), {"Allow": allowed, **_OF_EVERY_ANSWER})

    return Starlette(routes=routes, exception_handlers={HTTPException: refuse})


def _guarded(handler: Handler) -> Handler:
    async def endpoint(request: Request) -> Response:
        started_s = time.monotonic()
        try:
            answer = await handler(request)
        except Exception as error:
            answer = _answer(request, error, started_s)
        answer.headers.update(_OF_EVERY_ANSWER)
        return answer

    return endpoint


def _answer(request: Request, error: Exception, started_s: float) -> Response:
    path = request.scope["path"]  # `request.url` raises for a query that is not UTF-8
    ms = log.ms_since(started_s)
    if isinstance(error, Refused):
        _log.warning("Request refused", path=path, status=error.status, verdict="permanent", code=error.code, ms=ms)
        return json_response(error.status, error.body())
    verdict = classify(error)
    status = _status_of(error, verdict)
    fields = {
        "path": path,
        "status": status,
        "verdict": "retryable" if status == 503 else "permanent",
        "code": verdict.code,
        "ms": ms,
        "error_type": type(error).__name__,
    }
    if isinstance(error, BadConfiguration):
        _log.error("Not configured", **fields, variables=list(error.names))
    elif status < 500:
        _log.warning("Request refused", **fields)
    else:
        _log.exception("Request failed", **fields)
    headers = {"Retry-After": retry_after(verdict.retry_after or RETRY_AFTER_S)} if status == 503 else None
    where = error.path if isinstance(error, InvalidPayload) else None
    return json_response(status, error_body(verdict, path=where), headers)


def _status_of(error: Exception, verdict: Verdict) -> int:
    """The sender's fault is said to the sender; everything else is ours, and worth sending again where it may heal."""
    if isinstance(error, BodyTooLarge | InvalidPayload | ClientDisconnect):
        return verdict.status
    return 503 if verdict.retryable or isinstance(error, BadConfiguration) else 500
