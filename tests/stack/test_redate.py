"""Webhook bodies set to today: the times move together, and nothing else does."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dev.send.redate import redate
from dev.send.samples import samples
from lib.webhooks.payload import time_ms

NOW_MS = 1_795_000_000_123


def times(value: Any) -> list[Any]:
    """Every `time` and `timestamp` as written, in order."""
    if isinstance(value, list):
        return [found for inner in value for found in times(inner)]
    if not isinstance(value, dict):
        return []
    return [
        found for name, inner in value.items() for found in ([inner] if name in ("time", "timestamp") else times(inner))
    ]


def in_ms(written: object) -> int:
    read = time_ms(written)
    assert read is not None
    return read


def without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [without_times(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    return {name: without_times(inner) for name, inner in value.items() if name not in ("time", "timestamp")}


def test_the_newest_time_of_all_our_samples_becomes_now_and_the_others_keep_their_distance() -> None:
    before = [json.loads(sample.path.read_bytes()) for sample in samples()]
    after = redate(before, now_ms=NOW_MS)
    moves = {in_ms(new) - in_ms(old) for old, new in zip(times(before), times(after), strict=True)}
    assert len(moves) == 1
    newest = max(map(in_ms, times(after)))
    assert NOW_MS - 1000 < newest <= NOW_MS
    assert without_times(after) == without_times(before)


def test_seconds_stay_seconds_and_strings_stay_strings() -> None:
    body = {
        "entry": [
            {
                "time": 1_789_376_401,
                "messaging": [
                    {"timestamp": 1_789_376_400_403, "read": {"mid": "m", "watermark": 1_789_376_399_000}},
                    {"timestamp": "1789376400"},
                    {"timestamp": "1789376400545"},
                ],
            }
        ]
    }
    (moved,) = redate([body], now_ms=1_789_376_401_000 + 86_400_999)
    assert moved == {
        "entry": [
            {
                "time": 1_789_462_801,
                "messaging": [
                    {"timestamp": 1_789_462_800_403, "read": {"mid": "m", "watermark": 1_789_462_799_000}},
                    {"timestamp": "1789462800"},
                    {"timestamp": "1789462800545"},
                ],
            }
        ]
    }


def test_what_is_no_time_we_can_move_stays() -> None:
    body = {
        "time": None,
        "timestamp": "2021-09-08T06:34:04+0000",
        "entry": [{"time": True, "messaging": [{"timestamp": 0}, {"timestamp": -5}, {"timestamp": {"time": "x"}}]}],
        "token_expiry_timestamp": 1_820_913_780,
    }
    assert redate([body, [], "text", None, 3], now_ms=NOW_MS) == [body, [], "text", None, 3]


MOMENTS = st.integers(1_500_000_000_000, 1_900_000_000_000)
UNITS = st.sampled_from([lambda ms: ms, lambda ms: ms // 1000, str, lambda ms: str(ms // 1000)])


@given(st.lists(st.tuples(MOMENTS, UNITS), min_size=1), MOMENTS)
def test_whatever_the_units_all_times_move_by_the_same_distance(
    moments: list[tuple[int, Callable[[int], int | str]]], now_ms: int
) -> None:
    before = [{"timestamp": in_units(ms)} for ms, in_units in moments]
    after = redate(before, now_ms=now_ms)
    assert [type(new) for new in times(after)] == [type(old) for old in times(before)]
    assert len({in_ms(new) - in_ms(old) for old, new in zip(times(before), times(after), strict=True)}) == 1
    assert now_ms - 1000 < max(map(in_ms, times(after))) <= now_ms
