"""GET /api/health: which settings are there and, for whoever holds the internal secret, does it all answer.

Wiring only. Must not show a value of any setting.
"""

import os

from starlette.requests import Request
from starlette.responses import Response

from lib.errors import BadConfiguration
from lib.health import check_dependencies
from lib.instance import instance
from lib.responses import Refused, json_response
from lib.routing import function
from lib.settings import presence
from lib.signatures import verify_bearer


async def health(request: Request) -> Response:
    """200 where all is well, else 503 with what is not."""
    body: dict[str, object] = {"status": "ok", "settings": presence(os.environ)}
    try:
        here = instance()
    except BadConfiguration as error:
        return json_response(503, body | {"status": "not_configured", "problems": error.problems})
    authorization = request.headers.get("authorization")
    if authorization is None:
        return json_response(200, body)
    if not verify_bearer(authorization, here.settings.internal_api_secret):
        raise Refused(401, "wrong_internal_secret", "Authorization is not Bearer INTERNAL_API_SECRET")
    checks = await check_dependencies(here)
    well = all(check.ok for check in checks.values())
    return json_response(200 if well else 503, body | {"status": "ok" if well else "degraded", "checks": checks})


app = function(get=health)
