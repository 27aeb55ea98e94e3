"""The local stack's keys and secrets: fixed, public, worthless anywhere else.

Plain values and one HS256 signature. Must not know who uses which.
"""

import base64
import hashlib
import hmac
import json

# The Supabase CLI's own well-known local secret.
JWT_SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"
JWT_EXPIRES_AT_S = 1_983_812_996  # 2032-11-11, the CLI's date too

# The new style of keys, which Supabase's gateway exchanges for a JWT.
SECRET_KEY = "sb_secret_local_development"
PUBLISHABLE_KEY = "sb_publishable_local_development"

APP_SECRET = "local-app-secret"
VERIFY_TOKEN = "local-verify-token"
INTERNAL_SECRET = "local-internal-secret"
CRON_SECRET = "local-cron-secret"
ACCESS_TOKEN = "local-access-token"
ACCOUNT_ID = "17841400000000000"
TOKEN_KEY = base64.urlsafe_b64encode(b"local-development-only-token-key").decode()

# The first user of Upstash's dev server, printed in Upstash's documentation ("Local development").
QSTASH_TOKEN = "eyJVc2VySUQiOiJkZWZhdWx0VXNlciIsIlBhc3N3b3JkIjoiZGVmYXVsdFBhc3N3b3JkIn0="
QSTASH_CURRENT_SIGNING_KEY = "sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r"
QSTASH_NEXT_SIGNING_KEY = "sig_5ZB6DVzB1wjE8S6rZ7eenA8Pdnhs"


def supabase_jwt(role: str) -> str:
    """A legacy API key of the local project: the same text every time, for `anon` or `service_role`."""
    claims = {"iss": "supabase-local", "role": role, "exp": JWT_EXPIRES_AT_S}
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.new(JWT_SECRET.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_base64url(signature)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
