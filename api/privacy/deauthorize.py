"""POST /api/privacy/deauthorize: Meta says that the owner of an account removed the app.

Wiring only: authenticate, stop, answer. Must not know what stops.
"""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from lib.container import container
from lib.core.deadline import Deadline
from lib.privacy.callback import signed_by_meta
from lib.privacy.erasure import deauthorize
from lib.web.app import function
from lib.web.responses import json_response

ANSWER_WITHIN_S = 8.0


async def stop(request: Request) -> Response:
    """200 with what it came to; 401 for whoever is not Meta; 503 to be told again."""
    here, deadline = container(), Deadline.after(ANSWER_WITHIN_S)
    asked = await signed_by_meta(request, here.settings, deadline=deadline)
    async with deadline.enforced():
        outcome = await deauthorize(asked, here.erasures, now=datetime.now(UTC))
    return json_response(200, {"status": outcome})


app = function(post=stop)
