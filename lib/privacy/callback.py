"""Meta's privacy callbacks, incoming: one signed form, authenticated before its content is parsed."""

from starlette.requests import Request

from lib.core.deadline import Deadline
from lib.core.settings import Settings
from lib.privacy.signed_request import MAX_FORM_BYTES, SignedRequest, read_signed, signed_request_in, verified
from lib.web.responses import Refused, read_body


async def signed_by_meta(request: Request, settings: Settings, *, deadline: Deadline) -> SignedRequest:
    """Returns the signed request in the form. Raises `Refused` (401), `InvalidPayload` and `BodyTooLarge`."""
    async with deadline.enforced():
        form = await read_body(request, limit_bytes=MAX_FORM_BYTES)
    signed = signed_request_in(form)
    if signed is None:
        raise Refused(401, "missing_signature", "signed_request is missing")
    payload = verified(signed, settings.instagram_app_secrets)
    if payload is None:
        raise Refused(401, "wrong_signature", "signed_request matches none of INSTAGRAM_APP_SECRET")
    return read_signed(payload)
