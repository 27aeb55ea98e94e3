"""Texts cut to what one message may hold."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib.replies.text_limit import bound_text

FAMILY = "👨‍👩‍👧‍👦"
WELSH_FLAG = "🏴󠁧󠁢󠁷󠁬󠁳󠁿"
SIGNS = ["a", "é", "e\u0301", "👍🏽", FAMILY, "🇫🇷", "🇩🇪", WELSH_FLAG, "1️⃣", "❤️", "\r\n", "漢", "नि"]

any_text = st.text() | st.lists(st.sampled_from(SIGNS)).map("".join)


@given(any_text, st.integers(0, 60))
@example("\ud83d" * 5, 7)
def test_a_bounded_text_fits_in_utf_8(text: str, limit_bytes: int) -> None:
    assert len(bound_text(text, limit_bytes).encode("utf-8")) <= limit_bytes


@given(any_text, st.integers(0, 60))
def test_a_bounded_text_is_how_the_text_begins(text: str, limit_bytes: int) -> None:
    assert text.startswith(bound_text(text, limit_bytes))


@given(any_text, st.integers(-5, 60))
def test_bounding_twice_changes_nothing(text: str, limit_bytes: int) -> None:
    once = bound_text(text, limit_bytes)

    assert bound_text(once, limit_bytes) == once


@given(any_text)
def test_a_text_that_fits_is_left_alone(text: str) -> None:
    assert bound_text(text, len(text.encode("utf-8"))) == text


@given(st.lists(st.sampled_from([sign for sign in SIGNS if sign != "\r\n"]), min_size=1), st.integers(30, 90))
def test_no_sign_is_cut_in_two(signs: list[str], limit_bytes: int) -> None:
    bounded = bound_text("".join(signs), limit_bytes)

    assert bounded in {"".join(signs[:count]) for count in range(len(signs) + 1)}


@pytest.mark.parametrize("sign", [FAMILY, "👍🏽", "🇫🇷", WELSH_FLAG, "e\u0301"])
def test_a_sign_that_does_not_fit_is_left_out_whole(sign: str) -> None:
    assert bound_text("ab" + sign, len(("ab" + sign).encode()) - 1) == "ab"


def test_a_thousand_bytes_hold_250_emoji() -> None:
    assert bound_text("🥰" * 300) == "🥰" * 250


def test_a_letter_under_a_thousand_marks_is_cut_like_any_text() -> None:
    assert len(bound_text("a" + "\u0301" * 1000).encode()) > 900


def test_half_an_emoji_becomes_a_replacement_character() -> None:
    assert bound_text("a\ud83d") == "a\ufffd"
