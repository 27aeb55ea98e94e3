"""Who is calling: Meta (HMAC), our own functions (bearer), QStash (JWT). Every comparison in constant time.

Pure. Must not parse a body, nor know what a caller may do.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence

CLOCK_LEEWAY_S = 5
"""So far may QStash's clock and ours differ."""

_HUB = re.compile(r"sha256=([0-9a-fA-F]{64})")
_CHALLENGE = re.compile(r"[A-Za-z0-9]{1,255}")


def sign_hub(body: bytes, secret: str) -> str:
    """`X-Hub-Signature-256` of `body` (Meta, "Webhooks from Meta", validating payloads)."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def verify_hub(body: bytes, header: str | None, secrets: Sequence[str]) -> bool:
    """Did one of `secrets` sign `body`? An empty secret never did."""
    found = _HUB.fullmatch(header or "")
    if found is None:
        return False
    given = found.group(1).lower().encode()
    matches = [
        hmac.compare_digest(given, hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode())
        for secret in secrets
        if secret
    ]
    return any(matches)


def verify_bearer(header: str | None, secret: str) -> bool:
    """Is `header` `Bearer {secret}`? Never with an empty secret."""
    scheme, _, given = (header or "").partition(" ")
    return bool(secret) and scheme.lower() == "bearer" and _same(given.strip(), secret)


def verify_challenge_token(given: str | None, expected: str) -> bool:
    """Is `given` the verify token of the handshake?"""
    return bool(expected) and given is not None and _same(given, expected)


def valid_challenge(challenge: str | None) -> bool:
    """May `challenge` be answered as it is? Letters and digits only, or it could be a script."""
    return challenge is not None and _CHALLENGE.fullmatch(challenge) is not None


def verify_qstash(body: bytes, signature: str | None, *, url: str, keys: Sequence[str]) -> bool:
    """Did QStash sign `body` for `url`, for now, with one of `keys` (Upstash, "Verifying signatures")?

    Not by the SDK's `Receiver` (3.4.0): its `clock_tolerance` does not reach PyJWT, and a clock that is a second behind
    would refuse every message and all its retries, each of which is signed from its own moment on.
    """
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
        # Whatever a stranger's token holds: PyJWT has an error of its own for most of it.
        return False
    return _same(str(claims["body"]).rstrip("="), digest.rstrip("="))


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))
