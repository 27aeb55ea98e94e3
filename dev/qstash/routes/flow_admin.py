"""Flow-control keys over HTTP: look, pause, resume, pin, unpin, reset the rate.

Source: Upstash, API reference, "Flow Control".
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.qstash.errors import bad_request
from dev.qstash.limits import check_key, period_s, positive
from dev.qstash.service import service_of


async def listing(request: Request) -> Response:
    """`GET /v2/flowControl`. No SDK calls it; docs/operations.md does."""
    return JSONResponse(service_of(request).flow.list())


async def get(request: Request) -> Response:
    """`GET /v2/flowControl/{key}`."""
    return JSONResponse(service_of(request).flow.get(_key(request)))


async def pause(request: Request) -> Response:
    """`POST /v2/flowControl/{key}/pause`."""
    service_of(request).flow.set_paused(_key(request), True)
    return Response(status_code=200)


async def resume(request: Request) -> Response:
    """`POST /v2/flowControl/{key}/resume`."""
    service_of(request).flow.set_paused(_key(request), False)
    return Response(status_code=200)


async def pin(request: Request) -> Response:
    """`POST /v2/flowControl/{key}/pin?parallelism=&rate=&period=`."""
    query = request.query_params
    try:
        parallelism = positive(query["parallelism"], "parallelism") if "parallelism" in query else None
        rate = positive(query["rate"], "rate") if "rate" in query else None
        period = period_s(query["period"]) if "period" in query else None
    except ValueError as error:
        raise bad_request(str(error)) from None
    if parallelism is None and rate is None:
        raise bad_request("at least one of parallelism and rate must be given")
    service_of(request).flow.pin(_key(request), parallelism=parallelism, rate=rate, period_s=period)
    return Response(status_code=200)


async def unpin(request: Request) -> Response:
    """`POST /v2/flowControl/{key}/unpin?parallelism=true&rate=true`."""
    query = request.query_params
    service_of(request).flow.unpin(
        _key(request), parallelism=query.get("parallelism") == "true", rate=query.get("rate") == "true"
    )
    return Response(status_code=200)


async def reset_rate(request: Request) -> Response:
    """`POST /v2/flowControl/{key}/resetRate`."""
    service_of(request).flow.reset_rate(_key(request))
    return Response(status_code=200)


async def global_parallelism(request: Request) -> Response:
    """`GET /v2/globalParallelism`."""
    service = service_of(request)
    return JSONResponse(
        {
            "parallelismMax": service.config.concurrency,
            "parallelismCount": service.engine.state()["active"],
        }
    )


def _key(request: Request) -> str:
    try:
        return check_key(request.path_params["key"])
    except ValueError as error:
        raise bad_request(str(error)) from None


routes = [
    Route("/v2/globalParallelism", global_parallelism, methods=["GET"]),
    Route("/v2/flowControl", listing, methods=["GET"]),
    Route("/v2/flowControl/{key}", get, methods=["GET"]),
    Route("/v2/flowControl/{key}/pause", pause, methods=["POST"]),
    Route("/v2/flowControl/{key}/resume", resume, methods=["POST"]),
    Route("/v2/flowControl/{key}/pin", pin, methods=["POST"]),
    Route("/v2/flowControl/{key}/unpin", unpin, methods=["POST"]),
    Route("/v2/flowControl/{key}/resetRate", reset_rate, methods=["POST"]),
]
