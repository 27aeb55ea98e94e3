"""The pair of signing keys and the JWT that goes with each delivery.

Knows PyJWT. Must not know what is delivered, or why.
Source: Upstash, howto/signature, "Verify the signature".
"""

import base64
import hashlib

import jwt

from dev.qstash import ids

LIFETIME_S = 300


class SigningKeys:
    """Current and next key. `rotate` moves the next one up; from then on it signs."""

    def __init__(self, current: str, next_key: str) -> None:
        self._start = (current, next_key)
        self.current = current
        self.next = next_key

    def rotate(self) -> None:
        """The next key becomes the current one, and there is a fresh next one."""
        self.current, self.next = self.next, ids.signing_key()

    def reset(self) -> None:
        """Back to the keys it was made with."""
        self.current, self.next = self._start

    def sign(self, *, url: str, body: bytes, now_s: float) -> str:
        """The value of `Upstash-Signature` for one delivery. Real seconds, whatever the time scale."""
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
