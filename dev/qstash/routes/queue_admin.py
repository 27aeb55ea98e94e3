"""Queues over HTTP: upsert, look, pause, resume, delete.

Source: Upstash, API reference, "Queues".
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.qstash.errors import bad_request
from dev.qstash.routes.reading import json_body
from dev.qstash.service import service_of


async def upsert(request: Request) -> Response:
    """`POST /v2/queues`."""
    service = service_of(request)
    body = await json_body(request, service.config.max_body_bytes)
    if not isinstance(body, dict) or not isinstance(body.get("queueName"), str):
        raise bad_request("queueName is missing")
    parallelism, paused = body.get("parallelism", 1), body.get("paused")
    if isinstance(parallelism, bool) or not isinstance(parallelism, int):
        raise bad_request("parallelism must be an integer")
    if not isinstance(paused, bool | None):
        raise bad_request("paused must be true or false")
    service.queues.upsert(body["queueName"], parallelism=parallelism, paused=paused)
    return Response(status_code=200)


async def listing(request: Request) -> Response:
    """`GET /v2/queues`."""
    return JSONResponse(service_of(request).queues.list())


async def get(request: Request) -> Response:
    """`GET /v2/queues/{queueName}`."""
    return JSONResponse(service_of(request).queues.get(request.path_params["name"]))


async def delete(request: Request) -> Response:
    """`DELETE /v2/queues/{queueName}`: deletes the queue and cancels its waiting messages."""
    service = service_of(request)
    name = request.path_params["name"]
    for job in service.engine.unfinished():
        if job.message.queue_name == name:
            service.engine.cancel(job.message.message_id)
    service.queues.delete(name)
    return Response(status_code=200)


async def pause(request: Request) -> Response:
    """`POST /v2/queues/{queueName}/pause`."""
    service_of(request).queues.set_paused(request.path_params["name"], True)
    return Response(status_code=200)


async def resume(request: Request) -> Response:
    """`POST /v2/queues/{queueName}/resume`."""
    service_of(request).queues.set_paused(request.path_params["name"], False)
    return Response(status_code=200)


routes = [
    Route("/v2/queues", upsert, methods=["POST"]),
    Route("/v2/queues", listing, methods=["GET"]),
    Route("/v2/queues/{name}", get, methods=["GET"]),
    Route("/v2/queues/{name}", delete, methods=["DELETE"]),
    Route("/v2/queues/{name}/pause", pause, methods=["POST"]),
    Route("/v2/queues/{name}/resume", resume, methods=["POST"]),
]
