"""Deduplication ids seen in the last ten minutes, and the messages they belong to.

Source: Upstash, features/deduplication and the API reference ("published in the last 10 minutes").
"""

import hashlib
from collections import OrderedDict

from dev.qstash.options import Options

WINDOW_S = 600.0


class Deduplication:
    """The window. `window_s` is already scaled."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._seen: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def existing(self, key: str, now_s: float) -> str | None:
        """Returns the id of the message first published under this key, or None if the window is closed."""
        self._prune(now_s)
        seen = self._seen.get(key)
        return seen[1] if seen else None

    def remember(self, key: str, message_id: str, now_s: float) -> None:
        """Opens the window for a key. A repetition does not prolong it."""
        self._seen[key] = (now_s, message_id)

    def reset(self) -> None:
        """Forgets everything."""
        self._seen.clear()

    def _prune(self, now_s: float) -> None:
        while self._seen:
            key, (seen_s, _) = next(iter(self._seen.items()))
            if now_s - seen_s < self._window_s:
                return
            del self._seen[key]


def deduplication_key(options: Options, destination: str, url: str, body: bytes) -> str | None:
    """Returns the key of one message, or None if the publisher asked for no deduplication.

    Content-based: destination, body, `Content-Type` and forwarded headers. Each endpoint of a URL group is
    a message of its own, so the key of a group always contains `url`.
    """
    if options.deduplication_id is not None:
        return f"id:{options.deduplication_id}" + (f" {url}" if url != destination else "")
    if not options.content_based:
        return None
    digest = hashlib.sha256()
    for part in (destination, url, *(f"{name}: {value}" for name, value in options.forwarded)):
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    digest.update(body)
    return f"content:{digest.hexdigest()}"
