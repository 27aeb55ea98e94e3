"""Verdicts: every row of the tables, the exceptions the libraries really raise, and that nothing upsets `classify`."""

import asyncio
import concurrent.futures
import json
import math
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from typing import Annotated, Any, Literal

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from postgrest import APIError
from postgrest.exceptions import APIErrorFromJSON, generate_default_error_message
from pydantic import Field, TypeAdapter, ValidationError
from qstash.errors import (
    DailyMessageLimitExceededError,
    QStashError,
    RateLimitExceededError,
    SignatureError,
)
from qstash.http import raise_for_non_ok_status
from starlette.requests import ClientDisconnect

from lib.core.model import Model, invalid_payload
from lib.errors import classify as errors
from lib.errors.classify import classify
from lib.errors.exceptions import (
    BadConfiguration,
    BadJson,
    BodyTooLarge,
    DeadlineExceeded,
    GraphError,
    GraphTransportError,
    InProgress,
    InvalidPayload,
    QueueRejected,
    SendDelayed,
    TokenUnreadable,
    TooManyEvents,
    UnreadableAnswer,
)
from lib.errors.graph_codes import BY_CODE, BY_SUBCODE
from lib.errors.tables import BY_CLASS, BY_DATABASE_CODE, BY_NAME
from lib.errors.verdict import Verdict
from lib.graph.usage import longest_regain_s, read_usage
from tests.support.strategies import json_values

SECRET = "Zq7-pssst-dear-diary"
"""In every place where a stranger could have put words; in no verdict."""

CODE = re.compile(r"[a-z][a-z0-9_]*")
DAY_S = 86_400


# Graph: facts of Meta's error pages, a row each.

REFUSED, RETRY, UNCLEAR, OURS, STOP, REAUTH, DONE = "refused", "retry", "unclear", "ours", "stop", "reauth", "done"
"""How a *send* ends. unclear: retried when it was a read. ours, reauth: it waits until a person mends something."""

GRAPH_ROWS: list[tuple[int | None, int | None, int, str]] = [
    (1, None, 500, UNCLEAR),
    (1, None, 400, UNCLEAR),
    (1, 99, 500, UNCLEAR),
    (1, 1357046, 500, DONE),
    (1, 1357046, 400, DONE),
    (2, None, 500, UNCLEAR),
    (2, None, 400, UNCLEAR),
    (2, 1545133, 500, RETRY),
    (2, 2018344, 400, OURS),
    (3, None, 400, OURS),
    *((code, None, 400, RETRY) for code in (4, 17, 32, 341, 613, 80002, 80006)),
    (4, None, 403, RETRY),
    (4, None, 500, RETRY),
    (613, 2534040, 400, RETRY),
    (10, None, 400, OURS),
    (10, None, 500, OURS),
    (10, 2534022, 400, REFUSED),
    (10, 2018278, 400, REFUSED),
    (10, 1893063, 400, STOP),
    (100, None, 400, REFUSED),
    (100, 2534014, 400, REFUSED),
    (100, 2534029, 400, STOP),
    (100, 2018001, 400, REFUSED),
    (100, 33, 400, REFUSED),
    (2534025, None, 400, REFUSED),
    (10903, 2534025, 400, REFUSED),
    (10903, None, 400, REFUSED),
    (10900, None, 400, REFUSED),
    (2534001, None, 400, REFUSED),
    (100, 2534001, 400, REFUSED),
    (2534013, None, 400, RETRY),
    (10, 2534013, 400, RETRY),
    (2534014, None, 400, REFUSED),
    (2534022, None, 400, REFUSED),
    (190, None, 401, REAUTH),
    *((190, subcode, 400, REAUTH) for subcode in (458, 459, 460, 463, 467)),
    (190, 9999999, 400, REAUTH),
    (102, None, 400, REAUTH),
    *((code, None, 403, OURS) for code in (200, 201, 210, 299)),
    (230, None, 403, REFUSED),
    (200, 2534041, 403, STOP),
    (368, None, 400, STOP),
    (551, None, 400, REFUSED),
    (551, 1545041, 400, REFUSED),
    (9010, None, 400, REFUSED),
    # Nothing listed: HTTP says it.
    (None, None, 429, RETRY),
    (424242, None, 429, RETRY),
    *((None, None, status, UNCLEAR) for status in (408, 500, 502, 503, 504, 599)),
    (424242, None, 500, UNCLEAR),
    *((None, None, status, REFUSED) for status in (400, 401, 403, 404, 413)),
    (424242, 7, 400, REFUSED),
    (None, 7, 400, REFUSED),
    # Nothing said at all.
    (None, None, 200, UNCLEAR),
    (None, None, 307, UNCLEAR),
    (424242, None, 200, UNCLEAR),
]


def answered(code: object, subcode: object, status: int = 400, *, is_send: bool, **more: object) -> GraphError:
    """What Meta answers, with words of a person in every text."""
    fields = {"code": code, "error_subcode": subcode, "message": SECRET, "error_user_msg": SECRET, **more}
    body = {"error": {name: value for name, value in fields.items() if value is not None}}
    return GraphError.from_response(status, {}, body, is_send=is_send)


def ending(verdict: Verdict) -> str:
    """The one of the seven endings that `verdict` is, which must be no other as well."""
    shown = {
        RETRY: verdict.retryable,
        UNCLEAR: verdict.outcome_unknown,
        OURS: verdict.is_outage and not verdict.account_stop,
        STOP: verdict.account_state == "stopped",
        REAUTH: verdict.account_state == "needs_reauth",
        DONE: verdict.already_done,
    }
    true = [name for name, shows in shown.items() if shows]
    assert len(true) <= 1
    return true[0] if true else REFUSED


@pytest.mark.parametrize(("code", "subcode", "status", "end"), GRAPH_ROWS)
def test_a_send_that_meta_refuses_ends_as_its_row_says(
    code: int | None, subcode: int | None, status: int, end: str
) -> None:
    verdict = classify(answered(code, subcode, status, is_send=True, type="OAuthException"))

    assert ending(verdict) == end
    assert verdict.account_stop is (end in (STOP, REAUTH))


@pytest.mark.parametrize(("code", "subcode", "status", "end"), GRAPH_ROWS)
def test_a_read_that_meta_refuses_has_no_unknown_outcome(
    code: int | None, subcode: int | None, status: int, end: str
) -> None:
    verdict = classify(answered(code, subcode, status, is_send=False))

    assert ending(verdict) == (RETRY if end == UNCLEAR else end)


@pytest.mark.parametrize(("code", "subcode", "end"), [row[:2] + row[3:] for row in GRAPH_ROWS if row[0] in BY_CODE])
def test_a_body_of_meta_is_judged_like_the_error_made_of_it(code: int, subcode: int | None, end: str) -> None:
    body = {"error": {"message": SECRET, "type": "OAuthException", "code": code, "error_subcode": subcode}}

    assert ending(classify(body)) == (RETRY if end == UNCLEAR else end)


@pytest.mark.parametrize("kind", ["OAuthException", "GraphMethodException", "IGApiException", None])
def test_the_type_of_metas_error_changes_nothing(kind: str | None) -> None:
    closed = answered(10, 2534022, is_send=True, type=kind)

    assert classify(closed) == classify(answered(10, 2534022, is_send=True))
    assert classify(closed).code == "graph_outside_window"


@pytest.mark.parametrize(
    ("code", "subcode", "status", "end"),
    [
        (2, None, 500, UNCLEAR),
        (424242, None, 400, UNCLEAR),
        (None, None, 400, UNCLEAR),
        (100, None, 400, RETRY),
        (10, 2534022, 400, RETRY),
        (4, None, 403, RETRY),
        (190, 463, 400, REAUTH),
        (368, None, 400, STOP),
        (1, 1357046, 500, DONE),
    ],
)
def test_what_meta_calls_transient_is_tried_again_unless_it_may_be_done(
    code: int | None, subcode: int | None, status: int, end: str
) -> None:
    assert ending(classify(answered(code, subcode, status, is_send=True, is_transient=True))) == end
    read = classify(answered(code, subcode, status, is_send=False, is_transient=True))
    assert ending(read) == (RETRY if end == UNCLEAR else end)


@pytest.mark.parametrize("flag", [False, "true", 1, None, {}])
def test_only_a_true_is_transient_is_one(flag: object) -> None:
    assert not classify(answered(100, None, is_send=False, is_transient=flag)).retryable


@pytest.mark.parametrize("number", [190, "190", 190.0])
def test_numbers_of_meta_may_come_as_text(number: object) -> None:
    assert classify(answered(number, "463", is_send=True)).code == "graph_token_invalid"


@pytest.mark.parametrize("number", [True, -190, 190.5, "19O", "１９０", "", [190], {"code": 190}, math.nan, 10**400])
def test_an_absurd_number_of_meta_is_no_number(number: object) -> None:
    refused = answered(number, number, status=400, is_send=False)

    assert (refused.code, refused.subcode) == (None, None)
    assert classify(refused).code == "graph_refused"


@pytest.mark.parametrize("body", [None, [], "x", {}, {"error": None}, {"error": "x"}, {"error": []}, {"error": {}}])
def test_an_answer_without_an_error_in_it_is_judged_by_its_status(body: object) -> None:
    assert classify(GraphError.from_response(503, {}, body, is_send=True)).outcome_unknown
    assert not classify(GraphError.from_response(404, {}, body, is_send=True)).retryable


def test_the_numbers_of_meta_are_shown_and_its_trace_is_kept() -> None:
    refused = answered(100, 33, is_send=False, fbtrace_id="AbC_d-1")

    assert "code 100, subcode 33" in classify(refused).message
    assert refused.fbtrace_id == "AbC_d-1"
    assert answered(100, 33, is_send=False, fbtrace_id="<b>" + SECRET).fbtrace_id is None


@pytest.mark.parametrize(
    ("kind", "left", "is_send", "unknown"),
    [
        ("timeout", True, True, True),
        ("connection", True, True, True),
        ("timeout", False, True, False),
        ("connection", False, True, False),
        ("timeout", True, False, False),
        ("connection", True, False, False),
    ],
)
def test_only_a_send_that_left_without_an_answer_has_an_unknown_outcome(
    kind: Any, *, left: bool, is_send: bool, unknown: bool
) -> None:
    verdict = classify(GraphTransportError(kind=kind, request_left=left, is_send=is_send))

    assert verdict.outcome_unknown is unknown
    assert verdict.retryable is not unknown


# How long to wait.


def usage(*minutes: object) -> str:
    limits = [{"type": "instagram", "call_count": 100, "estimated_time_to_regain_access": each} for each in minutes]
    return json.dumps({"17841400000000001": limits, "other": "x", "third": [None]})


@pytest.mark.parametrize(
    ("headers", "retry_after"),
    [
        ({}, None),
        ({"Retry-After": "2"}, 2),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "999999999"}, DAY_S),
        ({"Retry-After": "soonish"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "9" * 400}, None),
        (
            {"Retry-After": "Wed, 21 Oct 2026 07:29:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            60,
        ),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry-After": "Wed, 99 Oct 2026 99:99:99 GMT"}, None),
        ({"X-Business-Use-Case-Usage": usage(3)}, 180),
        ({"X-Business-Use-Case-Usage": usage(1, "7", 2)}, 420),
        ({"X-Business-Use-Case-Usage": usage(0)}, None),
        ({"X-Business-Use-Case-Usage": usage(100_000)}, DAY_S),
        ({"X-Business-Use-Case-Usage": usage(None, [], -4, True, "x")}, None),
        ({"X-Business-Use-Case-Usage": "{not json"}, None),
        ({"X-Business-Use-Case-Usage": "[" * 15_000}, None),
        ({"X-Business-Use-Case-Usage": "[1, 2]"}, None),
        ({"Retry-After": "2", "X-Business-Use-Case-Usage": usage(3)}, 2),
    ],
)
def test_a_rate_limit_of_meta_says_how_long_to_wait(headers: dict[str, str], retry_after: float | None) -> None:
    for given_headers in (headers, httpx.Headers(headers)):
        regain_s = longest_regain_s(read_usage({name.lower(): value for name, value in given_headers.items()}, now_s=0))
        limited = GraphError.from_response(
            400, given_headers, {"error": {"code": 80002}}, is_send=True, regain_s=regain_s
        )
        assert classify(limited).retry_after == retry_after


def test_a_date_without_a_date_of_the_sender_is_measured_from_now() -> None:
    headers = {"Retry-After": formatdate(time.time() + 600, usegmt=True)}

    verdict = classify(GraphError.from_response(429, headers, None, is_send=False))

    assert verdict.retry_after is not None
    assert 500 < verdict.retry_after <= 600


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, True, "soon", None])
def test_an_absurd_delay_is_none(seconds: Any) -> None:
    assert classify(InProgress(seconds)).retry_after is None
    assert classify(GraphError(status=429, retry_after=seconds)).retry_after is None


@given(
    header=st.integers().map(str) | st.floats().map(str) | st.text(max_size=30),
    minutes=st.integers() | st.floats() | st.text(max_size=12) | json_values(),
    reset=st.integers(-(10**15), 10**15).map(str) | st.text(max_size=20),
)
def test_no_delay_that_somebody_else_asks_for_is_longer_than_a_day(header: str, minutes: object, reset: str) -> None:
    headers = {"retry-after": header, "x-business-use-case-usage": usage(minutes)}
    regain_s = longest_regain_s(read_usage(headers, now_s=0))
    refused = GraphError.from_response(400, headers, {"error": {"code": 80002}}, is_send=True, regain_s=regain_s)
    asked = [regain_s, *(reading.holds_until_s() for reading in read_usage(headers, now_s=0).values())]
    asked += [classify(error).retry_after for error in (refused, RateLimitExceededError("1", "0", reset))]
    assert all(seconds is None or 0 <= seconds <= DAY_S for seconds in asked)


def test_a_send_that_may_be_out_asks_for_no_wait() -> None:
    broken = {"Retry-After": "60"}

    assert classify(GraphError.from_response(500, broken, None, is_send=True)).retry_after is None
    assert classify(GraphError.from_response(500, broken, None, is_send=False)).retry_after == 60


@pytest.mark.parametrize("code", [10, 190, 368, 551])
def test_what_is_never_tried_again_asks_for_no_wait(code: int) -> None:
    refused = GraphError.from_response(400, {"Retry-After": "60"}, {"error": {"code": code}}, is_send=True)

    assert classify(refused).retry_after is None


# Postgres and PostgREST.

RETRYABLE_DATABASE = [
    *("08000", "08003", "08006", "08P01", "53000", "53100", "53200", "53300", "53400"),
    *("57P01", "57P02", "57P03", "57P05", "57014", "40000", "40001", "40P01", "55P03", "55006"),
    *("25006", "25P03", "25P04", "58000", "58030", "XX000", "XX001"),
    *("PGRST000", "PGRST001", "PGRST002", "PGRST003", "PGRST202", "PGRST205", "PGRST200", "PGRST204", "PGRSTX00"),
]
PERMANENT_DATABASE = [
    *("22000", "22001", "22P02", "22P05", "23000", "23502", "23503", "23505", "23514", "54000", "54001"),
]
OUTAGES_OF_THE_DATABASE = [
    *("21000", "22023", "25006", "42000", "42501", "42601", "42703", "42883", "42P01", "P0001", "P0002", "P0004"),
    *("28000", "28P01", "3F000", "0P000", "0LP01"),
    *("PGRST100", "PGRST102", "PGRST116", "PGRST121", "PGRST201", "PGRST202", "PGRST203", "PGRST205"),
    *("PGRST300", "PGRST301", "PGRST302", "PGRST303"),
]
UNFORESEEN_DATABASE = ["00000", "0A000", "55000", "39000", "PGRST999", "PGRST", "2200", "220011", "22 00", "22p02", ""]


def test_a_key_that_supabases_gateway_does_not_know_is_a_matter_of_configuration() -> None:
    verdict = classify(APIError({"message": "Invalid API key", "hint": "Double check your Supabase API key."}))
    assert (verdict.retryable, verdict.is_outage, verdict.code) == (True, True, "bad_configuration")


def test_a_code_of_the_database_is_read_whatever_its_message_is() -> None:
    for message in (["Invalid API key"], "Invalid API key"):
        verdict = classify(APIError({"code": "40001", "message": message}))
        assert verdict.retryable, message


def said_by_postgrest(code: object) -> APIError:
    """As the official client raises it: the words quote the row."""
    return APIError({"code": code, "message": f"Key (text)=({SECRET})", "details": SECRET, "hint": SECRET})


def both(code: object) -> Iterator[Verdict]:
    error = said_by_postgrest(code)
    yield classify(error)
    yield classify(error.json())


@pytest.mark.parametrize("code", RETRYABLE_DATABASE)
def test_an_error_of_the_database_that_passes_is_retryable(code: str) -> None:
    for verdict in both(code):
        assert verdict.retryable
        assert verdict.code.startswith("database_")
        assert code in verdict.message


@pytest.mark.parametrize("code", PERMANENT_DATABASE)
def test_an_error_of_the_database_that_stays_is_permanent(code: str) -> None:
    for verdict in both(code):
        assert not verdict.retryable
        assert verdict.code.startswith(("database_", "bad_configuration"))


@pytest.mark.parametrize("code", OUTAGES_OF_THE_DATABASE)
def test_a_key_a_role_or_a_schema_that_the_database_refuses_is_an_outage_and_of_no_event(code: str) -> None:
    for verdict in both(code):
        assert (verdict.retryable, verdict.is_outage) == (True, True)
        assert verdict.retry_after is not None
        assert verdict.code.startswith(("database_", "bad_configuration"))


def test_a_jwt_that_is_refused_for_now_is_tried_again_soon() -> None:
    for verdict in both("PGRST303"):
        assert verdict.retry_after is not None
        assert verdict.retry_after <= 15


@pytest.mark.parametrize("code", ["42501", "PGRST301", "PGRST302", "PGRST303"])
def test_a_key_the_database_refuses_is_named_as_the_setting_to_change(code: str) -> None:
    for verdict in both(code):
        assert verdict.code == "bad_configuration"
        assert "SUPABASE_SERVICE_ROLE_KEY" in verdict.message


@pytest.mark.parametrize("code", [*UNFORESEEN_DATABASE, None, True, [], {}, 1.5, -1, 10**30])
def test_an_unforeseen_code_of_the_database_is_unknown_and_retryable(code: object) -> None:
    for verdict in both(code):
        assert (verdict.code, verdict.retryable) == ("unknown_error", True)


def test_a_sqlstate_that_lost_its_quotes_is_still_one() -> None:
    assert classify({"code": 40001}).code == "database_conflict"
    assert classify({"code": 23505}).code == "database_constraint"


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(status, status != 413) for status in (400, 401, 403, 404, 405, 406, 408, 409, 411, 413, 415, 422, 425, 429, 451)]
    + [(status, True) for status in (500, 502, 503, 504, 520, 544)],
)
def test_an_answer_of_a_proxy_before_the_database_is_judged_by_its_status(status: int, *, retryable: bool) -> None:
    page = httpx.Response(status, text=f"<html>{SECRET}</html>")
    with pytest.raises(ValueError, match="validation error"):
        APIErrorFromJSON.model_validate_json(page.content)

    assert classify(APIError(generate_default_error_message(page))).retryable is retryable
    assert classify({"code": status}).retryable is retryable


# QStash.


def qstash_refusal(status: int, headers: Mapping[str, str] | None = None) -> QStashError:
    """The SDK's own error for an answer of QStash."""
    with pytest.raises(QStashError) as caught:
        raise_for_non_ok_status(httpx.Response(status, headers=headers, text=f'{{"error": "{SECRET} status: 500"}}'))
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "qstash_refused", True),
        (401, "qstash_refused", True),
        (403, "qstash_refused", True),
        (404, "qstash_refused", True),
        (412, "qstash_refused", True),
        (413, "qstash_refused", False),
        (408, "qstash_unavailable", True),
        (500, "qstash_unavailable", True),
        (503, "qstash_unavailable", True),
        (307, "unknown_error", True),
    ],
)
def test_an_answer_of_qstash_is_judged_by_its_status(status: int, code: str, *, retryable: bool) -> None:
    verdict = classify(qstash_refusal(status))

    assert (verdict.code, verdict.retryable) == (code, retryable)


@pytest.mark.parametrize(
    ("prefix", "kind"), [("RateLimit", DailyMessageLimitExceededError), ("Burst-RateLimit", RateLimitExceededError)]
)
def test_a_limit_of_qstash_is_waited_for(prefix: str, kind: type[QStashError]) -> None:
    reset = int(time.time()) + 3600
    error = qstash_refusal(429, {f"{prefix}-Limit": "1", f"{prefix}-Remaining": "0", f"{prefix}-Reset": str(reset)})
    verdict = classify(error)

    assert isinstance(error, kind)
    assert (verdict.code, verdict.retryable) == ("qstash_rate_limited", True)
    assert verdict.retry_after is not None
    assert 3500 < verdict.retry_after <= 3600


@pytest.mark.parametrize("reset", [None, "", "soon", "-1", 1.5, True])
def test_a_limit_of_qstash_without_a_time_names_none(reset: Any) -> None:
    assert classify(RateLimitExceededError("1", "0", reset)).retry_after is None


def test_a_limit_of_qstash_that_is_over_needs_no_wait() -> None:
    assert classify(DailyMessageLimitExceededError("1", "0", "1600000000")).retry_after == 0


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (None, "qstash_rejected", True),
        (200, "qstash_rejected", True),
        (400, "qstash_refused", True),
        (413, "qstash_refused", False),
        (429, "qstash_rate_limited", True),
        (500, "qstash_unavailable", True),
    ],
)
def test_a_message_qstash_did_not_take_is_judged_by_the_status_it_named(
    status: int | None, code: str, *, retryable: bool
) -> None:
    verdict = classify(QueueRejected(status, SECRET))

    assert (verdict.code, verdict.retryable) == (code, retryable)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": SECRET}, "unknown_error"),
        ({"error": SECRET, "status": 400}, "qstash_refused"),
        ({"error": SECRET, "status": "503"}, "qstash_unavailable"),
        ({}, "unknown_error"),
    ],
)
def test_an_error_body_of_qstash_is_judged_by_its_status(body: dict[str, object], code: str) -> None:
    assert classify(body).code == code


# Exceptions of Python, of httpx, and our own.

REQUEST = httpx.Request("POST", f"https://example.com/?token={SECRET}", headers={"Authorization": SECRET})


def caught(action: Callable[[], object]) -> BaseException:
    """What `action` raises."""
    try:
        action()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def wrong_shape() -> object:
    return TypeAdapter(int).validate_json(b'"x"')


RETRYABLE_EXCEPTIONS: list[tuple[BaseException, str]] = [
    (httpx.ConnectTimeout(SECRET, request=REQUEST), "timeout"),
    (httpx.ReadTimeout(SECRET, request=REQUEST), "timeout"),
    (httpx.WriteTimeout(SECRET, request=REQUEST), "timeout"),
    (httpx.PoolTimeout(SECRET, request=REQUEST), "pool_exhausted"),
    (httpx.ConnectError(SECRET, request=REQUEST), "connection_failed"),
    (httpx.ReadError(SECRET, request=REQUEST), "connection_failed"),
    (httpx.WriteError(SECRET, request=REQUEST), "connection_failed"),
    (httpx.CloseError(SECRET, request=REQUEST), "connection_failed"),
    (httpx.ProxyError(SECRET, request=REQUEST), "connection_failed"),
    (httpx.RemoteProtocolError(SECRET, request=REQUEST), "connection_failed"),
    (httpx.LocalProtocolError(SECRET, request=REQUEST), "connection_failed"),
    (httpx.TooManyRedirects(SECRET, request=REQUEST), "connection_failed"),
    (httpx.DecodingError(SECRET, request=REQUEST), "unreadable_answer"),
    (TimeoutError(SECRET), "timeout"),
    (ConnectionRefusedError(111, SECRET), "connection_failed"),
    (ConnectionResetError(104, SECRET), "connection_failed"),
    (BrokenPipeError(32, SECRET), "connection_failed"),
    (socket.gaierror(-2, SECRET), "connection_failed"),
    (ssl.SSLError(1, SECRET), "connection_failed"),
    (ssl.SSLCertVerificationError(1, SECRET), "connection_failed"),
    (asyncio.IncompleteReadError(b"", 5), "connection_failed"),
    (OSError(101, SECRET), "io_failed"),
    (asyncio.CancelledError(SECRET), "cancelled"),
    (concurrent.futures.CancelledError(SECRET), "cancelled"),
    (DeadlineExceeded(), "deadline_exceeded"),
    (UnreadableAnswer(SECRET), "unreadable_answer"),
    (InProgress(3), "in_progress"),
    (SendDelayed(3), "send_delayed"),
    (BadConfiguration({"QSTASH_TOKEN": "QSTASH_TOKEN is not set."}), "bad_configuration"),
    (TokenUnreadable("no key fits"), "token_unreadable"),
    (httpx.UnsupportedProtocol(SECRET, request=REQUEST), "bad_configuration"),
    (httpx.InvalidURL(SECRET), "bad_configuration"),
    (RuntimeError(SECRET), "unknown_error"),
    (KeyError(SECRET), "unknown_error"),
    (ValueError(SECRET), "unknown_error"),
    (httpx.StreamClosed(), "unknown_error"),
    (KeyboardInterrupt(SECRET), "unknown_error"),
]
PERMANENT_EXCEPTIONS: list[tuple[BaseException, str, int]] = [
    (caught(lambda: json.loads("{" + SECRET)), "invalid_payload", 400),
    (caught(lambda: TypeAdapter(int).validate_json(b"{x")), "invalid_payload", 400),
    (caught(wrong_shape), "invalid_payload", 400),
    (caught(lambda: b"\xff".decode("utf-8")), "invalid_payload", 400),
    (BadJson("$.text", "not UTF-8"), "invalid_payload", 400),
    (InvalidPayload("$.kind", f"Invalid value '{SECRET}'"), "invalid_payload", 400),
    (BodyTooLarge(), "body_too_large", 413),
    (TooManyEvents("$.events", 1000), "too_many_events", 413),
    (ClientDisconnect(), "client_disconnected", 400),
    (SignatureError(f"Invalid subject: {SECRET}"), "wrong_signature", 401),
]


@pytest.mark.parametrize(("error", "code"), RETRYABLE_EXCEPTIONS, ids=lambda value: type(value).__name__)
def test_an_exception_that_passes_is_retryable(error: BaseException, code: str) -> None:
    verdict = classify(error)

    assert (verdict.code, verdict.retryable) == (code, True)
    assert SECRET not in verdict.message


@pytest.mark.parametrize(("error", "code", "status"), PERMANENT_EXCEPTIONS, ids=lambda value: type(value).__name__)
def test_an_exception_that_stays_is_permanent(error: BaseException, code: str, status: int) -> None:
    verdict = classify(error)

    assert (verdict.code, verdict.retryable, verdict.status) == (code, False, status)
    assert SECRET not in verdict.message


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "http_refused", True),
        (401, "http_refused", True),
        (404, "http_refused", True),
        (422, "http_refused", True),
        (413, "http_refused", False),
        (408, "http_unavailable", True),
        (425, "http_unavailable", True),
        (429, "http_rate_limited", True),
        (500, "http_unavailable", True),
        (503, "http_unavailable", True),
        (302, "unknown_error", True),
    ],
)
def test_an_http_answer_is_judged_by_its_status(status: int, code: str, *, retryable: bool) -> None:
    response = httpx.Response(status, headers={"Retry-After": "7"}, text=SECRET, request=REQUEST)
    verdict = classify(caught(response.raise_for_status))

    assert (verdict.code, verdict.retryable) == (code, retryable)
    assert verdict.retry_after == (7 if code != "unknown_error" and retryable else None)


def test_an_exception_derived_from_a_known_one_is_judged_like_it() -> None:
    class OurOwnTimeout(httpx.ReadTimeout): ...

    class Unreachable(GraphError): ...

    assert classify(OurOwnTimeout(SECRET)).code == "timeout"
    assert classify(Unreachable(status=400, code=190)).code == "graph_token_invalid"


def test_an_invalid_payload_names_its_field() -> None:
    assert classify(InvalidPayload("$.events[0].mid", "Expected `str`")).message == "$.events[0].mid: Expected `str`"
    assert classify(InvalidPayload(None, "not JSON")).message == "not JSON"


class MadeUp(Model):
    """pydantic quotes the kind where it is another."""

    kind: Literal["made up"]


class Other(Model):
    """The other of two kinds."""

    kind: Literal["other"]


@pytest.mark.parametrize("value", [SECRET, f"it's {SECRET}", f"'{SECRET}' \"{SECRET}\"", f"a\n'{SECRET}"])
@pytest.mark.parametrize(
    "shape", [MadeUp, Literal["made up"], Annotated[MadeUp | Other, Field(discriminator="kind")], int, list[MadeUp]]
)
def test_an_invalid_payload_does_not_quote_the_value(value: str, shape: Any) -> None:
    error = caught(lambda: TypeAdapter(shape).validate_python({"kind": value}))
    other = caught(lambda: TypeAdapter(shape).validate_python(value))

    assert isinstance(error, ValidationError)
    assert isinstance(other, ValidationError)
    for each in (error, other):
        assert SECRET not in classify(invalid_payload(each)).message


def test_an_invalid_payload_says_which_values_are_expected() -> None:
    error = caught(lambda: TypeAdapter(Literal["react", "unreact"]).validate_python("x"))
    assert isinstance(error, ValidationError)
    assert classify(invalid_payload(error)).message == "$: Input should be `react` or `unreact`"


def test_bad_configuration_says_of_each_setting_what_is_wrong() -> None:
    problems = {"QSTASH_TOKEN": "QSTASH_TOKEN is not set.", "LOG_LEVEL": "LOG_LEVEL must be one of INFO, ERROR."}
    error = BadConfiguration(problems)

    assert error.names == ("QSTASH_TOKEN", "LOG_LEVEL")
    assert all(problem in classify(error).message and problem in str(error) for problem in problems.values())


def test_a_group_is_permanent_only_if_all_in_it_are() -> None:
    stays, passes = InvalidPayload(None, "x"), TimeoutError()

    assert classify(ExceptionGroup("both", [stays, ExceptionGroup("inner", [stays, passes])])).code == "timeout"
    assert classify(ExceptionGroup("stays", [stays, BodyTooLarge()])).code == "invalid_payload"
    assert classify(BaseExceptionGroup("called off", [asyncio.CancelledError()])).code == "cancelled"


# Whatever comes.


class _Raises:
    """An attribute that can't be read, compared, shown or counted."""

    def __get__(self, _instance: object, _owner: object = None) -> object:
        raise RuntimeError(SECRET)

    def __eq__(self, _other: object) -> bool:
        raise RuntimeError(SECRET)

    def __hash__(self) -> int:
        raise RuntimeError(SECRET)

    def __str__(self) -> str:
        raise RuntimeError(SECRET)

    __repr__ = __str__
    __bool__ = __float__ = __int__ = __index__ = __hash__


FOREIGN: list[type[BaseException]] = [
    Exception,
    OSError,
    httpx.HTTPStatusError,
    httpx.ReadTimeout,
    APIError,
    QStashError,
    RateLimitExceededError,
    DailyMessageLimitExceededError,
    GraphError,
    GraphTransportError,
    InProgress,
    QueueRejected,
]
ATTRIBUTES = [
    *("code", "status", "subcode", "is_transient", "retry_after", "is_send", "kind", "request_left", "reason"),
    *("response", "request", "reset", "limit", "args", "message", "details", "hint", "errno", "headers"),
]
_JUNK = (
    json_values()
    | st.just(SECRET)
    | st.sampled_from([math.nan, math.inf, -math.inf, 10**400, -1, "1e999", 429, "429", "08006", 503.0])
    | st.builds(_Raises)
    | st.dictionaries(st.sampled_from(["retry-after", "status_code", "code", "error"]), json_values())
    | st.builds(
        lambda status, headers: httpx.Response(status, headers=headers, text=SECRET),
        st.integers(100, 599),
        st.dictionaries(
            st.sampled_from(["Retry-After", "Date", "X-Business-Use-Case-Usage"]), st.just(SECRET) | st.just("1e999")
        ),
    )
)


@st.composite
def strange_errors(draw: st.DrawFn) -> BaseException:
    """An error of a known type made without its constructor, with anything in its attributes."""
    kind = draw(st.sampled_from(FOREIGN))
    namespace = {name: _Raises() for name in draw(st.sets(st.sampled_from(ATTRIBUTES), max_size=2))}
    strange: type[BaseException] = type("Strange", (kind,), namespace)
    error = strange.__new__(strange, SECRET)
    for name, value in draw(st.dictionaries(st.sampled_from(ATTRIBUTES), _JUNK, max_size=8)).items():
        try:
            setattr(error, name, value)
        except (AttributeError, TypeError, ValueError, RuntimeError):
            continue  # read-only on this type
    return error


def check(verdict: Verdict) -> None:
    """What holds for every verdict."""
    assert isinstance(verdict, Verdict)
    assert CODE.fullmatch(verdict.code)
    assert SECRET not in verdict.message
    assert verdict.message
    assert 200 <= verdict.status <= 599
    if verdict.retry_after is not None:
        assert verdict.retryable
        assert 0 <= verdict.retry_after <= DAY_S
    ending(verdict)


@given(strange_errors())
def test_any_exception_with_anything_in_it_has_a_verdict(error: BaseException) -> None:
    check(classify(error))


_NAMES = ("error", "code", "error_subcode", "message", "details", "hint", "status", "is_transient", "type")


@given(
    st.dictionaries(
        st.sampled_from(_NAMES) | st.text(),
        json_values() | st.dictionaries(st.sampled_from(_NAMES), json_values() | st.just(SECRET)) | st.just(SECRET),
    )
)
def test_any_json_object_has_a_verdict(body: dict[str, object]) -> None:
    check(classify(body))


@given(st.integers(100, 599), st.dictionaries(st.text(), st.text() | st.just(usage(5))), json_values(), st.booleans())
def test_any_answer_of_meta_has_a_verdict(status: int, headers: dict[str, str], body: object, is_send: bool) -> None:
    check(classify(GraphError.from_response(status, headers, body, is_send=is_send)))


@pytest.mark.parametrize("thing", [None, "error", 7, [], Exception, object()])
def test_what_is_no_error_at_all_is_unknown(thing: Any) -> None:
    assert classify(thing).code == "unknown_error"


def test_a_group_nested_absurdly_deep_has_a_verdict() -> None:
    group: Exception = BodyTooLarge()
    for _ in range(5_000):
        group = ExceptionGroup("deeper", [group])

    check(classify(group))


LOSSES: list[Literal["timeout", "connection"]] = ["timeout", "connection"]


def test_every_code_is_documented() -> None:
    met = {
        classify(error).code
        for error in [*(row[0] for row in RETRYABLE_EXCEPTIONS), *(row[0] for row in PERMANENT_EXCEPTIONS)]
    }
    met |= {classify(answered(*row[:3], is_send=True)).code for row in GRAPH_ROWS}
    met |= {meaning.code for meaning in (*BY_CODE.values(), *BY_SUBCODE.values())}
    met |= {verdict.code for verdict in (*BY_CLASS.values(), *BY_NAME.values(), *BY_DATABASE_CODE.values())}
    met |= {f"{source}_{end}" for source in ("http", "qstash", "database") for end in ("refused", "unavailable")}
    met |= {f"{source}_rate_limited" for source in ("http", "qstash", "database")}
    met |= {classify(QueueRejected(None, "x")).code}
    met |= {classify(GraphTransportError(kind=kind, request_left=False, is_send=False)).code for kind in LOSSES}

    documented = re.findall(r"`([a-z_]+)`", (errors.__doc__ or "").partition("| code |")[2])

    assert sorted(met) == sorted(documented)


def test_importing_errors_loads_no_client_library() -> None:
    script = (
        "import sys, lib.errors.classify\n"
        "lib.errors.classify.classify(RuntimeError())\n"
        "clients = {'httpx', 'qstash', 'postgrest', 'supabase', 'starlette', 'pydantic'}\n"
        "print(sorted(clients & {name.partition('.')[0] for name in sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
