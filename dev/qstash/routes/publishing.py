"""Publish, enqueue and batch over HTTP.

Source: Upstash, API reference, "Messages".
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.qstash.destinations import from_path
from dev.qstash.errors import ApiError, bad_request
from dev.qstash.message import Json
from dev.qstash.options import HeaderPairs, read_source
from dev.qstash.publisher import Submission
from dev.qstash.routes.reading import body_within, caller_ip, header_source, json_body
from dev.qstash.service import Service, service_of


async def publish(request: Request) -> Response:
    """`POST /v2/publish/{destination}`."""
    return await _accept_one(request, "/v2/publish/", None)


async def enqueue(request: Request) -> Response:
    """`POST /v2/enqueue/{queue}/{destination}`."""
    queue = request.path_params["queue"]
    return await _accept_one(request, f"/v2/enqueue/{queue}/", queue)


async def batch(request: Request) -> Response:
    """`POST /v2/batch`: one answer for each item, in order. A bad item does not harm the others."""
    service = service_of(request)
    items = await json_body(request, service.config.max_batch_bytes)
    if not isinstance(items, list):
        raise bad_request("the request body must be an array of messages")
    partial = request.scope.get("qstash.partial") is True
    return JSONResponse(
        [
            {"error": "internal server error (fault)"}
            if partial and position % 2
            else _accept_item(service, item, caller_ip(request))
            for position, item in enumerate(items)
        ]
    )


async def _accept_one(request: Request, prefix: str, queue: str | None) -> Response:
    service = service_of(request)
    body = await body_within(request, service.config.max_body_bytes)
    accepted = service.publisher.publish(
        Submission(destination(request, prefix), header_source(request), body, caller_ip(request), queue)
    )
    return JSONResponse(accepted.show(), status_code=accepted.status)


def destination(request: Request, prefix: str) -> str:
    """Returns the destination in the path, with its query string."""
    raw_path = request.scope.get("raw_path") or request.scope["path"].encode()
    return from_path(raw_path.decode("latin-1"), prefix, request.scope["query_string"].decode("latin-1"))


def _accept_item(service: Service, item: object, caller: str) -> Json | list[Json]:
    try:
        return service.publisher.publish(_submission(item, caller)).show()
    except ApiError as error:
        return {"error": error.message}


def _submission(item: object, caller: str) -> Submission:
    if not isinstance(item, dict):
        raise bad_request("a message must be an object")
    destination, body, queue = item.get("destination"), item.get("body"), item.get("queue")
    if not isinstance(destination, str):
        raise bad_request("destination is missing")
    if not isinstance(body, str | None) or not isinstance(queue, str | None):
        raise bad_request("body and queue must be strings")
    return Submission(
        destination,
        _item_headers(item.get("headers")),
        (body or "").encode("utf-8", "replace"),
        caller,
        queue or None,
    )


def _item_headers(headers: object) -> HeaderPairs:
    if headers is None:
        return ()
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise bad_request("headers must be an object of strings")
    return read_source(headers.items())


routes = [
    Route("/v2/publish/{destination:path}", publish, methods=["POST"]),
    Route("/v2/enqueue/{queue}/{destination:path}", enqueue, methods=["POST"]),
    Route("/v2/batch", batch, methods=["POST"]),
]
