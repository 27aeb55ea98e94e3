"""POST /api/privacy/deauthorize: Meta says that the owner of an account removed the app.

Wiring only: authenticate, stop, answer. Must not know what stops.
"""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from lib.deadline import Deadline
from lib.instance import instance
from lib.privacy import deauthorize
from lib.privacy_request import signed_by_meta
from lib.responses import json_response
from lib.routing import function

ANSWER_WITHIN_S = 8.0


async def stop(request: Request) -> Response:
    """200 with what it came to; 401 for whoever is not Meta; 503 to be told again."""
    here, deadline = instance(), Deadline.after(ANSWER_WITHIN_S)
    asked = await signed_by_meta(request, here.settings, deadline=deadline)
    async with deadline.enforced():
        outcome = await deauthorize(asked, here.erasures, now=datetime.now(UTC))
    return json_response(200, {"status": outcome})


app = function(post=stop)
