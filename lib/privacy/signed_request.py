"""Meta's `signed_request`: about whom it is, once one of our secrets says that Meta wrote it.

Pure. Knows the format (Meta, "Data Deletion Request Callback": `<signature>.<payload>`, both base64url, the
signature over the payload as it is written). Must not know what is done for whom it is about.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qs

from pydantic import Field, ValidationError

from lib.core.model import Model
from lib.errors.exceptions import InvalidPayload

MAX_FORM_BYTES = 65_536
"""A form with a signed request is less than one of them."""

_FIELD = "signed_request"
_ALGORITHM = "HMAC-SHA256"
_BASE64URL = re.compile(r"([A-Za-z0-9_-]*)={0,2}")
_USER_ID = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """`user_id` is whoever used the app; an account of ours under either of its ids, or a person."""

    user_id: str
    issued_at_s: int | None = None


class SignedPayload(Model):
    """What matters of it. `expires` does not: it is the end of an access token (Meta, "Signed Request")."""

    algorithm: str
    user_id: str | int
    issued_at: Annotated[int, Field(ge=0, le=4_102_444_800)] | None = None


def sign_request(payload: bytes, secret: str) -> str:
    """The `signed_request` of `payload`, as Meta makes it."""
    encoded = _encode(payload)
    return f"{_encode(_signature(encoded, secret))}.{encoded}"


def signed_request_in(form: bytes) -> str | None:
    """The field of a body of type `application/x-www-form-urlencoded`; None where there is none.

    Raises `InvalidPayload` for what is no such body.
    """
    try:
        found = parse_qs(form.decode("ascii"), max_num_fields=20).get(_FIELD, [])
    except ValueError:
        raise InvalidPayload(None, "the body is no form") from None
    if len(found) > 1:
        raise InvalidPayload(None, f"the form has more than one {_FIELD}")
    return found[0] if found else None


def verified(signed: str, secrets: Sequence[str]) -> str | None:
    """The payload, still encoded, if one of `secrets` signed it; an empty secret never did."""
    signature, _, payload = signed.partition(".")
    given = _decode(signature)
    if given is None:
        return None
    matches = [hmac.compare_digest(given, _signature(payload, secret)) for secret in secrets if secret]
    return payload if any(matches) else None


def read_signed(payload: str) -> SignedRequest:
    """What a verified `payload` says. Raises `InvalidPayload` where it names nobody, or another algorithm."""
    try:
        content = SignedPayload.model_validate_json(_decode(payload) or b"")
    except ValidationError:
        raise InvalidPayload(None, "the signed payload is not what Meta signs, or names no user_id") from None
    if content.algorithm.upper() != _ALGORITHM:
        raise InvalidPayload("$.algorithm", f"is not {_ALGORITHM}")
    user_id = str(content.user_id)
    if not _USER_ID.fullmatch(user_id):
        raise InvalidPayload("$.user_id", "is no id")
    return SignedRequest(user_id, content.issued_at)


def _signature(encoded: str, secret: str) -> bytes:
    return hmac.new(secret.encode(), encoded.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes | None:
    """Padded or not."""
    found = _BASE64URL.fullmatch(text)
    if found is None:
        return None
    digits = found.group(1)
    try:
        return base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
    except binascii.Error:
        return None
