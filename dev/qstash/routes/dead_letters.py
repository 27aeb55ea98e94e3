"""The dead letter queue over HTTP: list, get, delete, retry.

Source: Upstash, API reference, "DLQ".
"""

import time
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.qstash.dlq import show_letter
from dev.qstash.errors import bad_request, not_found
from dev.qstash.filters import read_filter
from dev.qstash.ids import message_id
from dev.qstash.message import present
from dev.qstash.routes.reading import json_body, page_size, strings_named
from dev.qstash.service import service_of

PAGE = 100


async def page(request: Request) -> Response:
    """`GET /v2/dlq`."""
    letters, cursor = service_of(request).dlq.page(
        wanted=read_filter(request.query_params.multi_items()),
        cursor=request.query_params.get("cursor"),
        count=page_size(request.query_params, default=PAGE, most=PAGE),
    )
    return JSONResponse(present({"messages": [show_letter(letter) for letter in letters], "cursor": cursor}))


async def get(request: Request) -> Response:
    """`GET /v2/dlq/{dlqId}`."""
    return JSONResponse(show_letter(service_of(request).dlq.get(request.path_params["dlq_id"])))


async def delete(request: Request) -> Response:
    """`DELETE /v2/dlq/{dlqId}`."""
    dlq_id = request.path_params["dlq_id"]
    if not service_of(request).dlq.remove(dlq_id):
        raise not_found("dlq message", dlq_id)
    return Response(status_code=200)


async def retry(request: Request) -> Response:
    """`POST /v2/dlq/retry/{dlqId}`: a new message with the same body and headers; the letter is removed."""
    service = service_of(request)
    letter = service.dlq.get(request.path_params["dlq_id"])
    service.dlq.remove(letter.dlq_id)
    again = replace(letter.message, message_id=message_id(), created_at_ms=time.time_ns() // 1_000_000)
    service.engine.accept(again)
    return JSONResponse({"messageId": again.message_id}, 201)


async def delete_many(request: Request) -> Response:
    """`DELETE /v2/dlq`: deletes the letters with the ids in the body. Unknown ids are not counted."""
    service = service_of(request)
    named = strings_named(await json_body(request, service.config.max_body_bytes), "dlqIds")
    if named is None:
        raise bad_request("dlqIds is missing")
    return JSONResponse({"deleted": sum(service.dlq.remove(dlq_id) for dlq_id in dict.fromkeys(named))})


routes = [
    Route("/v2/dlq", page, methods=["GET"]),
    Route("/v2/dlq", delete_many, methods=["DELETE"]),
    Route("/v2/dlq/retry/{dlq_id}", retry, methods=["POST"]),
    Route("/v2/dlq/{dlq_id}", get, methods=["GET"]),
    Route("/v2/dlq/{dlq_id}", delete, methods=["DELETE"]),
]
