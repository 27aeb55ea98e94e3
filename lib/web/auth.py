"""Bearer secrets: routes that only a holder of one of our own secrets may call."""

from typing import Literal, TypeAlias

from starlette.requests import Request

from lib.core.constant_time import same
from lib.core.settings import Settings
from lib.web.responses import Refused

OwnSecret: TypeAlias = Literal["internal", "cron"]
"""`internal` is `INTERNAL_API_SECRET`. `cron` is `CRON_SECRET`, which Vercel sends with its cron jobs.

Source: Vercel, "Securing cron jobs".
"""

_NAMES: dict[OwnSecret, str] = {"internal": "INTERNAL_API_SECRET", "cron": "CRON_SECRET"}


def require_bearer(request: Request, settings: Settings, secret: OwnSecret) -> None:
    """Raises `Refused` (401) unless `request` carries the secret. A secret that is not set lets nobody in."""
    if not has_bearer(request, settings, secret):
        raise Refused(401, f"wrong_{secret}_secret", f"Authorization is not Bearer {_NAMES[secret]}")


def has_bearer(request: Request, settings: Settings, secret: OwnSecret) -> bool:
    """Returns whether `request` carries the secret."""
    expected = settings.internal_api_secret if secret == "internal" else settings.cron_secret  # noqa: S105
    return verify_bearer(request.headers.get("authorization"), expected)


def verify_bearer(header: str | None, secret: str) -> bool:
    """Returns whether `header` is `Bearer {secret}`. Never true with an empty secret."""
    scheme, _, given = (header or "").partition(" ")
    return bool(secret) and scheme.lower() == "bearer" and same(given.strip(), secret)
