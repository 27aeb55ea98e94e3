"""Bearer secrets: routes that only a holder of one of our own secrets may call."""

from typing import Literal

from starlette.requests import Request

from lib.core.constant_time import same
from lib.core.settings import Settings
from lib.web.responses import Refused


def require_bearer(request: Request, settings: Settings, secret: Literal["internal", "cron"]) -> None:
    """Raises `Refused` (401) unless `request` carries the secret. A secret that is not set lets nobody in.

    `internal` is `INTERNAL_API_SECRET`. `cron` is `CRON_SECRET`, which Vercel sends with its cron jobs (Vercel,
    "Securing cron jobs").
    """
    name, expected = {
        "internal": ("INTERNAL_API_SECRET", settings.internal_api_secret),
        "cron": ("CRON_SECRET", settings.cron_secret),
    }[secret]
    if not verify_bearer(request.headers.get("authorization"), expected):
        raise Refused(401, f"wrong_{secret}_secret", f"Authorization is not Bearer {name}")


def verify_bearer(header: str | None, secret: str) -> bool:
    """Returns whether `header` is `Bearer {secret}`. Never true with an empty secret."""
    scheme, _, given = (header or "").partition(" ")
    return bool(secret) and scheme.lower() == "bearer" and same(given.strip(), secret)
