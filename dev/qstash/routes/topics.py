"""URL groups over HTTP, under their old name in the paths.

Source: Upstash, API reference, "URL Groups".
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.qstash.routes.reading import json_body
from dev.qstash.service import service_of


async def listing(request: Request) -> Response:
    """`GET /v2/topics`."""
    return JSONResponse(service_of(request).url_groups.list())


async def get(request: Request) -> Response:
    """`GET /v2/topics/{name}`."""
    return JSONResponse(service_of(request).url_groups.get(request.path_params["name"]))


async def delete(request: Request) -> Response:
    """`DELETE /v2/topics/{name}`."""
    service_of(request).url_groups.delete(request.path_params["name"])
    return Response(status_code=200)


async def upsert(request: Request) -> Response:
    """`POST /v2/topics/{name}/endpoints`."""
    service = service_of(request)
    body = await json_body(request, service.config.max_body_bytes)
    service.url_groups.upsert(request.path_params["name"], body)
    return Response(status_code=200)


async def remove(request: Request) -> Response:
    """`DELETE /v2/topics/{name}/endpoints`."""
    service = service_of(request)
    body = await json_body(request, service.config.max_body_bytes)
    service.url_groups.remove(request.path_params["name"], body)
    return Response(status_code=200)


routes = [
    Route("/v2/topics", listing, methods=["GET"]),
    Route("/v2/topics/{name}", get, methods=["GET"]),
    Route("/v2/topics/{name}", delete, methods=["DELETE"]),
    Route("/v2/topics/{name}/endpoints", upsert, methods=["POST"]),
    Route("/v2/topics/{name}/endpoints", remove, methods=["DELETE"]),
]
