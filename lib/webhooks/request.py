"""The body of a webhook: bytes → JSON with a usable envelope → items."""

from lib.core.safe_json import decode_clean
from lib.errors.exceptions import BadJson, InvalidPayload
from lib.events.model import MAX_EVENTS_PER_REQUEST
from lib.webhooks.payload import check_envelope
from lib.webhooks.walk import Item, walk


def read_items(body: bytes) -> tuple[list[Item], int]:
    """Returns the clean items in `body` in order, and the count of things in it that are not ours (`walk`).

    Raises `InvalidPayload`, with the path of the field, if the body is not JSON in UTF-8, is nested too deep, or has
    no envelope, and `TooManyEvents` if it holds more events than one request may.
    """
    try:
        payload = decode_clean(body)
    except BadJson as error:
        raise InvalidPayload(error.path, error.message) from None
    check_envelope(payload)
    return walk(payload, most=MAX_EVENTS_PER_REQUEST)
