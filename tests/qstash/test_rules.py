"""The pure rules: delays, expressions, durations, cron, headers, admission, the deduplication window."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.qstash.backoff import default_delay_s, retry_delay_s, wished_delay_s
from dev.qstash.config import Config
from dev.qstash.cron import parse_cron
from dev.qstash.deduplication import Deduplication
from dev.qstash.durations import parse_duration_s
from dev.qstash.errors import ApiError
from dev.qstash.expression import parse_expression
from dev.qstash.lanes import Lane
from dev.qstash.limits import Limits, parse_limits
from dev.qstash.options import parse_options, read_source
from dev.qstash.redaction import parse_redaction


def test_the_default_delays_are_those_of_the_documentation() -> None:
    assert [round(default_delay_s(retry)) for retry in range(1, 7)] == [12, 148, 1808, 22026, 86400, 86400]
    assert default_delay_s(10_000) == 86_400


@pytest.mark.parametrize(
    ("text", "retried", "delay_ms"),
    [
        ("1000", 0, 1000),
        ("1000 * (1 + retried)", 2, 3000),
        ("5000 * retried", 2, 10_000),
        ("10 % 4 + 7 / 2", 0, 5.5),
        ("-5", 0, 0),
        (" * ".join(["1e18"] * 18), 0, math.inf),
    ],
)
def test_retry_expressions_compute_milliseconds(text: str, retried: int, delay_ms: float) -> None:
    assert parse_expression(text).delay_ms(retried) == pytest.approx(delay_ms)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "retries",
        "pow(2, retried)",
        "print(1)",
        "1;2",
        "'a'",
        "True",
        "x=1",
        "[1]",
        "retried.real",
        "(" * 99,
        "-" * 100 + "1",
        "1 if retried else 2",
        "lambda: 1",
        "1e999",
        "9" * 257,
        "2**2",
    ],
)
def test_anything_but_arithmetic_is_no_expression(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_expression(text)


@given(st.text(max_size=300))
def test_no_text_breaks_the_expression_reader(text: str) -> None:
    try:
        expression = parse_expression(text)
    except ValueError:
        return
    try:
        assert expression.delay_ms(3) >= 0
    except ValueError:
        return


def test_an_expression_without_a_value_falls_back_to_the_default_delay() -> None:
    expression = parse_expression("1 / retried")
    delays = [retry_delay_s(n, expression=expression, headers={}, now_s=0.0) for n in (1, 2)]
    assert delays == [default_delay_s(1), 0.001]


@pytest.mark.parametrize(
    ("headers", "delay_s"),
    [
        ({"retry-after": "120"}, 120),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "6m5s"}, 365),
        ({"retry-after": "250ms"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"}, 20),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        ({"retry-after": "9999999"}, 86_400),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "Thu, 99 Jan 1970 00:02:00 GMT"}, None),
        ({}, None),
    ],
)
def test_the_consumers_wish_is_read_in_all_its_forms(headers: dict[str, str], delay_s: float | None) -> None:
    assert wished_delay_s(headers, now_s=100.0) == delay_s


@pytest.mark.parametrize(
    ("text", "seconds"), [("50s", 50), ("1d10h30m", 124_200), ("1h5s", 3605), ("1.5m", 90), (" 2s ", 2)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "5y", "-5s", "5 s", "5s5", "٣s", "1" * 70 + "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration_s(text)


def _next(cron: str, now: str) -> str | None:
    found = parse_cron(cron).next_after_s(datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp())
    return None if found is None else datetime.fromtimestamp(found, UTC).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("cron", "now", "expected"),
    [
        ("* * * * *", "2026-08-01 12:00:30", "2026-08-01 12:01"),
        ("*/15 * * * *", "2026-08-01 12:00:00", "2026-08-01 12:15"),
        ("5/20 * * * *", "2026-08-01 12:30:00", "2026-08-01 12:45"),
        ("0 9 * * 1-5", "2026-08-01 12:00:00", "2026-08-03 09:00"),
        ("0 9 * * 1,5", "2026-08-03 09:00:00", "2026-08-07 09:00"),
        ("0 0 1 1 *", "2026-08-01 12:00:00", "2027-01-01 00:00"),
        ("0 0 13 * 5", "2026-08-01 12:00:00", "2026-08-07 00:00"),
        ("0 0 * * 7", "2026-08-01 12:00:00", "2026-08-02 00:00"),
        ("0 0 29 2 *", "2026-08-01 12:00:00", "2028-02-29 00:00"),
        ("0 0 31 2 *", "2026-08-01 12:00:00", None),
    ],
)
def test_cron_finds_the_next_moment(cron: str, now: str, expected: str | None) -> None:
    assert _next(cron, now) == expected


@pytest.mark.parametrize(
    "cron", ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "*/0 * * * *", "5-1 * * * *", "@daily"]
)
def test_a_bad_cron_expression_is_no_cron(cron: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_cron(cron)


def test_headers_become_options_whatever_their_case() -> None:
    source = read_source(
        [
            ("CONTENT-TYPE", "application/json"),
            ("authorization", "Bearer x"),
            ("upstash-forward-x-one", "1"),
            ("Upstash-Forward-Content-Length", "9"),
            ("upstash-RETRIES", "0"),
            ("Upstash-Label", " a , b,"),
            ("Upstash-Delay", "1m"),
            ("Upstash-Callback-Forward-X", "c"),
            ("Upstash-Failure-Callback-Retries", "2"),
        ]
    )
    options = parse_options(source)
    assert options.forwarded == (("Content-Type", "application/json"), ("X-One", "1"))
    assert (options.retries, options.delay_s, options.labels) == (0, 60.0, ("a", "b"))
    assert options.callback_source == (("Upstash-Forward-X", "c"),)
    assert options.failure_callback_source == (("Upstash-Retries", "2"),)


def test_a_publisher_who_asks_for_nothing_gets_the_defaults() -> None:
    options = parse_options(())
    assert (options.method, options.retries, options.delay_s, options.timeout_s) == ("POST", 3, 0.0, None)
    assert (options.labels, options.flow_key, options.callback, options.forwarded) == ((), None, None, ())


def _complaint_of(pairs: list[tuple[str, str]]) -> int | None:
    try:
        parse_options(read_source(pairs))
    except ApiError as error:
        return error.status
    return None


@given(st.lists(st.tuples(st.sampled_from(["Upstash-Retries", "Upstash-Delay", "x", "Upstash-"]), st.text())))
def test_headers_are_read_or_refused_and_nothing_else(pairs: list[tuple[str, str]]) -> None:
    assert _complaint_of(pairs) in (None, 400)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("parallelism=2", Limits(2, None, 1)),
        ("rate=10, period=1m", Limits(None, 10, 60)),
        ("Parallelism=3,rate=4,period=5", Limits(3, 4, 5)),
    ],
)
def test_flow_control_values_are_read(text: str, limits: Limits) -> None:
    assert parse_limits(text) == limits


def test_redaction_understands_the_documentation_and_the_sdk() -> None:
    assert parse_redaction("body, headers") == parse_redaction("body,header")
    shown = parse_redaction("header[AUTHORIZATION]").shown_headers({"Authorization": ["x"], "A": ["y"]})
    assert shown["A"] == ["y"]
    assert shown["Authorization"][0].startswith("REDACTED:2d711642b726b04401627ca9fbac32f5")


def test_a_lane_admits_up_to_its_parallelism() -> None:
    lane = Lane(Limits(parallelism=2))
    for _ in range(2):
        assert lane.wait_s(0.0) == 0.0
        lane.start(0.0)
    assert lane.wait_s(0.0) is None
    lane.finish()
    assert lane.wait_s(0.0) == 0.0


def test_a_lane_admits_so_many_a_period_and_then_waits_for_its_end() -> None:
    lane = Lane(Limits(rate=2, period_s=10), time_scale=0.5)
    lane.start(100.0)
    lane.start(101.0)
    assert lane.wait_s(101.0) == 4.0
    assert lane.wait_s(105.0) == 0.0
    lane.start(105.0)
    assert lane.wait_s(105.0) == 0.0
    lane.start(105.0)
    lane.reset_period(106.0)
    assert lane.wait_s(106.0) == 0.0


def test_a_paused_lane_admits_nobody() -> None:
    lane = Lane(Limits())
    lane.paused = True
    assert lane.wait_s(0.0) is None


def test_the_deduplication_window_closes_ten_minutes_after_the_first_publication() -> None:
    seen = Deduplication(600.0)
    seen.remember("k", "msg_1", 0.0)
    assert seen.existing("k", 599.9) == "msg_1"
    assert seen.existing("other", 599.9) is None
    assert seen.existing("k", 600.0) is None


@pytest.mark.parametrize(
    ("scale", "asked_s", "allowed_s"),
    [(1.0, 30, 30), (1.0, None, 900), (0.001, 30, 10), (0.001, 2, 2), (0.001, None, 10), (0.5, 30, 15)],
)
def test_a_delivery_timeout_is_scaled_but_stays_humane(scale: float, asked_s: float | None, allowed_s: float) -> None:
    assert Config(time_scale=scale).delivery_timeout_s(asked_s) == allowed_s
