"""What each caller shows to be let in, right or wrong."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from dev.stack import keys
from lib.webhooks.signature import sign_hub
from tests.security.functions import HOST, Headers

WEBHOOK = "/api/webhooks/instagram"
INGEST = "/api/internal/ingest-event"
CONSUMER = "/api/qstash/instagram-ingestion"
FAILURE = "/api/qstash/instagram-failure"
DELETION = "/api/privacy/data-deletion"
DEAUTHORIZE = "/api/privacy/deauthorize"
STATUS = "/api/privacy/deletion-status"
HEALTH = "/api/health"
CRON = ("/api/cron/refresh-tokens", "/api/cron/retention", "/api/cron/sweep")

STRANGER = "a-secret-of-nobody-here-with-32-bytes"


def qstash_token(
    body: bytes, url: str, /, *, key: str = keys.QSTASH_CURRENT_SIGNING_KEY, algorithm: str = "HS256", **claims: Any
) -> str:
    """`Upstash-Signature` (Upstash, "Verifying signatures"); a claim that is None is left out.

    Made by hand, as an attacker would: a library does not write what it would refuse to read.
    """
    now = int(time.time())
    said = {
        "iss": "Upstash", "sub": url, "iat": now, "nbf": now, "exp": now + 300, "jti": "jwt_1",
        "body": base64url(hashlib.sha256(body).digest()), **claims,
    }  # fmt: skip
    parts = ({"alg": algorithm, "typ": "JWT"}, {name: claim for name, claim in said.items() if claim is not None})
    signed = ".".join(base64url(json.dumps(part).encode()) for part in parts)
    digest = {"HS384": "sha384", "HS512": "sha512"}.get(algorithm, "sha256")
    signature = b"" if algorithm.lower() == "none" else hmac.new(key.encode(), signed.encode(), digest).digest()
    return f"{signed}.{base64url(signature)}"


def base64url(data: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def credentials_of_a_stranger(path: str, body: bytes) -> Headers:
    """Every header that could let somebody in, well formed, and none of it of our secrets."""
    return [
        (b"x-hub-signature-256", sign_hub(body, STRANGER).encode()),
        (b"upstash-signature", qstash_token(body, HOST + path, key=STRANGER).encode()),
        (b"authorization", f"Bearer {STRANGER}".encode()),
        (b"content-type", b"application/json"),
    ]
