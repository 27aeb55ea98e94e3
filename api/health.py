"""GET /api/health: which settings are there and, for a holder of the internal secret, whether everything answers."""

import lib.core.start_log  # noqa: F401  from here on, every line of the log is JSON

# isort: split

import os

from starlette.requests import Request
from starlette.responses import Response

from lib.container import container
from lib.core.settings import presence
from lib.errors.exceptions import BadConfiguration
from lib.health import check_dependencies
from lib.web.app import function
from lib.web.auth import require_bearer
from lib.web.responses import json_response


async def health(request: Request) -> Response:
    """200 if all is well, else 503 with what is wrong. Never shows the value of a setting."""
    body: dict[str, object] = {"status": "ok", "settings": presence(os.environ)}
    try:
        services = container()
    except BadConfiguration as error:
        return json_response(503, body | {"status": "not_configured", "problems": error.problems})
    if "authorization" not in request.headers:
        return json_response(200, body)
    require_bearer(request, services.settings, "internal")
    checks = await check_dependencies(services)
    well = all(check.ok for check in checks.values())
    shown = {name: check.model_dump(exclude_none=True) for name, check in checks.items()}
    return json_response(200 if well else 503, body | {"status": "ok" if well else "degraded", "checks": shown})


app = function(GET=health)
