"""Schedules over HTTP: create, look, pause, resume, delete.

Source: Upstash, API reference, "Schedules".
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.qstash import ids
from dev.qstash.cron import parse_cron
from dev.qstash.destinations import check_name
from dev.qstash.errors import bad_request
from dev.qstash.publisher import Submission
from dev.qstash.routes.publishing import destination
from dev.qstash.routes.reading import body_within, caller_ip, header_source
from dev.qstash.service import service_of

_OF_THE_SCHEDULE = {"Upstash-Cron", "Upstash-Schedule-Id", "Upstash-Queue-Name"}


async def create(request: Request) -> Response:
    """`POST /v2/schedules/{destination}`: replaces the schedule whose id is given, if it exists."""
    service = service_of(request)
    body = await body_within(request, service.config.max_body_bytes)
    source = header_source(request)
    named = dict(source)
    schedule_id = named.get("Upstash-Schedule-Id") or ids.schedule_id()
    try:
        check_name(schedule_id, "schedule ids")
        cron = parse_cron(named.get("Upstash-Cron", ""))
    except ValueError as error:
        raise bad_request(f"invalid schedule: {error}") from None
    submission = Submission(
        destination(request, "/v2/schedules/"),
        tuple(pair for pair in source if pair[0] not in _OF_THE_SCHEDULE),
        body,
        caller_ip(request),
        named.get("Upstash-Queue-Name"),
        schedule_id,
    )
    options, _, _ = service.publisher.check(submission)
    service.schedules.put(schedule_id, cron, submission, options)
    return JSONResponse({"scheduleId": schedule_id})


async def listing(request: Request) -> Response:
    """`GET /v2/schedules`."""
    return JSONResponse(service_of(request).schedules.list())


async def get(request: Request) -> Response:
    """`GET /v2/schedules/{scheduleId}`."""
    return JSONResponse(service_of(request).schedules.get(request.path_params["schedule_id"]))


async def delete(request: Request) -> Response:
    """`DELETE /v2/schedules/{scheduleId}`."""
    service_of(request).schedules.delete(request.path_params["schedule_id"])
    return Response(status_code=200)


async def pause(request: Request) -> Response:
    """`POST` in the documentation, `PATCH` in the SDK: `/v2/schedules/{scheduleId}/pause`."""
    service_of(request).schedules.set_paused(request.path_params["schedule_id"], True)
    return Response(status_code=200)


async def resume(request: Request) -> Response:
    """`POST` in the documentation, `PATCH` in the SDK: `/v2/schedules/{scheduleId}/resume`."""
    service_of(request).schedules.set_paused(request.path_params["schedule_id"], False)
    return Response(status_code=200)


routes = [
    Route("/v2/schedules", listing, methods=["GET"]),
    # These stand before the last route, which would take their paths for a destination.
    Route("/v2/schedules/{schedule_id}/pause", pause, methods=["POST", "PATCH"]),
    Route("/v2/schedules/{schedule_id}/resume", resume, methods=["POST", "PATCH"]),
    Route("/v2/schedules/{schedule_id}", get, methods=["GET"]),
    Route("/v2/schedules/{schedule_id}", delete, methods=["DELETE"]),
    Route("/v2/schedules/{destination:path}", create, methods=["POST"]),
]
