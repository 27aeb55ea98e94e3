"""Where a message may go: any http(s) URL, or the name of a URL group.

The hosted service refuses loopback and private addresses; this one allows them, being made for them.
Pure text; whether a group exists is not known here.
"""

import re
from urllib.parse import urlsplit

MAX_LENGTH = 8_192
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")


def looks_like_url(text: str) -> bool:
    """Whether it begins as a URL does; otherwise it is taken for the name of a group."""
    return text.lower().startswith(("http://", "https://"))


def check_url(text: str) -> str:
    """The URL itself, or `ValueError` in the hosted service's words."""
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
    """A queue, group or schedule name, or `ValueError` (letters, digits, hyphens, periods, underscores)."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"{what} can only contain alphanumeric characters, hyphens, periods and underscores")
    return text


def from_path(raw_path: str, prefix: str, query: str) -> str:
    """The destination behind `prefix` in a request path, byte for byte, its own query string included.

    The raw path matters: `%2F` in a destination must not become a slash.
    """
    text = raw_path.removeprefix(prefix)
    return f"{text}?{query}" if query else text
