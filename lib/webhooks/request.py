"""The body of a webhook: bytes → JSON with a usable envelope."""

from lib.core.safe_json import decode_json
from lib.errors.exceptions import BadJson, InvalidPayload, TooManyEvents
from lib.events.model import MAX_EVENTS_PER_REQUEST
from lib.webhooks.payload import check_envelope
from lib.webhooks.walk import has_more_items


def read_payload(body: bytes) -> object:
    """Returns the payload in `body`.

    Raises `InvalidPayload`, with the path of the field, if the body is not JSON in UTF-8, is nested too deep, or has
    no envelope, and `TooManyEvents` if the payload holds more events than one request may.
    """
    try:
        payload = decode_json(body)
    except BadJson as error:
        raise InvalidPayload(error.path, error.message) from None
    check_envelope(payload)
    # Counted before any item is parsed: a body of 4.5 MB can hold a million items.
    if has_more_items(payload, MAX_EVENTS_PER_REQUEST):
        raise TooManyEvents("$.entry", MAX_EVENTS_PER_REQUEST)
    return payload
