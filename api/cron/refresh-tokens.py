"""GET /api/cron/refresh-tokens: Vercel's daily cron job. Access tokens are refreshed before they die.

Wiring only: authenticate, refresh, answer. Must not know which token is due.
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.accounts.refresh import Refresher
from lib.container import container
from lib.core.deadline import Deadline
from lib.web.app import function
from lib.web.auth import require_bearer
from lib.web.responses import json_response

BEGIN_FOR_S = 30.0
"""What is begun by then ends inside the function's maxDuration."""


async def refresh(request: Request) -> Response:
    """200 with how many were refreshed, which were not, and which expire; 401 for whoever is not Vercel (Vercel,
    "Securing cron jobs").
    """
    here, deadline = container(), Deadline.after(BEGIN_FOR_S)
    require_bearer(request, here.settings, "cron")
    refresher = Refresher(here.settings, accounts=here.accounts, graph=here.graph)
    return json_response(200, await refresher.run(deadline=deadline))


app = function(get=refresh)
