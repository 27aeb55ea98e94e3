"""POST /api/internal/ingest-event: events in; each is made durable by QStash, or processed here."""

import lib.core.start_log  # noqa: F401  from here on, every line of the log is JSON

# isort: split

import time

from starlette.requests import Request
from starlette.responses import Response

from lib.container import container
from lib.core.deadline import Deadline
from lib.ingest.forwarder import BUDGET_HEADER
from lib.ingest.request import read_budget_s, read_events
from lib.ingest.response import ingest_response
from lib.web.app import function
from lib.web.auth import require_bearer
from lib.web.responses import read_body


async def ingest(request: Request) -> Response:
    """One result for each event: 200 all durable, 400 one refused for good, 503 one to be sent again."""
    services, started_s = container(), time.monotonic()
    require_bearer(request, services.settings, "internal")
    deadline = Deadline.after(read_budget_s(request.headers.get(BUDGET_HEADER)))
    async with deadline.enforced():
        body = await read_body(request)
    results = await services.ingestor.ingest(read_events(body), deadline=deadline)
    return ingest_response(results, started_s=started_s)


app = function(POST=ingest)
