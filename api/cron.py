"""/api/cron/{refresh-tokens,retention,sweep}: the jobs that Vercel's cron, a QStash schedule, or a sweep itself starts.

One function for three paths: Vercel's Hobby plan takes twelve functions (docs/vercel.md).
"""

import lib.core.start_log  # noqa: F401  from here on, every line of the log is JSON

# isort: split

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from lib.accounts.refresh import Refresher
from lib.archive.retention import expire
from lib.container import Container, container
from lib.core.deadline import Deadline
from lib.privacy.erasure import finish_pending
from lib.qstash.delivery import authenticated
from lib.qstash.publisher import SWEEP_PATH
from lib.recovery.sweeper import sweep
from lib.web.app import functions
from lib.web.auth import has_bearer, require_bearer
from lib.web.responses import json_response

REFRESH_FOR_S = 30.0
ERASE_FOR_S = 25.0
WORK_FOR_S = 45.0
"""A last step may take ten seconds more, and still ends inside the function's maxDuration."""


async def refresh_tokens(request: Request) -> Response:
    """Refreshes access tokens before they end. 200 with the counts, what failed, and which tokens end soon."""
    services, deadline = _authenticated(request), Deadline.after(REFRESH_FOR_S)
    refresher = Refresher(services.settings, accounts=services.accounts, graph=services.graph)
    return json_response(200, await refresher.run(deadline=deadline))


async def retention(request: Request) -> Response:
    """Finishes pending erasures, and empties raw items older than RAW_RETENTION_DAYS. 200 with the count."""
    services, deadline, now = _authenticated(request), Deadline.after(WORK_FOR_S), datetime.now(UTC)
    await finish_pending(services.erasures, deadline=deadline.at_most(ERASE_FOR_S))
    days = services.settings.raw_retention_days
    return json_response(200, await expire(services.archive, now=now, keep_days=days, deadline=deadline))


async def sweep_unfinished(request: Request) -> Response:
    """Gives unfinished events another attempt. 200 with what was taken up and what became of it.

    Vercel's cron, and a schedule, may send CRON_SECRET. QStash need not: it signs what it delivers.
    """
    services, deadline, now = container(), Deadline.after(WORK_FOR_S), datetime.now(UTC)
    if "upstash-signature" in request.headers and not has_bearer(request, services.settings, "cron"):
        await authenticated(request, services.settings, path=SWEEP_PATH, deadline=deadline)
    else:
        require_bearer(request, services.settings, "cron")
    swept = await sweep(
        services.sweep_store,
        services.ingestor,
        services.reconciler,
        services.redriver,
        services.publisher,
        now=now,
        deadline=deadline,
    )
    return json_response(200, swept)


def _authenticated(request: Request) -> Container:
    """Raises `Refused` (401) without CRON_SECRET (Vercel, "Securing cron jobs")."""
    services = container()
    require_bearer(request, services.settings, "cron")
    return services


app = functions(
    {
        "refresh-tokens": {"GET": refresh_tokens},
        "retention": {"GET": retention},
        "sweep": {"GET": sweep_unfinished, "POST": sweep_unfinished},
    }
)
