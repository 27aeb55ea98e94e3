"""Who is calling: Meta (HMAC), our own functions (bearer), QStash (JWT). Every comparison in constant time.

Pure. Must not parse a body, nor know what a caller may do.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence

from lib.core.constant_time import same

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


def verify_challenge_token(given: str | None, expected: str) -> bool:
    """Is `given` the verify token of the handshake?"""
    return bool(expected) and given is not None and same(given, expected)


def valid_challenge(challenge: str | None) -> bool:
    """May `challenge` be answered as it is? Letters and digits only, or it could be a script."""
    return challenge is not None and _CHALLENGE.fullmatch(challenge) is not None
