"""JSON from outside: decoded by the letter, and made storable for Postgres.

PostgreSQL's `jsonb` refuses NUL and lone surrogates (PostgreSQL, "JSON Types"); JSON itself allows them.
"""

import json
import math
import re
from typing import Any, NoReturn

from pydantic_core import from_json, to_json

from lib.errors.exceptions import BadJson

MAX_DEPTH = 64
"""Arrays and objects inside one another that we read; Meta's own bodies stay under a dozen."""

TOO_DEEP = "[too deep]"
TOO_BIG = "[too big]"

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_MAX_INTEGER_BITS = 2048
# CPython may be set to refuse to write integers of more than 640 digits (about 2126 bits) in decimal.
_NUMBER_MARKS = bytes(
    ord("0" if chr(byte) in "0123456789." else "e" if chr(byte) in "eE" else " ") for byte in range(256)
)
"""Each byte → its part in a number."""

_LARGE_NUMBERS = (b"0" * 19, b"0e000")
"""In those marks: every integer outside int64, and every float outside float64."""

_REPLACEMENT = "�"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_MARK = r'(?s)"(?:[^"\\]|\\.)*"|[\[\]{}:,]'
_MAX_PATH_CHARS = 200


def decode_json(body: bytes) -> object:
    """Returns the value in `body`, which must be UTF-8 and strict JSON.

    Raises `BadJson` for another encoding, for anything but one JSON value, for `NaN` and `Infinity`, for an integer
    that is too long for Python, and for nesting deeper than `MAX_DEPTH`. The message quotes nothing of the body; the
    path may hold names of fields. Lone surrogates and NUL pass: they are JSON, and `clean` replaces them.
    """
    return _decode(body)[0]


def decode_clean(body: bytes) -> object:
    """Returns the value in `body`, storable: `clean(decode_json(body))`. Raises `BadJson` like `decode_json`.

    Where the bytes show that nothing has to be replaced, nobody looks at each value.
    """
    value, has_no_surrogates = _decode(body)
    may_be_clean = has_no_surrogates and b"\\u0000" not in body and not _has_large_number(body)
    return value if may_be_clean else clean(value)


def _has_large_number(body: bytes) -> bool:
    """Returns whether there may be a number that is no int64 or float64. Nothing here runs once a byte in Python."""
    marks = body.translate(_NUMBER_MARKS, b"+")
    return any(large in marks for large in _LARGE_NUMBERS)


def _decode(body: bytes) -> tuple[object, bool]:
    """Returns the value in `body`, and whether it certainly has no lone surrogate."""
    try:
        # The keys come again and again; the values of a webhook hardly do.
        value = from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        # The fast decoder refuses lone surrogates, which Meta sends, and does not say where nesting is too deep.
        return _decode_by_standard_library(body), False
    if _may_be_too_deep(body) and not _within_depth(value):
        raise _too_deep(body.decode())
    return value, True


def storable(body: bytes) -> bytes:
    """Returns JSON `body` in a form that `jsonb` takes: the very same bytes where nothing needs to be replaced.

    Our own functions send each other what `clean` has seen, in raw UTF-8 and without escapes; so the check costs next
    to nothing. Raises `BadJson` like `decode_json`, but leaves it to the reader of the bytes where it finds nothing to
    replace.
    """
    suspicious = b"\\u" in body or b"NaN" in body or b"Infinity" in body or _has_large_number(body)
    return to_json(decode_clean(body)) if suspicious else body


def _decode_by_standard_library(body: bytes) -> object:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJson(None, f"not UTF-8 at byte {error.start}") from None
    try:
        value: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadJson(None, f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise _too_deep(text) from None
    except ValueError:
        raise BadJson(None, "a number is too long to read") from None
    if not _within_depth(value):
        raise _too_deep(text)
    return value


def clean(value: Any) -> Any:
    """Returns `value` as `jsonb` and a JSON encoder can hold it: the very same object if it was clean.

    NUL and lone surrogates become U+FFFD, in keys and strings. Floats that are no number become their name. Integers
    outside int64 become decimal strings. Values deeper than `MAX_DEPTH` become `"[too deep]"`. Idempotent.
    """
    return value if _is_clean(value, MAX_DEPTH) else _cleaned(value, MAX_DEPTH)


def _is_clean(value: Any, room: int) -> bool:
    """Returns whether nothing has to be replaced. Allocates nothing: this runs over every webhook."""
    kind = type(value)
    if kind is str:
        return _is_clean_text(value)
    if kind is dict:
        return room > 0 and _is_clean_object(value, room)
    if kind is list:
        return room > 0 and all(_is_clean(item, room - 1) for item in value)
    return _is_clean_number(value)


def _is_clean_object(mapping: dict[str, Any], room: int) -> bool:
    for key, item in mapping.items():
        if not (key.isascii() and "\x00" not in key) and _UNSTORABLE.search(key):
            return False
        if type(item) is str and item.isascii() and "\x00" not in item:
            continue  # nearly every value of a webhook ends here, without another call
        if not _is_clean(item, room - 1):
            return False
    return True


def _is_clean_text(text: str) -> bool:
    return (text.isascii() and "\x00" not in text) or not _UNSTORABLE.search(text)


def _is_clean_number(value: int | float | None) -> bool:
    if isinstance(value, int):
        return _INT64_MIN <= value <= _INT64_MAX
    return value is None or math.isfinite(value)


def _cleaned(value: Any, room: int) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub(_REPLACEMENT, value)
    if isinstance(value, dict):
        return _cleaned_object(value, room) if room else TOO_DEEP
    if isinstance(value, list):
        return [_cleaned(item, room - 1) for item in value] if room else TOO_DEEP
    return value if _is_clean_number(value) else _number_name(value)


def _number_name(value: int | float) -> str:
    if isinstance(value, int):
        return str(value) if value.bit_length() <= _MAX_INTEGER_BITS else TOO_BIG
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _cleaned_object(mapping: dict[str, Any], room: int) -> dict[str, Any]:
    cleaned = {key: _cleaned(item, room - 1) for key, item in mapping.items() if _is_clean_text(key)}
    # Two names may become one. Neither value is dropped, and the order of the names must not matter.
    dirty = sorted(key for key in mapping if not _is_clean_text(key))
    for number, key in enumerate(dirty):
        name = _UNSTORABLE.sub(_REPLACEMENT, key)
        if name in cleaned:
            name += str(number)
        while name in cleaned:
            name += _REPLACEMENT
        cleaned[name] = _cleaned(mapping[key], room - 1)
    return cleaned


def _refuse_constant(name: str) -> NoReturn:
    raise BadJson(None, f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _may_be_too_deep(body: bytes) -> bool:
    """Returns False if `body` has too few brackets to be nested too deep. Most webhooks end here."""
    return body.count(b"[") + body.count(b"{") > MAX_DEPTH


def _within_depth(value: object) -> bool:
    # A decoder makes no other arrays and objects than lists and dicts.
    level: list[Any] = [value] if type(value) in (dict, list) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return True
    return False


def _too_deep(text: str) -> BadJson:
    return BadJson(_path_of_depth(text), f"nested deeper than {MAX_DEPTH} levels")


def _path_of_depth(text: str) -> str:
    """Returns the path of the first array or object of `text` that is deeper than `MAX_DEPTH`.

    The text is read, as there is no value to walk where nesting is too deep for the decoder.
    """
    path: list[str | int] = []
    last_string = ""
    for match in re.finditer(_MARK, text):
        mark = match.group()
        if mark in "[{":
            if len(path) == MAX_DEPTH:
                break
            path.append(0 if mark == "[" else "")
        elif mark in "]}":
            path.pop()
        elif mark == ",":
            at = path[-1]
            path[-1] = at + 1 if isinstance(at, int) else ""
        elif mark == ":":
            path[-1] = last_string
        else:
            last_string = mark[1:-1]
    shown = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return shown if len(shown) <= _MAX_PATH_CHARS else shown[: _MAX_PATH_CHARS - 1] + "…"
