"""Logs over HTTP, in the documented form (`/v2/logs`) and in the one the SDKs call (`/v2/events`).

Source: Upstash, API reference, "Logs".
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dev.qstash.errors import bad_request
from dev.qstash.filters import read_filter, read_int
from dev.qstash.logs import Entry, show_entry, states_named
from dev.qstash.message import Json, present
from dev.qstash.routes.reading import page_size
from dev.qstash.service import service_of


async def logs(request: Request) -> Response:
    """`GET /v2/logs`: at most 100 a page."""
    return JSONResponse(_page(request, "logs", 100))


async def events(request: Request) -> Response:
    """`GET /v2/events`: at most 1000 a page, as the SDK's documentation says."""
    return JSONResponse(_page(request, "events", 1000))


def _page(request: Request, key: str, most: int) -> Json:
    query = request.query_params
    wanted = read_filter(query.multi_items())
    state = query.get("state")
    try:
        states = states_named(state) if state else None
    except ValueError:
        raise bad_request(f"invalid state: {state!r}") from None

    def is_wanted(entry: Entry) -> bool:
        if states is not None and entry.state not in states:
            return False
        status = entry.answer.status if entry.answer else None
        return wanted.matches(entry.message, entry.time_ms, status)

    entries, cursor = service_of(request).logs.page(
        wanted=is_wanted,
        before=read_int("cursor", query["cursor"]) if query.get("cursor") else None,
        count=page_size(query, default=most, most=most),
    )
    return present({key: [show_entry(entry) for entry in entries], "cursor": cursor})


routes = [
    Route("/v2/logs", logs, methods=["GET"]),
    Route("/v2/events", events, methods=["GET"]),
]
