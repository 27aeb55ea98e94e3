"""GET /api/cron/retention: Vercel's daily cron job. Raw items older than RAW_RETENTION_DAYS go, and what people asked
to have erased and there was no time for.

Wiring only: authenticate, erase, expire, answer. Must not know how an item goes.
"""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from lib.archive.retention import expire
from lib.container import container
from lib.core.deadline import Deadline
from lib.privacy.erasure import finish_pending
from lib.web.app import function
from lib.web.auth import require_bearer
from lib.web.responses import json_response

ERASE_FOR_S = 25.0
WORK_FOR_S = 45.0
"""A last step may take ten seconds more, and still ends inside the function's maxDuration."""


async def retain(request: Request) -> Response:
    """200 with how many went and whether all are done; 401 for whoever is not Vercel (Vercel, "Securing cron jobs")."""
    here, deadline = container(), Deadline.after(WORK_FOR_S)
    require_bearer(request, here.settings, "cron")
    await finish_pending(here.erasures, deadline=deadline.at_most(ERASE_FOR_S))
    days = here.settings.raw_retention_days
    return json_response(200, await expire(here.archive, now=datetime.now(UTC), keep_days=days, deadline=deadline))


app = function(get=retain)
