"""GET or POST /api/cron/sweep: what was recorded and never finished gets another attempt.

Called by Vercel's cron, or by a QStash schedule. Wiring only: authenticate, sweep, answer.
"""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from lib.container import container
from lib.core.deadline import Deadline
from lib.recovery.sweeper import sweep
from lib.web.app import function
from lib.web.auth import require_bearer
from lib.web.responses import json_response

WORK_FOR_S = 45.0
"""A last page ends inside it, and it inside the function's maxDuration."""


async def take_up(request: Request) -> Response:
    """200 with what was taken up and what became of it; 401 for whoever does not hold CRON_SECRET."""
    here, deadline = container(), Deadline.after(WORK_FOR_S)
    require_bearer(request, here.settings, "cron")
    swept = await sweep(here.sweep_store, here.ingestor, here.reconciler, now=datetime.now(UTC), deadline=deadline)
    return json_response(200, swept)


app = function(get=take_up, post=take_up)
