"""Ids of messages, dead letters, schedules, signing keys and signatures.

They look like the hosted service's, can not be guessed, and sort by age where a listing needs an order.
"""

import secrets

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def message_id() -> str:
    """`msg_` and 40 characters."""
    return f"msg_{_random(40)}"


def schedule_id() -> str:
    """`scd_` and 28 characters."""
    return f"scd_{_random(28)}"


def signing_key() -> str:
    """`sig_` and 28 characters."""
    return f"sig_{_random(28)}"


def token_id() -> str:
    """The `jti` of one signature."""
    return f"jwt_{_random(28)}"


def dlq_id(now_ms: int, sequence: int) -> str:
    """Milliseconds and a counter, so that ids sort by age."""
    return f"{now_ms}-{sequence}"
