"""The local stack's keys and secrets: fixed, public, worthless anywhere else."""

import base64
import hashlib
import hmac
import json

from dev.qstash.config import DEV_CURRENT_KEY, DEV_NEXT_KEY, DEV_TOKEN

# The Supabase CLI's own well-known local secret.
JWT_SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"
JWT_EXPIRES_AT_S = 1_983_812_996  # 2032-11-11, the CLI's date too

# Keys of the new style. Supabase's gateway puts a JWT in their place.
SECRET_KEY = "sb_secret_local_development"
PUBLISHABLE_KEY = "sb_publishable_local_development"

APP_SECRET = "local-app-secret"
VERIFY_TOKEN = "local-verify-token"
INTERNAL_SECRET = "local-internal-secret"
CRON_SECRET = "local-cron-secret"
ACCESS_TOKEN = "local-access-token"
ACCOUNT_ID = "17841400000000000"
TOKEN_KEY = base64.urlsafe_b64encode(b"local-development-only-token-key").decode()

QSTASH_TOKEN = DEV_TOKEN
QSTASH_CURRENT_SIGNING_KEY = DEV_CURRENT_KEY
QSTASH_NEXT_SIGNING_KEY = DEV_NEXT_KEY


def supabase_jwt(role: str) -> str:
    """Returns the legacy API key of the local project for `anon` or `service_role`, the same text every time."""
    claims = {"iss": "supabase-local", "role": role, "exp": JWT_EXPIRES_AT_S}
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.new(JWT_SECRET.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_base64url(signature)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
