"""JSON from outside: what is refused, and what is made storable."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.safe_json import MAX_DEPTH, clean, decode_clean, decode_json
from lib.errors.exceptions import BadJson
from tests.support.strategies import json_values


def test_a_body_is_decoded_as_json() -> None:
    assert decode_json(b'{"a": [1, 2.5, "\xc3\xa9", null, true]}') == {"a": [1, 2.5, "é", None, True]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"", "not JSON: Expecting value at character 0"),
        (b'{"a": 1} x', "not JSON: Extra data at character 9"),
        (b"\xef\xbb\xbf{}", "not JSON: Expecting value at character 0"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"1" * 5000, "a number is too long to read"),
    ],
)
def test_what_is_not_json_is_refused_without_quoting_it(body: bytes, message: str) -> None:
    with pytest.raises(BadJson) as refused:
        decode_json(body)
    assert (refused.value.path, refused.value.message) == (None, message)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 500, 100_000])
def test_what_is_nested_too_deep_is_refused_with_the_path(levels: int) -> None:
    deep = b'{"entry": [{"id": "a:[{,", "x": 1}, {"mess\\"age": ' + b"[" * levels + b"]" * levels + b"}]}"
    with pytest.raises(BadJson) as refused:
        decode_json(deep)
    assert refused.value.path is not None
    assert refused.value.path.startswith('$.entry[1].mess\\"age[0][0]')
    assert len(refused.value.path) <= 200
    assert refused.value.message == "nested deeper than 64 levels"


def test_as_deep_as_allowed_is_allowed_and_clean_and_one_level_more_is_not() -> None:
    deepest = decode_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert clean(deepest) is deepest
    with pytest.raises(BadJson):
        decode_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


@pytest.mark.parametrize(
    ("dirty", "cleaned"),
    [
        ("a\x00b", "a\ufffdb"),
        ("\ud83d", "\ufffd"),
        ({"k\x00": ["\udc00"]}, {"k\ufffd": ["\ufffd"]}),
        ([float("nan"), float("inf"), float("-inf"), 1.5], ["NaN", "Infinity", "-Infinity", 1.5]),
        ([2**63, -(2**63) - 1, 2**63 - 1], ["9223372036854775808", "-9223372036854775809", 2**63 - 1]),
        ([10**5000], ["[too big]"]),
        (True, True),
    ],
)
def test_what_postgres_refuses_is_replaced(dirty: object, cleaned: object) -> None:
    assert clean(dirty) == cleaned


def test_two_names_that_clean_to_one_both_keep_their_values_in_any_order() -> None:
    pairs = [("\ud800", 1), ("\x00", 2), ("\ufffd", 3)]
    forwards, backwards = clean(dict(pairs)), clean(dict(reversed(pairs)))
    assert forwards == backwards
    assert forwards["\ufffd"] == 3
    assert sorted(forwards.values()) == [1, 2, 3]


def test_what_lies_too_deep_is_named_so_and_never_overflows_the_stack() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    found = clean(deep)
    for _ in range(MAX_DEPTH):
        [found] = found
    assert found == "[too deep]"


def test_a_clean_value_is_returned_itself() -> None:
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": ""}}
    assert clean(value) is value


@given(json_values())
def test_cleaning_is_idempotent_and_gives_strict_utf8_json(value: Any) -> None:
    cleaned = clean(value)
    assert clean(cleaned) is cleaned
    text = json.dumps(cleaned, allow_nan=False, ensure_ascii=False)
    assert "\\u0000" not in text.replace("\\\\", "")
    assert json.loads(text.encode("utf-8")) == cleaned


NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.integers(10**18, 10**20).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,4})?", fullmatch=True),
    st.just("1" + "0" * 320 + ".5"),
)
STRINGS = st.lists(
    st.one_of(
        st.text(max_size=6),
        st.sampled_from(["\x00", "\ud83d", "\udc99", "\U0001f499", "\\u0000", "\\", "12345678901234567890", "9E999"]),
    ),
    max_size=4,
).map("".join)


def _spelled(parts: tuple[str, str, str, bool]) -> bytes:
    key, value, number, in_ascii = parts
    try:
        text = json.dumps({key: [value, {"n": "@"}]}, ensure_ascii=in_ascii).replace('"@"', number)
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps({key: value}).encode()


@given(st.tuples(STRINGS, STRINGS, NUMBERS, st.booleans()).map(_spelled))
@settings(max_examples=1500)
def test_cleaning_while_decoding_is_cleaning_after_decoding(body: bytes) -> None:
    cleaned = decode_clean(body)
    assert repr(cleaned) == repr(clean(decode_json(body)))
    assert clean(cleaned) is cleaned
