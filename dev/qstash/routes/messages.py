"""Unfinished messages: look at one, cancel one, cancel many.

Source: Upstash, API reference, "Messages".
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.qstash.errors import not_found
from dev.qstash.message import show_message
from dev.qstash.routes.reading import json_body, strings_named
from dev.qstash.service import service_of


async def get(request: Request) -> Response:
    """`GET /v2/messages/{messageId}`: 404 once it is delivered or has failed."""
    job = service_of(request).engine.find(request.path_params["message_id"])
    if job is None:
        raise not_found("message", request.path_params["message_id"])
    return JSONResponse(show_message(job.message))


async def cancel(request: Request) -> Response:
    """`DELETE /v2/messages/{messageId}`."""
    if not service_of(request).engine.cancel(request.path_params["message_id"]):
        raise not_found("message", request.path_params["message_id"])
    return Response(status_code=200)


async def cancel_many(request: Request) -> Response:
    """`DELETE /v2/messages`: cancels the messages with the ids in the body, or all if the body has no ids."""
    service = service_of(request)
    named = strings_named(await json_body(request, service.config.max_body_bytes), "messageIds")
    if named is None:
        named = [job.message.message_id for job in service.engine.unfinished()]
    return JSONResponse({"cancelled": sum(service.engine.cancel(message_id) for message_id in dict.fromkeys(named))})


routes = [
    Route("/v2/messages", cancel_many, methods=["DELETE"]),
    Route("/v2/messages/{message_id}", get, methods=["GET"]),
    Route("/v2/messages/{message_id}", cancel, methods=["DELETE"]),
]
