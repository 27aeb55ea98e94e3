"""The dead letter queue over HTTP: list, get, delete, retry.

Source: Upstash, API reference, "DLQ".
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.qstash.dlq import DeadLetter, show_letter
from dev.qstash.errors import not_found
from dev.qstash.filters import read_filter
from dev.qstash.message import Json, present
from dev.qstash.options import override, parse_options
from dev.qstash.routes.reading import caller_ip, header_source, ids_given, json_body, page_size
from dev.qstash.service import Service, service_of

PAGE = 100

# These belong to the first publication: a retried letter is not a duplicate of itself, nor delayed again.
_ONCE = (
    "Upstash-Delay",
    "Upstash-Not-Before",
    "Upstash-Deduplication-Id",
    "Upstash-Content-Based-Deduplication",
)


async def page(request: Request) -> Response:
    """`GET /v2/dlq`."""
    letters, cursor = _page(request)
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


async def delete_many(request: Request) -> Response:
    """`DELETE /v2/dlq`: those named (ids not found are not counted), or a page of those the filters match."""
    dlq = service_of(request).dlq
    named, cursor = await _named_or_page(request)
    deleted = sum(dlq.remove(dlq_id) for dlq_id in dict.fromkeys(named))
    return JSONResponse(present({"deleted": deleted, "cursor": cursor}))


async def retry(request: Request) -> Response:
    """`POST /v2/dlq/retry/{dlqId}`: configuration headers override the message's own."""
    service = service_of(request)
    letter = service.dlq.get(request.path_params["dlq_id"])
    return JSONResponse(_retry(service, letter, request), status_code=201)


async def retry_many(request: Request) -> Response:
    """`POST /v2/dlq/retry`: 404, and nothing done, where a named id does not exist."""
    service = service_of(request)
    named, cursor = await _named_or_page(request)
    letters = [service.dlq.get(dlq_id) for dlq_id in dict.fromkeys(named)]
    responses = [_retry(service, letter, request) for letter in letters]
    return JSONResponse(present({"responses": responses, "cursor": cursor}), status_code=201)


def _retry(service: Service, letter: DeadLetter, request: Request) -> Json:
    # The request's own Content-Type describes its own body, not the message's.
    given = tuple(pair for pair in header_source(request) if pair[0] != "Content-Type")
    options = parse_options(override(letter.message.options.source, given, without=_ONCE))
    receipt = service.publisher.republish(letter.message, options, caller_ip(request))
    service.dlq.remove(letter.dlq_id)
    return receipt.show(with_url=False)


async def _named_or_page(request: Request) -> tuple[list[str], str | None]:
    service = service_of(request)
    body = await json_body(request, service.config.max_body_bytes)
    named = ids_given(body, request.query_params.getlist("dlqIds"), "dlqIds")
    if named is not None:
        return named, None
    letters, cursor = _page(request)
    return [letter.dlq_id for letter in letters], cursor


def _page(request: Request) -> tuple[list[DeadLetter], str | None]:
    return service_of(request).dlq.page(
        wanted=read_filter(request.query_params.multi_items()),
        cursor=request.query_params.get("cursor"),
        count=page_size(request.query_params, default=PAGE, most=PAGE),
    )


routes = [
    Route("/v2/dlq", page, methods=["GET"]),
    Route("/v2/dlq", delete_many, methods=["DELETE"]),
    Route("/v2/dlq/retry", retry_many, methods=["POST"]),
    Route("/v2/dlq/retry/{dlq_id}", retry, methods=["POST"]),
    Route("/v2/dlq/{dlq_id}", get, methods=["GET"]),
    Route("/v2/dlq/{dlq_id}", delete, methods=["DELETE"]),
]
