"""Routes that only a holder of one of our own secrets may call.

Knows the header and the refusal. Must not know any route, nor what its caller may do.
"""

from typing import Literal

from starlette.requests import Request

from lib.core.constant_time import same
from lib.core.settings import Settings
from lib.web.responses import Refused


def require_bearer(request: Request, settings: Settings, secret: Literal["internal", "cron"]) -> None:
    """Raises `Refused` (401) unless `request` carries `INTERNAL_API_SECRET`, or `CRON_SECRET` as Vercel sends it with
    its cron jobs (Vercel, "Securing cron jobs"). A secret that is not set lets nobody in.
    """
    name, expected = {
        "internal": ("INTERNAL_API_SECRET", settings.internal_api_secret),
        "cron": ("CRON_SECRET", settings.cron_secret),
    }[secret]
    if not verify_bearer(request.headers.get("authorization"), expected):
        raise Refused(401, f"wrong_{secret}_secret", f"Authorization is not Bearer {name}")


def verify_bearer(header: str | None, secret: str) -> bool:
    """Is `header` `Bearer {secret}`? Never with an empty secret."""
    scheme, _, given = (header or "").partition(" ")
    return bool(secret) and scheme.lower() == "bearer" and same(given.strip(), secret)
