"""JSON from outside: bytes to a value (`decode_json`), and a value to one Postgres can store (`clean`).

Knows JSON, and what `jsonb` refuses. Must not know Meta, events or HTTP.
"""

import json
import math
import re
from typing import Any, NoReturn

from lib.errors.exceptions import BadJson

MAX_DEPTH = 64
"""Arrays and objects inside one another that we read; Meta's own bodies stay under a dozen."""

TOO_DEEP = "[too deep]"
TOO_BIG = "[too big]"

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_MAX_INTEGER_BITS = 2048
# CPython may be set to refuse writing integers of more than 640 digits (about 2126 bits) in decimal.

_REPLACEMENT = "�"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# PostgreSQL, "JSON Types": jsonb rejects \u0000 and unpaired surrogates.

_MARK = r'(?s)"(?:[^"\\]|\\.)*"|[\[\]{}:,]'
_MAX_PATH_CHARS = 200


def decode_json(body: bytes) -> object:
    """The value in `body`, which must be UTF-8 and JSON by the letter.

    Raises `BadJson` for other encodings, anything but one JSON value, `NaN` and `Infinity`, integers too
    long for Python to read, and nesting deeper than `MAX_DEPTH`. Its message quotes nothing of the body;
    its path may hold names of fields. Lone surrogates and NUL pass: they are JSON, and `clean` deals with
    them.
    """
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
    """`value` as Postgres `jsonb` and a JSON encoder can hold it; the very same object where it was clean.

    NUL and lone surrogates become U+FFFD, in keys and strings; floats that are no number become their name;
    integers outside int64 become decimal strings; what lies deeper than `MAX_DEPTH` becomes `"[too deep]"`.
    Pure and idempotent.
    """
    return value if _is_clean(value, MAX_DEPTH) else _cleaned(value, MAX_DEPTH)


def _is_clean(value: Any, room: int) -> bool:
    """Whether there is nothing to replace. Allocates nothing: this runs over every webhook on its way in."""
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
            continue  # nearly every value of a webhook: spare it a call
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
    # Two names may clean to one. Neither value is dropped, and the order of the names must not matter.
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


def _within_depth(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return True
    return not any(isinstance(node, dict | list) for node in level)


def _too_deep(text: str) -> BadJson:
    return BadJson(_path_of_depth(text), f"nested deeper than {MAX_DEPTH} levels")


def _path_of_depth(text: str) -> str:
    """The path of the first array or object of `text` that lies deeper than `MAX_DEPTH`.

    Read from the text, since what is too deep for the decoder leaves no value to walk.
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
