"""The pair of signing keys and the JWT that goes with each delivery.

Source: Upstash, howto/signature, "Verify the signature".
"""

import base64
import hashlib

import jwt

from dev.qstash import ids

LIFETIME_S = 300


class SigningKeys:
    """The current and the next key. The current key signs."""

    def __init__(self, current: str, next_key: str) -> None:
        self._start = (current, next_key)
        self.current = current
        self.next = next_key

    def rotate(self) -> None:
        """Makes the next key the current one, and a fresh next key."""
        self.current, self.next = self.next, ids.signing_key()

    def reset(self) -> None:
        """Back to the keys it was made with."""
        self.current, self.next = self._start

    def sign(self, *, url: str, body: bytes, now_s: float) -> str:
        """Returns the value of `Upstash-Signature` for one delivery. Its times are real, whatever the time scale."""
        issued_s = int(now_s)
        claims = {
            "iss": "Upstash",
            "sub": url,
            "exp": issued_s + LIFETIME_S,
            "iat": issued_s,
            "nbf": issued_s,
            "jti": ids.token_id(),
            "body": base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode(),
        }
        return jwt.encode(claims, self.current, algorithm="HS256")
