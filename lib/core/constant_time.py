"""Comparison of secrets and of signatures (HMAC-SHA256) in constant time."""

import hmac
from collections.abc import Sequence


def same(value: str, expected: str) -> bool:
    """Returns whether both are equal. The time does not depend on where they differ."""
    return hmac.compare_digest(value.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))


def hmac_sha256(data: bytes, secret: str) -> bytes:
    """Returns the HMAC-SHA256 of `data`."""
    return hmac.digest(secret.encode(), data, "sha256")


def is_signed(data: bytes, signature: bytes, secrets: Sequence[str]) -> bool:
    """Returns whether one of `secrets` signed `data` (HMAC-SHA256). An empty secret signs nothing."""
    # Every secret is tried, so that the time does not tell which one matched.
    matches = [hmac.compare_digest(signature, hmac_sha256(data, secret)) for secret in secrets if secret]
    return any(matches)
