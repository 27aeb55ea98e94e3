"""Where a message may go: any http(s) URL, or the name of a URL group.

The hosted service refuses loopback and private addresses. The stand-in is made for them and allows them.
"""

import re
from urllib.parse import urlsplit

MAX_LENGTH = 8_192
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")


def looks_like_url(text: str) -> bool:
    """Whether the text begins as a URL does. Any other text is the name of a group."""
    return text.lower().startswith(("http://", "https://"))


def check_url(text: str) -> str:
    """Returns the URL, or raises `ValueError` in the hosted service's words."""
    if not looks_like_url(text):
        raise ValueError("endpoint has invalid scheme, add http:// or https://")
    if len(text) > MAX_LENGTH or not text.isprintable() or " " in text:
        raise ValueError("endpoint is not a valid url")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("endpoint is not a valid url") from None
    if not parts.hostname:
        raise ValueError("endpoint has no host")
    return text


def check_name(text: str, what: str) -> str:
    """Returns the name of a queue, group or schedule, or raises `ValueError`."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"{what} can only contain alphanumeric characters, hyphens, periods and underscores")
    return text


def from_path(raw_path: str, prefix: str, query: str) -> str:
    """Returns the destination behind `prefix` in a request path, byte for byte, with its query string.

    The path is the raw one: `%2F` in a destination must not become a slash.
    """
    text = raw_path.removeprefix(prefix)
    return f"{text}?{query}" if query else text
