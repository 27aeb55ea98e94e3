"""GET /api/privacy/deletion-status?code=…: a person sees what became of their request.

Wiring only: look up, show. Must not know whose data it was.
"""

from starlette.requests import Request
from starlette.responses import Response

from lib.deadline import Deadline
from lib.instance import instance
from lib.privacy import look_up
from lib.routing import function
from lib.status_page import show

ANSWER_WITHIN_S = 8.0


async def status(request: Request) -> Response:
    """A page, or JSON for whoever asks for it: 200, 404 for an unknown code, 400 for what is none, 503."""
    here, deadline = instance(), Deadline.after(ANSWER_WITHIN_S)
    code = request.query_params.get("code", "")
    found = await look_up(here.erasures, code, deadline=deadline)
    return show(found, code=code, accept=request.headers.get("accept", ""))


app = function(get=status)
