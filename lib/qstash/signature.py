"""QStash's signature on a delivery: a JWT over the URL and the body.

Source: Upstash, "Verifying Signatures".
"""

import base64
import hashlib
from collections.abc import Sequence

from lib.core.constant_time import same

CLOCK_LEEWAY_S = 5
"""How far QStash's clock and ours may differ, in seconds."""


def verify_qstash(body: bytes, signature: str | None, *, url: str, keys: Sequence[str]) -> bool:
    """Returns whether QStash signed `body` for `url` with one of `keys`, and the signature is valid now."""
    # Not by the SDK's `Receiver` (3.4.0): its `clock_tolerance` does not reach PyJWT. A clock that is one second behind
    # would then refuse every message and every retry, as each is signed from its own moment on.
    usable = [key for key in keys if key]
    if not usable or not signature:
        return False
    digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode()
    return any(_has_signed(key, signature, url=url, digest=digest) for key in usable)


def _has_signed(key: str, signature: str, *, url: str, digest: str) -> bool:
    import jwt  # noqa: PLC0415  it loads `cryptography`

    try:
        claims = jwt.decode(
            signature,
            key,
            algorithms=["HS256"],
            issuer="Upstash",
            subject=url,
            leeway=CLOCK_LEEWAY_S,
            options={"require": ["iss", "sub", "nbf", "exp", "body"]},
        )
    except Exception:
        # PyJWT raises its own errors for most of what a stranger can send, but not for all.
        return False
    return same(str(claims["body"]).rstrip("="), digest.rstrip("="))
