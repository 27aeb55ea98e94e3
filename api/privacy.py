"""/api/privacy/{data-deletion,deauthorize,deletion-status}: Meta's two privacy callbacks, and the page for people.

One function for three paths: Vercel's Hobby plan takes twelve functions (docs/vercel.md).
"""

import lib.core.start_log  # noqa: F401  from here on, every line of the log is JSON

# isort: split

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from lib.container import container
from lib.core.deadline import Deadline
from lib.privacy.callback import signed_by_meta
from lib.privacy.deletion_status_page import show
from lib.privacy.erasure import deauthorize, erase_on_request, look_up
from lib.web.app import functions
from lib.web.responses import json_response

ANSWER_WITHIN_S = 8.0
"""A person waits for the answer. What is not erased by then is erased later."""


async def data_deletion(request: Request) -> Response:
    """A person wants their data erased. 200 with a status page and a confirmation code; 401; 503 to be asked again."""
    services, deadline, now = container(), Deadline.after(ANSWER_WITHIN_S), datetime.now(UTC)
    signed = await signed_by_meta(request, services.settings, deadline=deadline)
    receipt = await erase_on_request(signed, services.settings, services.erasures, now=now, deadline=deadline)
    return json_response(200, receipt)


async def deauthorized(request: Request) -> Response:
    """The owner of an account removed the app. 200 with what came of it; 401; 503 to be told again."""
    services, deadline = container(), Deadline.after(ANSWER_WITHIN_S)
    signed = await signed_by_meta(request, services.settings, deadline=deadline)
    async with deadline.enforced():
        outcome = await deauthorize(signed, services.erasures, now=datetime.now(UTC))
    return json_response(200, {"status": outcome})


async def deletion_status(request: Request) -> Response:
    """A page, or JSON for a client that asks for JSON: 200; 404 for an unknown code; 400 for no code; 503."""
    services, deadline = container(), Deadline.after(ANSWER_WITHIN_S)
    code = request.query_params.get("code", "")
    looked_up = await look_up(services.erasures, code, deadline=deadline)
    return show(looked_up, code=code, accept=request.headers.get("accept", ""))


app = functions(
    {
        "data-deletion": {"POST": data_deletion},
        "deauthorize": {"POST": deauthorized},
        "deletion-status": {"GET": deletion_status},
    }
)
