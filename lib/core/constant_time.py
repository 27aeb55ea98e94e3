"""Comparison of secrets in constant time."""

import hmac


def same(given: str, expected: str) -> bool:
    """Returns whether both are equal. The time does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))
