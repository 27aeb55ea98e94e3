"""The body of a webhook: bytes → JSON with a usable envelope."""

from lib.core.safe_json import decode_json
from lib.errors.exceptions import BadJson, InvalidPayload
from lib.webhooks.payload import check_envelope


def read_payload(body: bytes) -> object:
    """Returns the payload in `body`.

    Raises `InvalidPayload`, with the path of the field, if the body is not JSON in UTF-8, is nested too deep, or has
    no envelope.
    """
    try:
        payload = decode_json(body)
    except BadJson as error:
        raise InvalidPayload(error.path, error.message) from None
    check_envelope(payload)
    return payload
