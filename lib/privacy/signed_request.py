"""Meta's `signed_request`: verifies the signature, and reads whose request it is.

The format is `<signature>.<payload>`, both base64url; the signature is over the encoded payload (Meta, "Data Deletion
Request Callback").
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qs

from pydantic import Field, ValidationError

from lib.core import base64url
from lib.core.constant_time import hmac_sha256, is_signed
from lib.core.model import Model
from lib.errors.exceptions import InvalidPayload

MAX_FORM_BYTES = 65_536
"""Far more than a form with a signed request has."""

_FIELD = "signed_request"
_ALGORITHM = "HMAC-SHA256"
_USER_ID = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """`user_id` is the user of the app: a person, or one of our accounts under either of its ids.

    `issued_at_s` is in seconds since the epoch. `proof` is the digest of what Meta signed: the same for a request that
    is delivered again, whichever secret it is verified with.
    """

    user_id: str
    issued_at_s: int | None
    proof: str


class SignedPayload(Model):
    """The fields that we need. `expires` is the end of an access token (Meta, "Signed Request") and does not matter."""

    algorithm: str
    user_id: str | int
    issued_at: Annotated[int, Field(ge=0, le=4_102_444_800)] | None = None


def sign_request(payload: bytes, secret: str) -> str:
    """Returns the `signed_request` of `payload`, as Meta makes it."""
    encoded = base64url.encode(payload)
    return f"{base64url.encode(hmac_sha256(_bytes(encoded), secret))}.{encoded}"


def signed_request_in(form: bytes) -> str | None:
    """Returns the `signed_request` field of a body of type `application/x-www-form-urlencoded`, or None without one.

    Raises `InvalidPayload` if the body is no form, or has the field twice.
    """
    try:
        values = parse_qs(form.decode("ascii"), max_num_fields=20).get(_FIELD, [])
    except ValueError:
        raise InvalidPayload(None, "the body is not a form") from None
    if len(values) > 1:
        raise InvalidPayload(None, f"the form has more than one {_FIELD}")
    return values[0] if values else None


def verified(signed: str, secrets: Sequence[str]) -> str | None:
    """Returns the payload, still encoded, or None if none of `secrets` signed it. An empty secret signs nothing."""
    encoded_signature, _, payload = signed.partition(".")
    signature = base64url.decode(encoded_signature)
    if signature is None:
        return None
    return payload if is_signed(_bytes(payload), signature, secrets) else None


def read_signed(payload: str) -> SignedRequest:
    """Returns the content of a verified `payload`. Raises `InvalidPayload` without a user, or for another algorithm."""
    try:
        content = SignedPayload.model_validate_json(base64url.decode(payload) or b"")
    except ValidationError:
        raise InvalidPayload(None, "the signed payload is not what Meta signs, or names no user_id") from None
    # The signature was checked as this algorithm, so a payload that names another one is not trusted.
    if content.algorithm.upper() != _ALGORITHM:
        raise InvalidPayload("$.algorithm", f"is not {_ALGORITHM}")
    user_id = str(content.user_id)
    if not _USER_ID.fullmatch(user_id):
        raise InvalidPayload("$.user_id", "is no id")
    return SignedRequest(user_id, content.issued_at, hashlib.sha256(_bytes(payload)).hexdigest())


def _bytes(encoded: str) -> bytes:
    # A lone surrogate must not raise: such text is only not signed by us.
    return encoded.encode("utf-8", "surrogatepass")
