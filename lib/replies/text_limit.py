"""Cuts a text to the length of one Instagram message, and never inside a sign that a reader sees as one."""

import unicodedata

MAX_TEXT_BYTES = 1000
"""The longest text of one message, in UTF-8 bytes and not in characters (Meta, "Send messages")."""

_ZERO_WIDTH_JOINER = "\u200d"
_LONGEST_CLUSTER = 64
"""The longest sign, in characters. A longer run of marks is cut like any text."""


def bound_text(text: str, limit_bytes: int = MAX_TEXT_BYTES) -> str:
    """Returns the longest start of `text` that fits in `limit_bytes` of UTF-8 and does not end inside a sign.

    A sign is a letter with its marks, an emoji with its modifiers and joined parts, a flag, or a CR LF pair.
    Lone surrogates, which UTF-8 cannot carry, become U+FFFD first.
    """
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    encoded = text.encode("utf-8")
    if len(encoded) <= limit_bytes:
        return text
    fitting = len(encoded[: max(limit_bytes, 0)].decode("utf-8", "ignore"))
    return text[: _start_of_sign(text, fitting)]


def _start_of_sign(text: str, cut: int) -> int:
    """Returns the nearest index at or before `cut` where a sign begins, or `cut` if there is none near."""
    for index in range(cut, max(cut - _LONGEST_CLUSTER, 0), -1):
        if not _joined(text, index):
            return index
    return cut


def _joined(text: str, index: int) -> bool:
    """Returns whether the characters before and at `index` belong to one sign."""
    before, after = text[index - 1], text[index]
    return (
        _ZERO_WIDTH_JOINER in (before, after)
        or unicodedata.category(after) in ("Mn", "Me", "Mc")  # marks, variation selectors, keycaps
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= after <= "\U000e007f"  # tags: the flags of England, Scotland and Wales
        or (before, after) == ("\r", "\n")
        or (_is_flag_half(after) and _flag_halves_before(text, index) % 2 == 1)
    )


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flag_halves_before(text: str, index: int) -> int:
    """Returns how many regional indicators stand directly before `index`. Two make a flag."""
    start = index
    while start > 0 and _is_flag_half(text[start - 1]):
        start -= 1
    return index - start
