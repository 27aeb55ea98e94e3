"""QStash's signature on a delivery: a JWT over the URL and the body.

Source: Upstash, "Verifying Signatures".
"""

import hashlib
import time
from collections.abc import Sequence
from typing import Literal

from pydantic import ValidationError

from lib.core import base64url
from lib.core.constant_time import is_signed, same
from lib.core.model import Model

CLOCK_LEEWAY_S = 5
"""How far QStash's clock and ours may differ, in seconds."""


class Header(Model):
    """The head of the token. The signature is checked as this algorithm, whatever the head says."""

    alg: Literal["HS256"]


class Claims(Model):
    """What QStash signs: the URL (`sub`), the digest of the body, and from when until when, in seconds."""

    iss: Literal["Upstash"]
    sub: str
    nbf: float
    exp: float
    body: str


def verify_qstash(body: bytes, signature: str | None, *, url: str, keys: Sequence[str]) -> bool:
    """Returns whether QStash signed `body` for `url` with one of `keys`, and the signature is valid now."""
    # Not by the SDK's `Receiver` (3.4.0): its `clock_tolerance` does not reach PyJWT. A clock that is one second behind
    # would then refuse every message and every retry, as each is signed from its own moment on. Not by PyJWT: of all
    # tokens only this one kind can be good here, and PyJWT takes a tenth of the processor time of a delivery.
    claims = _signed_claims(signature or "", keys)
    if claims is None or claims.sub != url:
        return False
    now_s = time.time()
    if not claims.nbf - CLOCK_LEEWAY_S <= now_s < claims.exp + CLOCK_LEEWAY_S:
        return False
    return same(claims.body.rstrip("="), base64url.encode(hashlib.sha256(body).digest()))


def _signed_claims(token: str, keys: Sequence[str]) -> Claims | None:
    """Returns the claims of a token that one of `keys` has signed, or None."""
    signed, _, signature = token.rpartition(".")
    head, _, payload = signed.partition(".")
    parts = [base64url.decode(part) for part in (head, payload, signature)]
    if None in parts or not is_signed(signed.encode(), parts[2] or b"", keys):
        return None
    try:
        Header.model_validate_json(parts[0] or b"")
        return Claims.model_validate_json(parts[1] or b"")
    except ValidationError:
        return None
