"""Who is calling: Meta (HMAC), our own functions (bearer), QStash (JWT). Every comparison in constant time.

Pure. Must not parse a body, nor know what a caller may do.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence

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
    """Did QStash sign `body` for `url` with one of `keys` (Upstash, "Verifying signatures")?"""
    usable = [key for key in keys if key]
    if not usable or not signature:
        return False
    from qstash import Receiver  # noqa: PLC0415

    try:
        text = body.decode("utf-8")
        Receiver(current_signing_key=usable[0], next_signing_key=usable[-1]).verify(
            signature=signature, body=text, url=url, clock_tolerance=5
        )
    except Exception:
        return False
    return True


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))
