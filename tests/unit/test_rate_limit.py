"""How fast we may send: what Meta's usage headers make of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.graph.usage import BELIEVED_S, Usage, read_usage
from lib.processing.rate_limit import HOLD_FROM, SLOW_FROM, Limit, hold_s, limits_at

PERCENT = st.floats(0, 200)


def limits(percent: float, *, later_s: float = 0.0, sends_per_second: int = 40) -> Limit:
    usage = [Usage(percent, 100.0)]
    return limits_at(usage, sends_per_second=sends_per_second, now_s=100.0 + later_s).account


def business(**limit: object) -> dict[str, str]:
    return {"x-business-use-case-usage": json.dumps({"1784": [{"type": "instagram", **limit}]})}


def test_far_from_the_limits_only_our_own_count() -> None:
    assert limits(0) == limits(79.9) == Limit(40, 1.0)
    unlimited = limits_at([], sends_per_second=40, now_s=0)
    assert unlimited.account == Limit(40, 1.0)
    assert unlimited.thread == Limit(1, 1.0)
    assert unlimited.private_reply.count / unlimited.private_reply.window_s < 750 / 3600


@given(st.floats(SLOW_FROM, 200), st.floats(SLOW_FROM, 200), st.integers(1, 100))
def test_the_nearer_the_limit_the_longer_between_two_sends(one: float, other: float, rate: int) -> None:
    nearer, farther = (limits(percent, sends_per_second=rate) for percent in (max(one, other), min(one, other)))
    assert nearer.count == farther.count == 1
    assert 1 / rate <= farther.window_s <= nearer.window_s <= 10


def test_just_below_the_hold_a_send_takes_several_seconds() -> None:
    assert limits(HOLD_FROM - 1).window_s > 5


@given(PERCENT)
def test_there_is_a_hold_from_ninety_five_percent_on_for_a_minute(percent: float) -> None:
    usage = [Usage(percent, 100.0)]
    assert hold_s(usage, now_s=100.0) == (BELIEVED_S if percent >= HOLD_FROM else 0.0)
    assert hold_s(usage, now_s=100.0 + BELIEVED_S) == 0.0


def test_the_hold_lasts_as_long_as_meta_says() -> None:
    usage = read_usage(business(call_count=100, estimated_time_to_regain_access=15), now_s=0.0)
    assert hold_s(usage.values(), now_s=60.0) == 14 * 60.0


def test_of_several_limits_the_longest_hold_counts() -> None:
    assert hold_s([Usage(95, 100.0), Usage(99, 100.0, 600.0), Usage(50, 100.0, 6000.0)], now_s=100.0) == 600.0


@given(PERCENT)
def test_a_percentage_is_forgotten_after_a_minute(percent: float) -> None:
    assert limits(percent, later_s=BELIEVED_S) == Limit(40, 1.0)


def test_the_highest_of_metas_percentages_counts() -> None:
    headers = {"x-app-usage": '{"call_count":12,"total_cputime":81.5,"total_time":30}', **business(total_time=7)}
    seen = read_usage(headers, now_s=5.0)
    assert seen == {"app": Usage(81.5, 5.0), "instagram": Usage(7.0, 5.0)}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["1784", "type", "call_count", "total_time", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON.map(json.dumps) | st.text())
def test_whatever_the_headers_hold_it_is_no_more_than_a_pause(header: str) -> None:
    headers = {"x-app-usage": header, "x-business-use-case-usage": header}
    usage = read_usage(headers, now_s=0.0).values()
    assert 0 <= hold_s(usage, now_s=0.0) < 10**8
    assert limits_at(usage, sends_per_second=40, now_s=0.0).account.count >= 1


@pytest.mark.parametrize("header", ["[" * 100_000, '{"call_count":1e999}', '{"call_count":-1}', '{"call_count":true}'])
def test_nonsense_is_no_usage(header: str) -> None:
    seen = read_usage({"x-app-usage": header}, now_s=0.0)
    assert hold_s(seen.values(), now_s=0.0) == 0.0
