"""Handlers → the ASGI app of one function, and the one answer to an exception that left a handler."""

import gc
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lib.core import log
from lib.errors.classify import classify
from lib.errors.exceptions import BadConfiguration, BodyTooLarge, InvalidPayload
from lib.errors.verdict import Verdict
from lib.web.responses import Refused, json_response, retry_after, verdict_body

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
Handlers: TypeAlias = Mapping[str, Handler]
"""Method → handler."""

RETRY_AFTER_S = 5
COLLECT_AFTER_OBJECTS = 20_000
ROUTE_PARAMETER = "route"
"""The query parameter in which a rewrite of vercel.json passes the last segment of the public path."""

_OF_EVERY_ANSWER = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""No answer may be cached, and no browser may guess another type."""

_summary_log = log.summary(__name__)


class App:
    """The ASGI app of one function. `routes`: last segment of the path → method → handler; "" is any path.

    Starlette's request and response, without its router and middleware: the platform has chosen the file by the path,
    and a cold start is some milliseconds shorter without them.
    """

    def __init__(self, routes: Mapping[str, Handlers]) -> None:
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request. Other ASGI scopes (lifespan, WebSocket) are not for us."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive, send)
        started_s = time.monotonic()
        with log.of_request() as lines:
            try:
                answer = await _handler(self._handlers(request), request.method)(request)
            except Exception as error:
                answer = _answer(request, error, started_s)
            answer.headers.update(_OF_EVERY_ANSWER)
            # Before the answer: after it the platform may freeze the instance.
            log.end(lines)
            await answer(scope, receive, send)

    def _handlers(self, request: Request) -> Handlers:
        if "" in self.routes:
            return self.routes[""]
        name = request.scope["path"].rpartition("/")[2]
        if name not in self.routes:
            # The platform passes the public path on. If it passed the function's own path, the parameter would tell.
            name = request.query_params.get(ROUTE_PARAMETER, "")
        if name not in self.routes:
            raise Refused(404, "not_found", f"there is no such route; the routes are {', '.join(sorted(self.routes))}")
        return self.routes[name]


def function(**handlers: Handler) -> App:
    """Returns the app of a function with one route: `function(GET=…, POST=…)`. Other methods get 405."""
    return functions({"": handlers})


def functions(routes: Mapping[str, Handlers]) -> App:
    """Returns the app of a function with several routes. Other paths get 404, other methods 405."""
    # The objects of a request end with it, without the collector. By its default it looks for circles seven times
    # while a webhook of 100 events is parsed, and again and again at every module that was imported.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    return App(routes)


def _handler(handlers: Handlers, method: str) -> Handler:
    # The server leaves out the body of an answer to HEAD.
    handler = handlers.get("GET" if method == "HEAD" else method)
    if handler is None:
        allowed = ", ".join(sorted(handlers))
        raise Refused(405, "method_not_allowed", f"this route takes {allowed}", {"Allow": allowed})
    return handler


def _answer(request: Request, error: Exception, started_s: float) -> Response:
    path = request.scope["path"]  # `request.url` raises for a query that is not UTF-8
    ms = log.ms_since(started_s)
    if isinstance(error, Refused):
        _summary_log.warning(
            "Request refused", path=path, status=error.status, outcome="permanent", code=error.code, ms=ms
        )
        return json_response(error.status, error.body(), error.headers)
    verdict = classify(error)
    status = _status_of(error, verdict)
    fields = {
        "path": path,
        "status": status,
        "outcome": "retryable" if status == 503 else "permanent",
        "code": verdict.code,
        "ms": ms,
        "error_type": type(error).__name__,
    }
    if isinstance(error, BadConfiguration):
        _summary_log.error("Not configured", **fields, variables=list(error.names))
    elif status < 500:
        _summary_log.warning("Request refused", **fields)
    else:
        _summary_log.exception("Request failed", **fields)
    headers = {"Retry-After": retry_after(verdict.retry_after or RETRY_AFTER_S)} if status == 503 else None
    field_path = error.path if isinstance(error, InvalidPayload) else None
    return json_response(status, verdict_body(verdict, path=field_path), headers)


def _status_of(error: Exception, verdict: Verdict) -> int:
    """Returns a 4xx for a fault of the sender, 503 for a fault of ours that may pass, and 500 for any other."""
    if isinstance(error, BodyTooLarge | InvalidPayload | ClientDisconnect):
        return verdict.status
    return 503 if verdict.retryable or isinstance(error, BadConfiguration) else 500
