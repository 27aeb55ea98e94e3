"""POST /api/internal/ingest-event: events in, each made durable by QStash or processed here.

Wiring only: authenticate, decode, ingest, answer. Must not know how an event becomes durable.
"""

import time

from starlette.requests import Request
from starlette.responses import Response

from lib.bearer import require_bearer
from lib.deadline import Deadline
from lib.dispatch import BUDGET_HEADER
from lib.ingest_request import read_budget_s, read_events
from lib.ingest_response import answer
from lib.instance import instance
from lib.responses import read_body
from lib.routing import function


async def ingest(request: Request) -> Response:
    """One result an event: 200 all durable, 400 one refused for good, 503 one to be sent again."""
    here, started_s = instance(), time.monotonic()
    require_bearer(request, here.settings, "internal")
    deadline = Deadline.after(read_budget_s(request.headers.get(BUDGET_HEADER)))
    async with deadline.enforced():
        body = await read_body(request)
    results = await here.ingestor.ingest(read_events(body), deadline=deadline)
    return answer(results, started_s=started_s)


app = function(post=ingest)
