"""POST /api/privacy/data-deletion: Meta passes on that a person wants their data erased.

Wiring only: authenticate, erase, answer. Must not know what there is to erase.
"""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from lib.container import container
from lib.core.deadline import Deadline
from lib.privacy.callback import signed_by_meta
from lib.privacy.erasure import erase_on_request
from lib.web.app import function
from lib.web.responses import json_response

WORK_FOR_S = 8.0
"""Somebody is waiting for the code; what is not erased by then is erased later."""


async def erase(request: Request) -> Response:
    """200 with a status page and a confirmation code; 401 for whoever is not Meta; 503 to be asked again."""
    here, deadline = container(), Deadline.after(WORK_FOR_S)
    asked = await signed_by_meta(request, here.settings, deadline=deadline)
    return json_response(
        200, await erase_on_request(asked, here.settings, here.erasures, now=datetime.now(UTC), deadline=deadline)
    )


app = function(post=erase)
