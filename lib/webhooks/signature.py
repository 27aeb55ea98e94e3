"""Meta's proofs on the webhook route: `X-Hub-Signature-256`, and the verification handshake."""

import re
from collections.abc import Sequence

from lib.core.constant_time import hmac_sha256, is_signed, same

_SIGNATURE = re.compile(r"sha256=([0-9a-fA-F]{64})")
_CHALLENGE = re.compile(r"[A-Za-z0-9]{1,255}")


def sign_hub(body: bytes, secret: str) -> str:
    """Returns the `X-Hub-Signature-256` of `body` (Meta, "Webhooks from Meta", validating payloads)."""
    return "sha256=" + hmac_sha256(body, secret).hex()


def verify_hub(body: bytes, header: str | None, secrets: Sequence[str]) -> bool:
    """Returns whether one of `secrets` signed `body`."""
    match = _SIGNATURE.fullmatch(header or "")
    return match is not None and is_signed(body, bytes.fromhex(match.group(1)), secrets)


def verify_challenge_token(token: str | None, expected: str) -> bool:
    """Returns whether `token` is the verify token of the handshake. An empty `expected` matches nothing."""
    return bool(expected) and token is not None and same(token, expected)


def valid_challenge(challenge: str | None) -> bool:
    """Returns whether `challenge` may be echoed. Anything but letters and digits could be a script."""
    return challenge is not None and _CHALLENGE.fullmatch(challenge) is not None
