"""The stand-in's own switches under `/__dev/`: faults, counts, reset.

They ask for no token, so they answer this machine only.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.connection import is_of_this_machine
from dev.qstash.errors import ApiError, bad_request
from dev.qstash.routes.reading import json_body
from dev.qstash.service import service_of

Handler = Callable[[Request], Awaitable[Response]]


def _local(handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        if not is_of_this_machine(request):
            raise ApiError(403, "only from this machine")
        return await handler(request)

    return guarded


async def set_faults(request: Request) -> Response:
    """`POST /__dev/faults`: see `dev.qstash.faults`. Answers the faults in force."""
    service = service_of(request)
    wish = await json_body(request, 100_000)
    if not isinstance(wish, dict):
        raise bad_request("expected a JSON object")
    service.faults.configure(wish)
    return JSONResponse(service.faults.show())


async def get_faults(request: Request) -> Response:
    """`GET /__dev/faults`."""
    return JSONResponse(service_of(request).faults.show())


async def reset(request: Request) -> Response:
    """`POST /__dev/reset`: brings the stand-in, signing keys included, back to its state at the start."""
    service = service_of(request)
    await service.reset()
    return JSONResponse(service.engine.state())


async def state(request: Request) -> Response:
    """`GET /__dev/state`: counts; wait for `idle`."""
    return JSONResponse(service_of(request).engine.state())


async def hasten(request: Request) -> Response:
    """`POST /__dev/hasten`: ends the delays that publishers asked for (`Config.keep_delays`)."""
    return JSONResponse({"hastened": service_of(request).engine.hasten()})


routes = [
    Route("/__dev/faults", _local(set_faults), methods=["POST"]),
    Route("/__dev/faults", _local(get_faults), methods=["GET"]),
    Route("/__dev/reset", _local(reset), methods=["POST"]),
    Route("/__dev/state", _local(state), methods=["GET"]),
    Route("/__dev/hasten", _local(hasten), methods=["POST"]),
]
