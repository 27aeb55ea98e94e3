"""GET /api/privacy/deletion-status?code=…: a person sees what became of their request.

Wiring only: look up, show. Must not know whose data it was.
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.container import container
from lib.core.deadline import Deadline
from lib.privacy.deletion_status_page import show
from lib.privacy.erasure import look_up
from lib.web.app import function

ANSWER_WITHIN_S = 8.0


async def status(request: Request) -> Response:
    """A page, or JSON for whoever asks for it: 200, 404 for an unknown code, 400 for what is none, 503."""
    here, deadline = container(), Deadline.after(ANSWER_WITHIN_S)
    code = request.query_params.get("code", "")
    found = await look_up(here.erasures, code, deadline=deadline)
    return show(found, code=code, accept=request.headers.get("accept", ""))


app = function(get=status)
