"""Base64 for URLs (RFC 4648, section 5), as Meta and QStash write their signatures."""

import base64
import binascii
import re

_TEXT = re.compile(r"([A-Za-z0-9_-]*)={0,2}")


def encode(data: bytes) -> str:
    """Returns `data` as text, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes | None:
    """Returns the bytes in `text`, with or without padding, or None if it is no such text."""
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    digits = match.group(1)
    try:
        return base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
    except binascii.Error:
        return None
