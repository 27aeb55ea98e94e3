"""The body of a webhook: bytes to a JSON value with a usable envelope.

Pure. Knows what is refused before anything is looked at. Must not know Meta's items (`parse`).
"""

from lib.core.safe_json import decode_json
from lib.errors.exceptions import BadJson, InvalidPayload
from lib.webhooks.parser import check_envelope


def read_payload(body: bytes) -> object:
    """The payload in `body`. Raises `InvalidPayload`, with the path of the field, for what is not JSON in UTF-8,
    nested absurdly deep, or has no envelope.
    """
    try:
        payload = decode_json(body)
    except BadJson as error:
        raise InvalidPayload(error.path, error.message) from None
    complaint = check_envelope(payload)
    if complaint is not None:
        path, _, message = complaint.partition(": ")
        raise InvalidPayload(path, message)
    return payload
